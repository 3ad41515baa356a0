"""Latents that differ in one thing, or in two, from a latent that is held."""

import torch
from torch import Tensor


def traverse(latents: Tensor, place: slice, values: Tensor) -> Tensor:
    """Return each of the latents (N, d) with each of the values (S, w) at `place`, all else held: (N, S, d)."""
    found = latents[:, None].repeat(1, len(values), 1)
    found[:, :, place] = values.to(latents)
    return found


def plane(latent: Tensor, places: tuple[slice, slice], x: Tensor, y: Tensor) -> Tensor:
    """Return a latent (d,) with x (X,) and y (Y,) in two of its places: (Y, X, d), laid out like a plot.

    x grows rightwards and y upwards: the first row has the largest y, where `x` and `y` ascend.
    """
    found = latent.repeat(len(y), len(x), 1)
    found[:, :, places[0]] = x.to(latent)[None, :, None]
    found[:, :, places[1]] = y.to(latent).flip(0)[:, None, None]
    return found


def quantiles(draws: Tensor, count: int) -> Tensor:
    """Return `count` values (count,) with equal shares of the draws (N,) between them, half a share at each end."""
    shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return draws.double().cpu().quantile(shares).to(draws.dtype)
