"""The graph of the Inception network of the Fréchet inception distance.

Inception v3 (Szegedy et al. 2016, arXiv:1512.00567) as released for TensorFlow on 2015-12-05, with its way of pooling:
averages count no padding, and the last block's pool is a maximum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CLASSES = 1008


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, width: int, kernel: tuple[int, int], stride: int = 1, pad: bool = True):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H', W')."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


@dataclass(frozen=True)
class Step:
    """One unit of a branch: its name in the files, width, kernel, stride."""

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


@dataclass(frozen=True)
class Branch:
    """Units in a row, after a pool where one is named; the units of `fork` all read the last one's output."""

    steps: tuple[Step, ...]
    fork: tuple[Step, ...] = ()
    pool: str | None = None


class Mixed(nn.Module):
    """Branches over the same input, their outputs concatenated."""

    def __init__(self, channels: int, branches: Sequence[Branch]):
        super().__init__()
        self.branches = tuple(branches)
        self.width = 0
        for branch in branches:
            width = channels
            for step in branch.steps:
                self.add_module(step.name, Unit(width, step.width, step.kernel, step.stride, pad=step.stride == 1))
                width = step.width
            for step in branch.fork:
                self.add_module(step.name, Unit(width, step.width, step.kernel))
            self.width += sum(step.width for step in branch.fork) if branch.fork else width

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H', W')."""
        outputs = []
        for branch in self.branches:
            y = _pool(x, branch.pool)
            for step in branch.steps:
                y = self.get_submodule(step.name)(y)
            outputs += [self.get_submodule(step.name)(y) for step in branch.fork] or [y]
        return torch.cat(outputs, 1)


def _pool(x: Tensor, kind: str | None) -> Tensor:
    match kind:
        case None:
            return x
        case "average":
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        case "maximum":
            return F.max_pool2d(x, 3, 1, 1)
        case "reduce":
            return F.max_pool2d(x, 3, 2)
    raise ValueError(kind)


def _grid35(pool_width: int) -> list[Branch]:
    """35×35: 1×1, 5×5, twice 3×3, pool."""
    return [
        Branch((Step("branch1x1", 64),)),
        Branch((Step("branch5x5_1", 48), Step("branch5x5_2", 64, (5, 5)))),
        Branch((Step("branch3x3dbl_1", 64), Step("branch3x3dbl_2", 96, (3, 3)), Step("branch3x3dbl_3", 96, (3, 3)))),
        Branch((Step("branch_pool", pool_width),), pool="average"),
    ]


def _to_grid17() -> list[Branch]:
    return [
        Branch((Step("branch3x3", 384, (3, 3), 2),)),
        Branch((Step("branch3x3dbl_1", 64), Step("branch3x3dbl_2", 96, (3, 3)), Step("branch3x3dbl_3", 96, (3, 3), 2))),
        Branch((), pool="reduce"),
    ]


def _grid17(width: int) -> list[Branch]:
    """17×17: 1×1, 7×7 as a row and a column, twice that, pool."""
    row, column = (1, 7), (7, 1)
    return [
        Branch((Step("branch1x1", 192),)),
        Branch((Step("branch7x7_1", width), Step("branch7x7_2", width, row), Step("branch7x7_3", 192, column))),
        Branch(
            (
                Step("branch7x7dbl_1", width),
                Step("branch7x7dbl_2", width, column),
                Step("branch7x7dbl_3", width, row),
                Step("branch7x7dbl_4", width, column),
                Step("branch7x7dbl_5", 192, row),
            )
        ),
        Branch((Step("branch_pool", 192),), pool="average"),
    ]


def _to_grid8() -> list[Branch]:
    return [
        Branch((Step("branch3x3_1", 192), Step("branch3x3_2", 320, (3, 3), 2))),
        Branch(
            (
                Step("branch7x7x3_1", 192),
                Step("branch7x7x3_2", 192, (1, 7)),
                Step("branch7x7x3_3", 192, (7, 1)),
                Step("branch7x7x3_4", 192, (3, 3), 2),
            )
        ),
        Branch((), pool="reduce"),
    ]


def _grid8(pool: str) -> list[Branch]:
    """8×8: 1×1, 3×3 spread over a row and a column, the same after another 3×3, pool."""
    row, column = (1, 3), (3, 1)
    return [
        Branch((Step("branch1x1", 320),)),
        Branch((Step("branch3x3_1", 384),), (Step("branch3x3_2a", 384, row), Step("branch3x3_2b", 384, column))),
        Branch(
            (Step("branch3x3dbl_1", 448), Step("branch3x3dbl_2", 384, (3, 3))),
            (Step("branch3x3dbl_3a", 384, row), Step("branch3x3dbl_3b", 384, column)),
        ),
        Branch((Step("branch_pool", 192),), pool=pool),
    ]


_BLOCKS = {
    "Mixed_5b": _grid35(32),
    "Mixed_5c": _grid35(64),
    "Mixed_5d": _grid35(64),
    "Mixed_6a": _to_grid17(),
    "Mixed_6b": _grid17(128),
    "Mixed_6c": _grid17(160),
    "Mixed_6d": _grid17(160),
    "Mixed_6e": _grid17(192),
    "Mixed_7a": _to_grid8(),
    "Mixed_7b": _grid8("average"),
    "Mixed_7c": _grid8("maximum"),
}


class InceptionNetwork(nn.Module):
    """From (N, 3, 299, 299) in [-1, 1] to features (N, 2048); `fc` holds the 1,008 logits of the files."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, (3, 3), 2, pad=False)
        self.Conv2d_2a_3x3 = Unit(32, 32, (3, 3), pad=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = Unit(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Unit(80, 192, (3, 3), pad=False)
        width = 192
        for name, branches in _BLOCKS.items():
            block = Mixed(width, branches)
            self.add_module(name, block)
            width = block.width
        self.fc = nn.Linear(width, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, 2048)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_pool(x, "reduce")))
        x = _pool(x, "reduce")
        for name in _BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))
