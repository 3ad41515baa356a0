"""An image to the bytes of a file and back, by a system that `Compresses`."""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kallima.compression.coder import Tables
from kallima.compression.container import PIXEL_LIMIT, Content, pack, unpack
from kallima.data.batch import from_storage, to_storage
from kallima.data.images import with_channels
from kallima.data.spec import Image
from kallima.errors import DataError, UsageError
from kallima.system import Compresses, System

_COUNTED = ("progress", "step")  # buffers that count the training, and code nothing
_NAMES = {1: "grey", 3: "RGB", 4: "RGBA"}


class Written(NamedTuple):
    """A file's bytes, how many of these are the coded numbers, and the numbers."""

    data: bytes
    payload: int
    parts: list[Tensor]


class Codec:
    """A system ready to write and read files: its tables as models, and the fingerprint of its weights.

    Raises:
        UsageError: the system is no codec, or the coder is not installed.
    """

    def __init__(self, system: System):
        if not isinstance(system, Compresses):
            raise UsageError(f"{type(system).__name__} does not compress: train factorised-prior or scale-hyperprior")
        image = system.spec["image"]
        assert isinstance(image, Image)
        self.system: Compresses = system
        self.channels = image.channels
        tables = system.tables()
        self.tables, self.fingerprint = Tables(tables), fingerprint(system, tables)

    def write(self, image: np.ndarray) -> Written:
        """Return the file of an image uint8 (H, W, C).

        Raises:
            DataError: the image is too large, or has channels that the system does not know.
        """
        height, width, channels = image.shape
        if height * width > PIXEL_LIMIT:
            raise DataError(f"is {width}×{height} pixels, more than the limit of {PIXEL_LIMIT:,}")
        shown = from_storage(torch.from_numpy(self.seen(image))[None])
        parts = self.system.describe(shown)
        expected = [self._expected(parts[:number], height, width) for number in range(len(parts))]
        payload = self.tables.write((p.numpy(), which) for p, which in zip(parts, expected, strict=True))
        content = Content(self.fingerprint, height, width, min(channels, self.channels), _check(parts), payload)
        return Written(pack(content), len(payload), parts)

    def read(self, data: bytes) -> np.ndarray:
        """Return the image uint8 (H, W, C) of the bytes of a file.

        Raises:
            DataError: they are not a whole file of this codec; the message follows the file's name.
        """
        content = unpack(data)
        if content.fingerprint != self.fingerprint:
            theirs, ours = content.fingerprint.hex(), self.fingerprint.hex()
            raise DataError(f"was made with other weights ({theirs}) than these ({ours}): use the run that made it")
        reader, said = self.tables.reader(content.payload), list[Tensor]()
        size = content.height, content.width
        while (which := self.system.expect(said, *size)) is not None:
            said.append(torch.from_numpy(reader.read(which.numpy())))
        if _check(said) != content.check:
            raise DataError("is damaged: the numbers that it holds are not those that were written")
        return self.depict(said, *size, content.channels)

    def depict(self, parts: Sequence[Tensor], height: int, width: int, channels: int) -> np.ndarray:
        """Return the image uint8 (H, W, C) of the parts."""
        image = to_storage(self.system.depict(parts, height, width))[0].cpu().numpy()
        return with_channels(image, channels)

    def seen(self, image: np.ndarray) -> np.ndarray:
        """Return an image uint8 (H, W, C) with the channels that the system knows.

        Raises:
            DataError: colours or transparency would be lost; the message follows the image's name.
        """
        known, given = self.channels, image.shape[2]
        opaque = given == 4 and bool((image[:, :, 3] == 255).all())
        if given > known and not (opaque and known == 3):
            raise DataError(f"is {_NAMES[given]}, and the run codes {_NAMES[known]} images: convert it first")
        return np.array(with_channels(image, known))  # one that may be written to, which torch wants

    def _expected(self, said: Sequence[Tensor], height: int, width: int) -> np.ndarray:
        which = self.system.expect(said, height, width)
        assert which is not None
        return which.numpy()


def fingerprint(system: Any, tables: Sequence[tuple[int, Tensor]]) -> bytes:
    """Return 8 bytes that tell weights from others, and tables: a machine that found others must not read."""
    digest = hashlib.sha256()
    for name, tensor in sorted(system.state_dict().items()):
        if name not in _COUNTED:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    for first, frequencies in tables:
        digest.update(f"{first} {frequencies.tolist()}\n".encode())
    return digest.digest()[:8]


def _check(parts: Sequence[Tensor]) -> int:
    found = 0
    for part in parts:
        found = zlib.crc32(part.numpy().astype("<i4").tobytes(), found)
    return found
