"""Noise nearer to its middle than the prior has it: more typical samples, and fewer kinds of them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kallima.errors import UsageError
from kallima.sampling.interpolation import NOISE
from kallima.system import Decodes

_TRIES = 200


def shrink(latents: Tensor, psi: float, parts: Mapping[str, slice]) -> Tensor:
    """Return the latents (N, d) with their noise moved towards 0, its mean: ψ z (after Karras et al. 2019).

    ψ = 1 leaves it, ψ = 0 takes all of it away. Classes and codes stay as they are.
    """
    found, noise = latents.clone(), _noise(parts)
    found[:, noise] = psi * found[:, noise]
    return found


def resample(system: Decodes, latents: Tensor, limit: float, rng: torch.Generator | None = None) -> Tensor:
    """Return the latents (N, d) with each number of the noise beyond ± `limit` drawn again (Brock et al. 2019).

    Drawn number by number: this is the prior, cut off, where its dimensions are independent, as normal ones are.

    Raises:
        UsageError: hardly any noise lies within the limit.
    """
    noise = _noise(system.parts)
    found, inside = latents.clone(), latents[:, noise]
    for _ in range(_TRIES):
        beyond = inside.abs() > limit
        if not beyond.any():
            found[:, noise] = inside
            return found
        fresh = system.latents(len(latents), rng=rng)[:, noise].to(inside)
        inside = torch.where(beyond, fresh, inside)
    raise UsageError(f"hardly any noise lies within ±{limit:g}: give a larger limit")


def _noise(parts: Mapping[str, slice]) -> slice:
    if NOISE not in parts:
        raise UsageError("there is no noise in these latents to truncate")
    return parts[NOISE]
