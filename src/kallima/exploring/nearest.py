"""What of the data samples are nearest to."""

from pathlib import Path
from typing import TYPE_CHECKING

from kallima.errors import UsageError
from kallima.training.run import Run

if TYPE_CHECKING:
    from kallima.exploring.exploration import Exploration


def neighbours(
    run: str | Path | Run,
    *,
    count: int = 9,
    nearest: int = 3,
    features: str = "pixels",
    condition: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show samples, and beside each the images nearest to it that the run was trained on, the closest pairs first.

    Args:
        run: the run directory.
        count: how many samples.
        nearest: how many images beside each.
        features: what images are compared by, as for `kallima evaluate`: pixels, probe, random, inception, ….
        condition: what a conditional system is asked for.
        seed: decides the samples.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    import numpy as np
    import torch

    from kallima.api import load
    from kallima.evaluation.examples import read_blocks
    from kallima.evaluation.features import make_extractor
    from kallima.evaluation.nearest import Search
    from kallima.exploring.exploration import Exploration
    from kallima.job import Job
    from kallima.judging import showing
    from kallima.reporting.neighbours import neighbour_grid
    from kallima.reporting.rows import Row
    from kallima.sampling.drawing import draw_rows, rows_of
    from kallima.training.distribution import World
    from kallima.training.precision import choose_device

    if min(count, nearest) < 1:
        raise UsageError("--count and --nearest must be at least 1")
    system = load(run, device=device)
    if "image" not in system.spec:
        raise UsageError(f"neighbours is for images, and this run makes {', '.join(system.spec)}")
    samples = torch.from_numpy(draw_rows(system, count, rows_of(system, condition), seed=seed))
    with showing(World()) as show:
        data = Job.from_manifest(Run(run).manifest).dataset(lambda done, total: show("preparing", done, total))
        extractor = make_extractor(features, data, device=choose_device(device))
        search, seen = Search(extractor.features(samples), min(nearest, len(data))), 0
        for block in read_blocks(data, np.arange(len(data))):
            search.look(extractor.features(block["image"]), torch.arange(seen, seen + len(block["image"])))
            seen += len(block["image"])
            show("comparing", seen, len(data))
    order = search.distances[:, 0].argsort(stable=True)
    near = search.indices[order]
    found = data.read(near.flatten().cpu().numpy())["image"].view(*near.shape, *samples.shape[1:])
    pictures = torch.cat([samples[order][:, None], found], 1).numpy()
    rows = [Row("", picture) for picture in pictures]
    note = f"the sample, then its nearest of {seen:,} training images by {extractor.name}"
    return Exploration(rows, neighbour_grid(pictures), {}, (note, *extractor.notes))
