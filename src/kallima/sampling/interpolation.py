"""Ways from one latent to another: straight lines, and arcs for noise, whose length they keep."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

NOISE = "z"
"""What the noise is called among the parts of a latent."""

Way = Literal["arc", "line"]


def lerp(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """Return the points at `t` (N, 1) on straight lines from `first` to `second` (N, d).

    Halfway between two independent normal vectors lies one √2 times shorter: noise as the model has seldom seen it.
    """
    return first + t * (second - first)


def slerp(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """Return the points at `t` (N, 1) on great circles from `first` to `second` (N, d), at constant speed.

        sin((1 − t) Ω) / sin Ω · first + sin(t Ω) / sin Ω · second        (Shoemake 1985; Ω the angle of the pair)

    Ends of one length keep it all the way; unlike lengths go over into one another. Ends in one direction, opposite
    ones and vectors of length 0 have no great circle of their own: their way is straight.
    """
    lengths = [each.norm(dim=1, keepdim=True) for each in (first, second)]
    whole = (lengths[0] > 0) & (lengths[1] > 0)
    a, b = (each / torch.where(whole, length, 1) for each, length in zip((first, second), lengths, strict=True))
    # not arccos, which loses half of the digits where vectors are nearly parallel
    angle = 2 * torch.atan2((a - b).norm(dim=1, keepdim=True), (a + b).norm(dim=1, keepdim=True))
    sine = angle.sin()
    curved = whole & (sine > 1e-6)
    sine = torch.where(curved, sine, 1)
    arc = ((1 - t) * angle).sin() / sine * first + (t * angle).sin() / sine * second
    return torch.where(curved, arc, lerp(first, second, t))


def between(first: Tensor, second: Tensor, steps: int, parts: Mapping[str, slice], *, way: Way = "arc") -> Tensor:
    """Return `steps` latents on the way from each of `first` (N, d) to its partner in `second`: (N, steps, d).

    Both ends are among them. An arc is for the noise alone: what else is in a latent (a class, a number) goes straight.
    """
    found = []
    for t in torch.linspace(0, 1, steps).tolist():
        where = torch.full((len(first), 1), t, dtype=first.dtype, device=first.device)
        point = lerp(first, second, where)
        if way == "arc" and NOISE in parts:
            noise = parts[NOISE]
            point[:, noise] = slerp(first[:, noise], second[:, noise], where)
        found.append(point)
    return torch.stack(found, 1)
