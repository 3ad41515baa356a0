"""Historical averaging (Salimans et al. 2016, arXiv:1606.03498, section 3.3)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class HistoricalAverage(nn.Module):
    """The mean of all that a player's parameters have been: at the start, and at each `update` since.

    `mean` holds them one after another in one flat buffer, `count` how many states it is the mean of.
    """

    mean: Tensor
    count: Tensor

    def __init__(self, parameters: Iterable[Tensor]):
        super().__init__()
        self.register_buffer("mean", _flat(parameters).detach().clone())
        self.register_buffer("count", torch.ones((), dtype=torch.int64, device=self.mean.device))

    def penalty(self, parameters: Iterable[Tensor]) -> Tensor:
        """‖θ − mean‖², a scalar, differentiable in θ: the parameters given at the start, in the same order."""
        return (_flat(parameters) - self.mean).square().sum()

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor]) -> None:
        """Take the parameters as they are now into the mean."""
        self.count += 1
        self.mean += (_flat(parameters) - self.mean) / self.count


def _flat(parameters: Iterable[Tensor]) -> Tensor:
    return torch.cat([parameter.flatten() for parameter in parameters])
