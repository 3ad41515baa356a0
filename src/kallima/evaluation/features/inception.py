"""The Inception network of the Fréchet inception distance: 2,048 features averaged over the last 8×8 positions.

The graph is Inception v3 (Szegedy et al. 2016, arXiv:1512.00567) as released for TensorFlow on 2015-12-05, with its way
of pooling: averages count no padding, and the last block's pool is a maximum. Weights come from a published file of 566
tensors, never from the network. Images enter by the "clean" protocol (Parmar et al. 2022, arXiv:2104.11222): bicubic
resize with antialiasing in floating point to 299×299, clipped to 0 … 255, then (x − 128) / 128.
"""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from kallima.data.cache import cache_directory
from kallima.errors import DataError, UsageError
from kallima.evaluation.features.extractor import frozen, run_in_batches, weights_hash

FILES = (
    "pt_inception-2015-12-05-6726825d.pth",
    "weights-inception-2015-12-05-6726825d.pth",
    "inception-2015-12-05.safetensors",
)
"""Names under which the weights are looked for."""

VARIABLE = "KALLIMA_INCEPTION"
"""The environment variable that names the file."""

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


class Inception:
    """The extractor; `path` names the weights file, None looks for it.

    Raises:
        UsageError: no weights are found; the message says which file to put where.
        DataError: the file is not what it should be.
    """

    name = "inception"
    resize = "clean: bicubic, antialiased, in floating point, 299×299"
    range = "(x − 128) / 128"
    accuracy = None

    def __init__(self, path: Path | None = None, *, device: torch.device | str = "cpu", batch_size: int = 32):
        found = path or find_weights()
        if found is None:
            raise UsageError(
                f"there are no Inception weights: put {FILES[0]} (a release file of pytorch-fid) into "
                f"{_own_directory()}, or name it in {VARIABLE}"
            )
        self.batch_size, self.device = batch_size, torch.device(device)
        with torch.device("meta"):
            network = InceptionNetwork()
        weights = load_weights(found, {name: tensor.shape for name, tensor in network.state_dict().items()})
        network.load_state_dict(weights, assign=True)
        self.version = weights_hash(weights)
        self.network = frozen(network, self.device)
        self.notes: tuple[str, ...] = ()

    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, 2048) of images uint8 (N, H, W, C)."""
        return run_in_batches(
            lambda batch: self.network((clean_resize(batch) - 128) / 128),
            images,
            batch_size=self.batch_size,
            device=self.device,
        )


def clean_resize(images: Tensor, size: int = 299) -> Tensor:
    """Return images uint8 (N, H, W, C) as RGB float (N, 3, size, size) in 0 … 255.

    Grey is repeated, alpha is laid over white.
    """
    pixels = images.permute(0, 3, 1, 2).float()
    if pixels.shape[1] == 4:
        alpha = pixels[:, 3:] / 255
        pixels = pixels[:, :3] * alpha + 255 * (1 - alpha)
    if pixels.shape[2:] != (size, size):
        pixels = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp_(0, 255)
    return pixels.expand(-1, 3, -1, -1)


def find_weights() -> Path | None:
    """Look for the weights: where KALLIMA_INCEPTION says, in our cache directory, in torch hub's.

    Raises:
        UsageError: KALLIMA_INCEPTION names no file.
    """
    if told := os.environ.get(VARIABLE):
        path = Path(told).expanduser()
        if not path.is_file():
            raise UsageError(f"{VARIABLE} names {path}, and there is no such file")
        return path
    folders = _own_directory(), Path(torch.hub.get_dir()) / "checkpoints"
    candidates = [folder / name for folder in folders for name in FILES]
    return next((path for path in candidates if path.is_file()), None)


def load_weights(path: Path, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Read the file's float32 tensors and check their names and shapes. No code of the file is run.

    Raises:
        DataError: the file is a TorchScript archive, damaged, or of another network.
    """
    if zipfile.is_zipfile(path) and _is_torchscript(path):
        raise DataError(f"{path} is a TorchScript archive, which is a program: use the plain weights {FILES[0]}")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            # the restricted loader builds tensors and plain containers only
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, UnpicklingError, SafetensorError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise DataError(f"{path} cannot be read as weights ({reason}): fetch {FILES[0]} again") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise DataError(f"{path} holds no flat table of tensors: use {FILES[0]}")
    for name in [*shapes, *state]:
        if name not in state or name not in shapes or state[name].shape != shapes[name]:
            raise DataError(f"{path} holds another network ('{name}' differs): use {FILES[0]}")
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor.long() for name, tensor in sorted(state.items())
    }


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())


def _own_directory() -> Path:
    return cache_directory() / "inception"
