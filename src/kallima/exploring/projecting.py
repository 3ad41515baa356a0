"""Where given images lie in a latent space."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kallima.errors import UsageError
from kallima.training.run import Run

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from kallima.data.dataset import Dataset
    from kallima.exploring.exploration import Exploration
    from kallima.exploring.subject import Subject
    from kallima.sampling.projection import Projection

_POOL = 64  # latents an image, of which the best are starts of its descent


def project(
    run: str | Path | Run,
    *,
    images: str | None = None,
    by: Literal["auto", "encoder", "descent"] = "auto",
    count: int = 8,
    steps: int = 300,
    restarts: int = 4,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show images, and below each what the model makes of the latent that comes nearest to it.

    Args:
        run: the run directory.
        images: a folder or a file of images, as for --data; by default those that the run was trained on.
        by: the system's own encoder, or descent down the gradient of the latents; auto takes the encoder where there
            is one.
        count: how many images.
        steps: of the descent.
        restarts: starts of the descent, of which the best end is kept.
        seed: decides which images, and where the descent starts.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    import numpy as np

    from kallima.exploring.exploration import Exploration
    from kallima.exploring.subject import Subject
    from kallima.reporting.rows import Row, draw_rows
    from kallima.sampling.projection import Projection
    from kallima.system import Encodes

    for name, number in {"count": count, "steps": steps, "restarts": restarts}.items():
        if number < 1:
            raise UsageError(f"--{name} must be at least 1, not {number}")
    subject = Subject(run, "project", device=device, images_only=True)
    system = subject.system
    if by == "encoder" and not isinstance(system, Encodes):
        raise UsageError(f"{subject.name} does not encode: use --by descent")
    data = subject.data if images is None else subject.images(images)
    chosen = np.random.default_rng(seed).permutation(len(data))[:count]
    stored, targets = subject.read(chosen, data)
    if by != "descent" and isinstance(system, Encodes):
        latents, how = system.encode(targets), "by the encoder"
        found = Projection(latents, (system.decode(latents) - targets).flatten(1).square().mean(1))
    else:
        found = _descend(subject, targets, data, chosen, steps, restarts, seed, known=images is None)
        how = f"by {steps} steps of descent from the best {restarts} of {_POOL} latents an image"
    rows = [Row("image", stored.numpy()), Row("projected", subject.show(found.latents))]
    rmse = found.errors.mean().sqrt().item() / 2  # of values in [-1, 1]
    return Exploration(rows, draw_rows(rows), {"rmse": rmse}, (how, "rmse is that of values from 0 to 1"))


def _descend(
    subject: "Subject",
    targets: "Tensor",
    data: "Dataset",
    chosen: "np.ndarray",
    steps: int,
    restarts: int,
    seed: int,
    *,
    known: bool,
) -> "Projection":
    """Descend towards images whose conditions are held, where they are `known`: those of the data that it was told."""
    import torch

    from kallima.data.batch import as_batch
    from kallima.judging import showing
    from kallima.sampling.codes import held
    from kallima.sampling.projection import nearest_starts
    from kallima.sampling.projection import project as descend
    from kallima.system import Conditional
    from kallima.training.distribution import World

    system = subject.system
    # every image has the same noise to start from: how its descent ends does not depend on the others
    pools = subject.latents(_POOL, seed=seed).repeat(len(targets), 1, 1)
    if known and isinstance(system, Conditional):
        conditions = system.conditions.vectors(as_batch(data.read(chosen)))
        pools = torch.stack([subject.under(p, c[None]) for p, c in zip(pools, conditions, strict=True)])
    starts = nearest_starts(system, targets, pools, restarts)
    with showing(World()) as show:
        return descend(
            system,
            targets,
            starts,
            held=held(system),
            steps=steps,
            progress=lambda done, total: show("descending", done, total),
        )
