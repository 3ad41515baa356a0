"""Features by a network in an ONNX file, through onnxruntime.

The file has one input, float32 (N, C, H, W) or (N, H, W, C), or uint8, and its first output is (N, d), or (N, …), which
is flattened. What the input means is not in the file: the range is given here, and said in the receipt.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.errors import DataError, UsageError, import_extra
from kallima.evaluation.features.resizing import rgb

RANGES = {
    "0..1": (0.0, 255.0, "x / 255"),
    "-1..1": (127.5, 127.5, "x / 127.5 − 1"),
    "0..255": (0.0, 1.0, "0 … 255"),
}
"""Ranges by name: what is taken off, what is divided by, how the receipt says it."""

_SIZE = 224  # where the file leaves the size open


class OnnxFeatures:
    """Features by the network in `path`; images are resized to its input by antialiased bicubic, in floating point.

    A uint8 input is given the rounded pixels as they are. `size` is for files whose input leaves the size open.

    Raises:
        UsageError: onnxruntime is not installed, there is no such file, or the range is unknown.
        DataError: onnxruntime cannot read the file, or its input is no image.
    """

    name = "onnx"
    accuracy = None

    def __init__(self, path: str | Path, *, range: str = "0..1", size: int | None = None, batch_size: int = 32):
        path = Path(path).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file {path}: give the network as --features onnx:FILE.onnx")
        if range not in RANGES:
            raise UsageError(f"no range '{range}': there are {', '.join(RANGES)}")
        runtime = import_extra("onnxruntime", "onnx")
        content = path.read_bytes()
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # its warnings are of no use to whom the file was given
        try:
            self.session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exceptions have no common base
            reason = str(error).replace("\n", " ")[:160]
            raise DataError(f"{path} cannot be read as an ONNX network: {reason}") from error
        if len(self.session.get_inputs()) != 1:
            raise DataError(f"{path} has {len(self.session.get_inputs())} inputs: it must have one, the images")
        entry = self.session.get_inputs()[0]
        self.input, self.integers = entry.name, entry.type == "tensor(uint8)"
        if entry.type not in ("tensor(uint8)", "tensor(float)") or len(entry.shape) != 4:
            raise DataError(f"{path} reads {entry.type} of shape {entry.shape}: it must read images, float or uint8")
        self.channels_last, self.channels, self.size = _layout(path, entry.shape, size)
        self.fixed = entry.shape[0] if isinstance(entry.shape[0], int) else None
        self.batch_size = self.fixed or batch_size
        self.offset, self.scale, said = RANGES[range]
        self.version = hashlib.sha256(content).hexdigest()
        self.range = "uint8, 0 … 255" if self.integers else said
        height, width = self.size
        self.resize = f"bicubic, antialiased, in floating point, {width}×{height}"
        self.notes = (f"features by {path.name}",)

    def preprocess(self, images: Tensor) -> np.ndarray:
        """Return what the network reads of images uint8 (N, H, W, C)."""
        pixels = rgb(images) if self.channels == 3 else _grey(images)
        if pixels.shape[2:] != self.size:
            pixels = F.interpolate(pixels, self.size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)
        pixels = pixels.round().to(torch.uint8) if self.integers else (pixels - self.offset) / self.scale
        return (pixels.permute(0, 2, 3, 1) if self.channels_last else pixels).contiguous().numpy()

    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, d) of images uint8 (N, H, W, C).

        Raises:
            DataError: the network fails on images, or does not answer with one row for each.
        """
        found = []
        for batch in images.split(self.batch_size):
            pixels = self.preprocess(batch)
            missing = (self.fixed or len(pixels)) - len(pixels)
            if missing:  # a file may take batches of one size only
                pixels = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
            made = self._run(pixels)
            if made.ndim < 2 or len(made) != len(pixels):
                raise DataError(
                    f"the network made {made.shape} of {len(pixels)} images: it must make ({len(pixels)}, d)"
                )
            found.append(torch.from_numpy(made[: len(batch)].reshape(len(batch), -1).astype(np.float32)))
        return torch.cat(found)

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(self.session.run(None, {self.input: pixels})[0])
        except Exception as error:  # its own exceptions have no common base
            reason = str(error).replace("\n", " ")[:160]
            raise DataError(f"the ONNX network cannot run on images {pixels.shape}: {reason}") from error


def _layout(path: Path, shape: list[Any], size: int | None) -> tuple[bool, int, tuple[int, int]]:
    """Return whether channels come last, how many there are, and (height, width)."""
    _, *rest = shape
    channels_last = rest[2] in (1, 3) and rest[0] not in (1, 3)
    channels, height, width = (rest[2], rest[0], rest[1]) if channels_last else rest
    if channels not in (1, 3):
        raise DataError(f"{path} reads shape {shape}: it must read 1 or 3 channels, first or last")
    sides = [side if isinstance(side, int) else (size or _SIZE) for side in (height, width)]
    return channels_last, channels, (sides[0], sides[1])


def _grey(images: Tensor) -> Tensor:
    """Return images uint8 (N, H, W, C) as luma float (N, 1, H, W) in 0 … 255 (ITU-R BT.601)."""
    if images.shape[3] == 1:
        return images.permute(0, 3, 1, 2).float()
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (rgb(images) * weights).sum(1, keepdim=True)
