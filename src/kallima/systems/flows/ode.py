"""dx/dt = v(x, t) by fixed steps, forwards and backwards, and how densities change along the way."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

Field = Callable[[Tensor, float], Tensor]
"""Points (N, …) and a time to their velocities (N, …)."""

Step = Callable[[Field, Tensor, float, float], Tensor]
"""The field, points (N, …) at a time, that time and how far to go, which may be backwards: the points there."""


def euler(field: Field, x: Tensor, time: float, stride: float) -> Tensor:
    """Go on as it goes here: of order 1, one evaluation."""
    return x + stride * field(x, time)


def midpoint(field: Field, x: Tensor, time: float, stride: float) -> Tensor:
    """Go on as it goes half way: of order 2, two evaluations."""
    half = 0.5 * stride
    return x + stride * field(x + half * field(x, time), time + half)


def heun(field: Field, x: Tensor, time: float, stride: float) -> Tensor:
    """Go on by the mean of how it goes here and at the end: of order 2, two evaluations."""
    here = field(x, time)
    there = field(x + stride * here, time + stride)
    return x + 0.5 * stride * (here + there)


def rk4(field: Field, x: Tensor, time: float, stride: float) -> Tensor:
    """The classical method of Runge and Kutta: of order 4, four evaluations."""
    half = 0.5 * stride
    first = field(x, time)
    second = field(x + half * first, time + half)
    third = field(x + half * second, time + half)
    fourth = field(x + stride * third, time + stride)
    return x + stride / 6 * (first + 2 * (second + third) + fourth)


SOLVERS: Mapping[str, Step] = MappingProxyType({"euler": euler, "midpoint": midpoint, "heun": heun, "rk4": rk4})


def integrate(field: Field, x: Tensor, *, start: float, end: float, steps: int, step: Step) -> Tensor:
    """Follow the field from points (N, …) at `start` to `end` in equal steps; `end` may come before `start`."""
    stride = (end - start) / steps
    for place in range(steps):
        x = step(field, x, start + place * stride, stride)
    return x


def divergence(field: Field, x: Tensor, time: float) -> tuple[Tensor, Tensor]:
    """Return the velocities at points (N, D) and their divergence Σᵢ ∂vᵢ/∂xᵢ (N,), without gradients.

    Exact by D backward passes, where points do not meet in the field.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        velocity = field(x, time)
        total = torch.zeros_like(velocity[:, 0])
        for place in range(velocity.shape[1]):
            (slope,) = torch.autograd.grad(velocity[:, place].sum(), x, retain_graph=True)
            total = total + slope[:, place]
    return velocity.detach(), total.detach()


def log_density_change(
    field: Field, x: Tensor, *, start: float, end: float, steps: int, step: Step
) -> tuple[Tensor, Tensor]:
    """Follow points (N, D) to `end`; return them there, and log p(x, start) − log p(x, end) of each in nats (N,).

        d log p(x_t, t) / dt = −div v(x_t, t)

    (the instantaneous change of variables: Chen et al. 2018, arXiv:1806.07366, theorem 1).
    """

    def both(state: Tensor, time: float) -> Tensor:
        velocity, spread = divergence(field, state[:, :-1], time)
        return torch.cat([velocity, spread[:, None]], 1)

    state = torch.cat([x, torch.zeros_like(x[:, :1])], 1)
    state = integrate(both, state, start=start, end=end, steps=steps, step=step)
    return state[:, :-1], state[:, -1]
