"""Minibatch standard deviation (Karras et al. 2018, arXiv:1710.10196, section 3)."""

import torch
from torch import Tensor, nn

GROUP = 4


class MinibatchDeviation(nn.Module):
    """Adds a plane that says how much the examples of a group differ, so that too little variety gives itself away.

    Of each number the standard deviation over the group, then the mean of all these: one value a group. Groups are
    neighbours in the batch, `group` of them or the next fewer that divide it: an example alone is told that nothing
    differs. Real and fake examples belong in batches of their own.
    """

    def __init__(self, group: int = GROUP):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + 1, H, W)."""
        size = next(size for size in range(min(self.group, len(x)), 0, -1) if len(x) % size == 0)
        groups = x.unflatten(0, (-1, size))  # (N/G, G, C, H, W)
        # inside the root, for its slope at 0 has no end
        deviation = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        plane = deviation.repeat_interleave(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return torch.cat([x, plane], 1)
