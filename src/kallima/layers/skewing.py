"""Maps whose rows are each moved one column further to the right than the row above: diagonals stand upright."""

import torch.nn.functional as F
from torch import Tensor


def skewed(maps: Tensor) -> Tensor:
    """Move row r by r columns: (N, D, H, W) -> (N, D, H, H + W − 1), with zeros beside it."""
    height, columns = maps.shape[2:]
    long = F.pad(maps, (0, height)).flatten(2)  # rows of W + H, read as rows of one less
    return long[:, :, : height * (height + columns - 1)].unflatten(2, (height, -1))


def unskewed(maps: Tensor) -> Tensor:
    """Move the rows back: (N, D, H, H + W − 1) -> (N, D, H, W)."""
    height = maps.shape[2]
    columns = maps.shape[3] - height + 1
    return F.pad(maps.flatten(2), (0, height)).unflatten(2, (height, -1))[..., :columns]
