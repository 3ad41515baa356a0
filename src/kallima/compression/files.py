"""Files compressed and decompressed, and what that cost."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from kallima.compression.codec import Codec
from kallima.compression.container import OVERHEAD, PIXEL_LIMIT
from kallima.data.images import decode, with_channels
from kallima.errors import DataError, UsageError
from kallima.files import write_whole
from kallima.system import System

_MOST_BYTES = 16 * PIXEL_LIMIT + OVERHEAD
"""More than any image of the format takes."""


@dataclass(frozen=True)
class Compressed:
    """What became of an image: the bytes of its file, the bits of them that are coded numbers, and its error."""

    width: int
    height: int
    bytes: int
    payload_bits: int
    psnr: float  # dB, of what the file gives; infinite where that is exact

    @property
    def bits(self) -> int:
        """Bits of the whole file."""
        return 8 * self.bytes

    @property
    def bits_per_pixel(self) -> float:
        """Bits of the whole file, a pixel."""
        return self.bits / (self.width * self.height)

    @property
    def payload_bits_per_pixel(self) -> float:
        """Bits of the coded numbers alone, a pixel."""
        return self.payload_bits / (self.width * self.height)


def compress_file(system: System, image: Path, out: Path) -> Compressed:
    """Write the file of an image.

    Raises:
        UsageError: the system is no codec, or the coder is not installed.
        DataError: the image cannot be read, or not be coded.
    """
    codec = Codec(system)
    try:
        pixels = decode(image)
        written = codec.write(pixels)
        back = codec.read(written.data)
    except DataError as problem:
        raise DataError(f"{image} {problem}") from problem
    write_whole(out, written.data)
    error = back.astype(np.float64) - with_channels(pixels, back.shape[2])
    squared = float(np.mean(error * error))
    height, width, _ = pixels.shape
    return Compressed(
        width=width,
        height=height,
        bytes=len(written.data),
        payload_bits=8 * written.payload,
        psnr=10 * math.log10(255**2 / squared) if squared else math.inf,
    )


def decompress_file(system: System, file: Path, out: Path | None) -> np.ndarray:
    """Return the image of a file, and write it where `out` says.

    Raises:
        UsageError: as for `compress_file`, or `out` is no .png.
        DataError: the file cannot be read.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise UsageError(f"{out} must end in .png")
    codec = Codec(system)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise DataError("is larger than any image of the format")
        image = codec.read(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from error
    except DataError as error:
        raise DataError(f"{file} {error}") from error
    if out is not None:
        buffer = io.BytesIO()
        Pillow.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
        write_whole(out, buffer.getvalue())
    return image
