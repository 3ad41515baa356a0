"""Into the latent space: the latent whose example comes nearest to a given one, by gradient descent."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.errors import UsageError
from kallima.system import Decodes

STEPS = 300
RATE = 0.1
PRIOR_WEIGHT = 1e-4
"""How much ½ z² counts against the mean squared error: little, so that it decides only where the error does not."""
SCALES = 3
"""Images are compared as they are, at half and at a quarter of their size: coarse shapes pull from further away."""
_SMALLEST = 4  # pixels: no smaller ones are compared


@dataclass(frozen=True)
class Projection:
    """Latents (N, d), and the mean squared error (N,) of the examples that are made of them."""

    latents: Tensor
    errors: Tensor


def with_gradients(system: Decodes) -> Callable[[Tensor], Tensor]:
    """Return the system's `decode`, such that gradients reach the latents.

    A system decodes without recording gradients; what its decorator wraps is the method that would record them.
    """
    plain = inspect.unwrap(type(system).decode)
    return lambda latents: plain(system, latents)


def nearest_starts(system: Decodes, targets: Tensor, pool: Tensor, count: int) -> Tensor:
    """Return those `count` of each example's own pool of latents (N, P, d) that decode nearest to it: (count, N, d)."""
    starts = []
    for target, latents in zip(targets, pool, strict=True):
        errors = (system.decode(latents) - target).flatten(1).square().mean(1)
        starts.append(latents[errors.topk(min(count, len(latents)), largest=False).indices])
    return torch.stack(starts, 1)


def project(
    system: Decodes,
    targets: Tensor,
    starts: Tensor,
    *,
    held: Tensor | None = None,
    steps: int = STEPS,
    rate: float = RATE,
    prior_weight: float = PRIOR_WEIGHT,
    scales: int = SCALES,
    progress: Callable[[int, int], None] | None = None,
) -> Projection:
    """Descend from each of the starts (R, N, d) towards the examples (N, …), and keep the best end of each.

        minimises   mean over scales of mean (G(z) − x)² + λ ½ mean z²

    with Adam, whose rate falls along a cosine. `held` (d,) tells the places of a latent that stay as they started.

    Raises:
        UsageError: no gradients come through the system's decoder.
    """
    restarts, count, size = starts.shape
    decode = with_gradients(system)
    start = starts.reshape(-1, size).detach()
    wanted = targets.repeat(restarts, *[1] * (targets.ndim - 1))
    free = torch.ones(size, dtype=torch.bool) if held is None else ~held
    free = free.to(start.device)
    with torch.inference_mode(False), torch.enable_grad():
        moved = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([moved], lr=rate, betas=(0.9, 0.99))
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            made = decode(torch.where(free, moved, start))
            if not made.requires_grad:
                raise UsageError(f"no gradients come through what {type(system).__name__} decodes: it needs an encoder")
            loss = _errors(made, wanted, scales).sum() + prior_weight * 0.5 * moved.square().mean(1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if progress is not None:
                progress(step + 1, steps)
    ends = torch.where(free, moved.detach(), start)
    errors = (system.decode(ends) - wanted).flatten(1).square().mean(1).view(restarts, count)
    best = errors.argmin(0)
    rows = torch.arange(count, device=best.device)
    return Projection(ends.view(restarts, count, size)[best, rows], errors[best, rows])


def _errors(made: Tensor, wanted: Tensor, scales: int) -> Tensor:
    """Return the squared error of each pair (N, …), meant over its numbers and over scales: (N,)."""
    found = []
    for _ in range(scales if made.ndim == 4 else 1):
        found.append((made - wanted).flatten(1).square().mean(1))
        if made.ndim != 4 or min(made.shape[2:]) < 2 * _SMALLEST:
            break
        made, wanted = F.avg_pool2d(made, 2), F.avg_pool2d(wanted, 2)
    return torch.stack(found).mean(0)
