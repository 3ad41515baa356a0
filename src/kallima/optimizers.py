"""How a player steps: factories of optimisers, each `factory(parameters, **engine options)`, and optimistic Adam."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from kallima.system import OptimizerFactory


def adam(
    learning_rate: float, *, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0
) -> OptimizerFactory:
    """Adam (Kingma & Ba 2015); with `weight_decay` its decoupled form (Loshchilov & Hutter 2019)."""

    def make(parameters: Iterable[nn.Parameter], **engine: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=learning_rate, betas=betas, weight_decay=weight_decay, **engine)

    return make


def rmsprop(learning_rate: float, *, decay: float = 0.99) -> OptimizerFactory:
    """Gradients over the root of their running mean square (Tieleman & Hinton 2012); `decay` is that mean's."""

    def make(parameters: Iterable[nn.Parameter], *, fused: bool = False) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=learning_rate, alpha=decay)  # torch has no fused form of it

    return make


def sgd(learning_rate: float, *, momentum: float = 0.0) -> OptimizerFactory:
    """Stochastic gradient descent, with heavy-ball `momentum` where it is not 0."""

    def make(parameters: Iterable[nn.Parameter], **engine: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=momentum, **engine)

    return make


def optimistic_adam(learning_rate: float, *, betas: tuple[float, float] = (0.9, 0.999)) -> OptimizerFactory:
    """Optimistic Adam (Daskalakis et al. 2018): see `OptimisticAdam`."""

    def make(parameters: Iterable[nn.Parameter], *, fused: bool = False) -> torch.optim.Optimizer:
        return OptimisticAdam(parameters, learning_rate, betas=betas)  # it has no fused form

    return make


class OptimisticAdam(torch.optim.Optimizer):
    """Adam that expects the next gradient to be like the last (Daskalakis et al. 2018, arXiv:1711.00141, Algorithm 1).

        θ ← θ − 2η dₜ + η dₜ₋₁,   dₜ = m̂ₜ / (√v̂ₜ + ε),   d₀ = 0

    m̂ and v̂ are Adam's corrected running means of the gradient and of its square. In a game, where plain steps circle
    around the equilibrium, the correction turns them inwards. On min max xy it converges where β₁ is 0 and β₂ near 1;
    at β₁ = 0.5 it circles outwards too, only slower than Adam.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ):
        super().__init__(parameters, {"lr": learning_rate, "betas": betas, "eps": epsilon})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; `closure`, where given, computes the loss anew and returns it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if parameters := [p for p in group["params"] if p.grad is not None]:
                self._move(parameters, group["lr"], group["betas"], group["eps"])
        return loss

    def _move(self, parameters: list[Tensor], rate: float, betas: tuple[float, float], epsilon: float) -> None:
        beta1, beta2 = betas
        for parameter in parameters:
            if not (state := self.state[parameter]):
                state["step"] = torch.zeros(())
                for name in ("mean", "square", "direction"):
                    state[name] = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        steps, means, squares, last = (
            [self.state[p][name] for p in parameters] for name in ("step", "mean", "square", "direction")
        )
        torch._foreach_add_(steps, 1.0)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)

        counts = [float(step) for step in steps]
        directions = torch._foreach_div(means, [1 - beta1**t for t in counts])
        scales = torch._foreach_div(squares, [1 - beta2**t for t in counts])
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, epsilon)
        torch._foreach_div_(directions, scales)

        torch._foreach_add_(parameters, directions, alpha=-2 * rate)
        torch._foreach_add_(parameters, last, alpha=rate)
        torch._foreach_copy_(last, directions)
