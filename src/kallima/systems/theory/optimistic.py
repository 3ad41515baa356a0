"""Optimistic gradient descent (Daskalakis et al. 2018, arXiv:1711.00141, Eq. 3)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from kallima.system import OptimizerFactory


def optimistic(learning_rate: float) -> OptimizerFactory:
    """Make an `OptimisticDescent`."""

    def make(parameters: Iterable[nn.Parameter], *, fused: bool = False) -> torch.optim.Optimizer:
        return OptimisticDescent(parameters, learning_rate)  # it has no fused form

    return make


class OptimisticDescent(torch.optim.Optimizer):
    """θ ← θ − 2η gₜ + η gₜ₋₁, with g₋₁ = 0: a step along 2 gₜ − gₜ₋₁, which is what the next gradient may well be."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float):
        super().__init__(parameters, {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    before = state.get("gradient", torch.zeros_like(parameter))
                    parameter -= group["lr"] * (2 * parameter.grad - before)
                    state["gradient"] = parameter.grad.clone()
