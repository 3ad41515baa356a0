"""The regulariser of consensus optimisation (Mescheder et al. 2017, arXiv:1705.10461, Eq. 4)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def half_squared_gradients(
    losses: Callable[[Weights, Weights], tuple[Tensor, Tensor]], first: Weights, second: Weights
) -> Tensor:
    """½‖v‖², where v stacks each player's gradient of its own loss in its own weights; a scalar.

    `losses(first, second)` gives both players' losses. Minimised by both, it makes the vector field v point inwards
    where it would otherwise only turn. Differentiable in all weights, and so through the gradients.
    """
    of_first = torch.func.grad(lambda weights: losses(weights, second)[0])(first)
    of_second = torch.func.grad(lambda weights: losses(first, weights)[1])(second)
    squares = [gradient.square().sum() for gradient in (*of_first.values(), *of_second.values())]
    return 0.5 * torch.stack(squares).sum()
