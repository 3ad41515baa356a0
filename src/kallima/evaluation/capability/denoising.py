"""How much of the noise a system takes away that it was trained to take away."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from kallima.evaluation.capability.subject import Found, Subject, lacks_images
from kallima.evaluation.resampling import mean_of

_LEAST = 1e-10  # a squared error: 100 dB, where nothing differs


@runtime_checkable
class Denoises(Protocol):
    """Was shown spoilt images in training, and asked for the clean ones."""

    noise: float
    """The standard deviation of noise that was added to pixels in [0, 1]."""
    masking: float
    """The share of the pixels that was put to 0."""

    def corrupted(self, values: Tensor) -> Tensor:
        """Return values (N, …) in [0, 1], spoilt as in training; draws come from the default generators."""
        ...


def denoising_gain(subject: Subject) -> Found:
    """Return the mean over images of the PSNR of what the system makes of a spoilt image less that of the spoilt one.

    A spoilt image counts as it can be seen, pixels below 0 as 0 and above 1 as 1: knowing that much is no merit.
    """

    def both(images: Tensor) -> Tensor:
        return torch.stack(denoised(subject.system, images)[2:], 1)

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(subject.seed)
        before, after = subject.ask(both, subject.seen, "denoising").double().numpy().T
    notes = (
        f"{spoilt_how(subject.system)}: {before.mean():.2f} dB before, {after.mean():.2f} dB after",
        "peak 1, the mean of every image's PSNR; spoilt pixels are cut to the range from 0 to 1 before",
    )
    return Found(mean_of(after - before, "images", notes), subject.real, len(before), len(before), "0 … 1")


def denoised(system: "Denoises", images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spoil images (N, C, H, W) in [-1, 1] and let the system mend them: spoilt, mended, and the PSNR (N,) of each."""
    spoilt = 2 * system.corrupted(0.5 * (images + 1)) - 1
    mended = system.reconstruct(spoilt)  # type: ignore[attr-defined]  # the metric asks for `Reconstructs` too
    return spoilt, mended, _psnr(spoilt.clamp(-1, 1), images), _psnr(mended.clamp(-1, 1), images)


def spoilt_how(system: "Denoises") -> str:
    """Say what was done to the images."""
    ways = [f"noise σ = {system.noise:g}"] * bool(system.noise) + [f"{system.masking:.0%} masked"] * bool(
        system.masking
    )
    return " and ".join(ways)


def lacks_noise(subject: Subject) -> str | None:
    """Say that the system saw no noise in training, if so."""
    if not (subject.system.noise or subject.system.masking):
        return f"needs a system that was trained on spoilt images, and this {subject.name} was not"
    return lacks_images(subject)


def _psnr(made: Tensor, images: Tensor) -> Tensor:
    errors = (0.5 * (made - images)).square().flatten(1).mean(1)
    return -10 * errors.clamp_min(_LEAST).log10()
