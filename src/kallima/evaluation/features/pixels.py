"""The pixels themselves: always there, and a warning how little of what an image shows they tell."""

import hashlib

import torch
from torch import Tensor

from kallima.data.spec import Image
from kallima.errors import UsageError
from kallima.evaluation.features.extractor import describe_resize, run_in_batches, squared

SIZE = 32
_LARGEST = 256


class Pixels:
    """Images brought to `size` × `size` and flattened: size² · C features in [-1, 1].

    Raises:
        UsageError: the size is not from 1 to 256.
    """

    name = "pixels"
    range = "[-1, 1]"
    accuracy = None
    notes = ("distances of pixels follow brightness and position, not what the images show",)

    def __init__(self, image: Image, *, size: int = SIZE, device: torch.device | str = "cpu", batch_size: int = 250):
        if not 1 <= size <= _LARGEST:
            raise UsageError(f"pixels are taken at sizes from 1 to {_LARGEST}, not {size}")
        self.size, self.batch_size, self.device = size, batch_size, torch.device(device)
        self.resize = describe_resize(image, size)
        self.version = hashlib.sha256(f"pixels {size} {image.channels}".encode()).hexdigest()

    def preprocess(self, images: Tensor) -> Tensor:
        """Return images uint8 (N, H, W, C) as float (N, C, size, size) in [-1, 1]."""
        return squared(images, self.size)

    def features(self, images: Tensor) -> Tensor:
        """Return features float32 (N, C · size²) of images uint8 (N, H, W, C)."""
        return run_in_batches(
            lambda batch: self.preprocess(batch).flatten(1), images, batch_size=self.batch_size, device=self.device
        )
