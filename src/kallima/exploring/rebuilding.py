"""What a system makes of images that it is shown, beside what principal components keep of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from kallima.errors import UsageError
from kallima.training.run import Run

if TYPE_CHECKING:
    from kallima.exploring.exploration import Exploration

_JUDGED = 1_000  # images, at most, over which errors are averaged


def reconstructions(
    run: str | Path | Run,
    *,
    count: int = 10,
    split: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show images, what the system makes of them, and what as many principal components as its code has numbers keep.

    A system that was trained to mend spoilt images is shown them spoilt, and so are the components.

    Args:
        run: the run directory.
        count: how many images.
        split: which part of the data; by default test where there is one, else what the run was trained on.
        seed: decides which images.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    import numpy as np
    import torch

    from kallima.api import load
    from kallima.data.batch import from_storage, to_storage
    from kallima.data.spec import Image
    from kallima.evaluation.capability.denoising import Denoises, denoised, spoilt_how
    from kallima.evaluation.capability.reconstructing import LEARNED, principal_of, summed_squares
    from kallima.exploring.exploration import Exploration
    from kallima.exploring.subject import CHUNK, data_of
    from kallima.reporting.rows import Row, draw_rows
    from kallima.system import Encodes, Reconstructs

    if count < 1:
        raise UsageError("--count must be at least 1")
    system = load(run, device=device)
    name = type(system).__name__
    if not isinstance(system, Reconstructs):
        raise UsageError(f"reconstructions needs a system that reconstructs, and {name} does not")
    if not isinstance(system.spec.get("image"), Image):
        raise UsageError(f"reconstructions is for images, and this run makes {', '.join(system.spec)}")
    data = data_of(run, split)
    chosen = np.random.default_rng(seed).permutation(len(data))[: max(count, _JUDGED)]
    stored = data.read(chosen)["image"]
    images = from_storage(stored)
    rows, scores = [Row("image", stored[:count].numpy())], {}
    notes = [f"of {len(images):,} images of {data.name} ({data.split}); an error is summed over pixels from 0 to 1"]
    given = images
    if isinstance(system, Denoises) and (system.noise or system.masking):
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            parts = [[x.cpu() for x in denoised(system, part.to(system.device))] for part in images.split(CHUNK)]
        given, made, before, after = (torch.cat(each) for each in zip(*parts, strict=True))
        rows.append(Row(f"{spoilt_how(system)} ({before.mean():.1f} dB)", to_storage(given[:count]).numpy()))
        rows.append(Row(f"mended ({after.mean():.1f} dB)", to_storage(made[:count]).numpy()))
        scores = {"psnr-before": before.mean().item(), "psnr-after": after.mean().item()}
        scores["psnr-gain"] = scores["psnr-after"] - scores["psnr-before"]
    else:
        made = torch.cat([system.reconstruct(part.to(system.device)).cpu() for part in images.split(CHUNK)])
        error = summed_squares(made, images).mean()
        rows.append(Row(f"rebuilt (error {error:.3g})", to_storage(made[:count]).numpy()))
    scores["error"] = summed_squares(made, images).mean().item()
    if isinstance(system, Encodes):
        known = data_of(run, "train")
        size = system.encode(images[:1].to(system.device)).shape[1]
        linear = principal_of(known, size, seed=seed)
        flat = linear.rebuilt(0.5 * (given.flatten(1) + 1))
        kept = (2 * flat - 1).to(images).view_as(images)
        scores["pca-error"] = summed_squares(kept, images).mean().item()
        size = linear.axes.shape[1]
        rows.append(Row(f"{size} components (error {scores['pca-error']:.3g})", to_storage(kept[:count]).numpy()))
        notes.append(f"components of {min(len(known), LEARNED):,} images of {known.name} ({known.split})")
    return Exploration(rows, draw_rows(rows), scores, tuple(notes))
