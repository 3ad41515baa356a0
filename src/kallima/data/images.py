"""Pictures: from a file of any common kind to uint8 (H, W, C), then to the size and channels that a model reads."""

import contextlib
import io
import re
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from kallima.data.source import Problem
from kallima.data.spec import Image
from kallima.errors import DataError

PIXEL_LIMIT = 64_000_000
"""Images of more pixels are refused by their header: a small file can unpack to more than any memory."""

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jfif", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".jp2", ".qoi", ".heic", ".heif"),
)
"""What a file must end in to be taken for an image (in lower case)."""

# Only these decoders are ever run: among Pillow's others are some that start a program (EPS) or accept anything (TGA).
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000", "QOI")
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*", b"qoif")
_HEIF = (b"heic", b"heix", b"mif1", b"msf1", b"hevc")

_UPRIGHT = {  # what undoes each EXIF orientation
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_GREY = ("L", "LA")
NAMES = {1: "grey", 3: "RGB", 4: "RGBA"}
"""What images of so many channels are called."""
_PILLOW_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def decode(data: BinaryIO | Path | bytes) -> np.ndarray:
    """Decode an image (a path, its bytes, or a seekable stream) into writable uint8 (H, W, C), C being 1, 3 or 4.

    EXIF orientation is applied. A palette becomes RGB, or RGBA where it has transparency; CMYK and YCbCr become RGB;
    one bit becomes grey; grey with alpha becomes RGBA, or grey where it is opaque everywhere; an animation gives its
    first frame. 16-bit and 32-bit integer grey is taken for 16 bits, v / 257 rounded. Floating-point grey is taken for
    [0, 1] where it lies in there, else for [0, 255].

    Raises:
        DataError: the image cannot be used; the message is what follows its name: "is empty", "is not an image", ….
    """
    with _opened(data) as image:
        orientation = _orientation(image)
        image.load()
        pixels = _to_bytes(image)
    if orientation in _UPRIGHT:
        pixels = pixels.transpose(_UPRIGHT[orientation])
    array = np.array(pixels)
    return array if array.ndim == 3 else array[:, :, None]


def decode_frames(data: BinaryIO | Path | bytes) -> list[np.ndarray]:
    """Decode all frames of an animation, each as `decode` gives the first; of a still picture there is one.

    Writers join equal frames into one that is shown for longer: where each is shown a whole number of times as long as
    the shortest, it is that many frames.

    Raises:
        DataError: as for `decode`; also for more pixels in all frames together than one image may have.
    """
    frames: list[np.ndarray] = []
    shown: list[float] = []
    with _opened(data) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            array = np.array(_to_bytes(image))
            frames.append(array if array.ndim == 3 else array[:, :, None])
            shown.append(float(image.info.get("duration", 0)))
            _demand_room(number + 1, image.size)
        shortest = min(shown)
        if shortest > 0 and all(each % shortest == 0 for each in shown):
            times = [int(each / shortest) for each in shown]
            _demand_room(sum(times), image.size)
            frames = [frame for frame, count in zip(frames, times, strict=True) for _ in range(count)]
    return frames


def _demand_room(frames: int, size: tuple[int, int]) -> None:
    if (pixels := frames * size[0] * size[1]) > PIXEL_LIMIT:
        raise DataError(f"is {pixels:,} pixels in {frames} frames, more than the limit of {PIXEL_LIMIT:,}")


def measure(data: BinaryIO | Path | bytes) -> tuple[int, int, int]:
    """Return the height, width and channels that `decode` will give, from the header alone wherever that tells them.

    Raises:
        DataError: as for `decode`, as far as the header shows it.
    """
    with _opened(data) as image:
        orientation = _orientation(image)
        if image.mode in _GREY and image.has_transparency_data:  # whether it stays grey only the pixels tell
            image.load()
            return *_shape(image, orientation), len(_to_bytes(image).getbands())
        grey = image.mode in (*_GREY, "1", "F") or image.mode[0] == "I"
        return *_shape(image, orientation), 1 if grey else 4 if image.has_transparency_data else 3


def _shape(image: Pillow.Image, orientation: int) -> tuple[int, int]:
    width, height = image.size
    return (width, height) if orientation >= 5 else (height, width)


@contextlib.contextmanager
def _opened(data: BinaryIO | Path | bytes) -> Iterator[Pillow.Image]:
    """Open an image whose header has passed, and turn whatever goes wrong with it into a DataError."""
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(data.open("rb")) if isinstance(data, Path) else data
            if isinstance(stream, bytes):
                stream = io.BytesIO(stream)
            head = stream.read(16)
            stream.seek(0)
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror or error})") from error
        if not head:
            raise DataError("is empty")
        stack.enter_context(_no_warnings)
        try:
            image = stack.enter_context(Pillow.open(stream, formats=_FORMATS))
            width, height = image.size
            if width * height > PIXEL_LIMIT:
                raise DataError(f"is {width}×{height} pixels, more than the limit of {PIXEL_LIMIT:,}")
            yield image
        except DataError:
            raise
        except Pillow.DecompressionBombError as error:  # raised before the size can be asked for
            count = re.search(r"\d+", str(error))
            pixels = f"{int(count[0]):,}" if count else "far more"
            raise DataError(f"is {pixels} pixels, more than the limit of {PIXEL_LIMIT:,}") from error
        except UnidentifiedImageError as error:
            if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
                raise DataError("is a HEIC image, which cannot be read: convert it to JPEG or PNG") from error
            known = head.startswith(_MAGIC)
            raise DataError("is cut short or damaged" if known else "is not an image") from error
        except Exception as error:  # decoders fail in every way on broken bytes: OSError, SyntaxError, zlib.error, …
            cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
            raise DataError("is cut short" if cut else f"is damaged ({str(error).partition(chr(10))[0]})") from error


class _NoWarnings:
    """Silences warnings while any thread is inside.

    `warnings.catch_warnings` alone, left by threads out of turn, would silence them for ever.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.silence = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.silence = warnings.catch_warnings()
                self.silence.__enter__()
                warnings.simplefilter("ignore")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.silence.__exit__(None, None, None)


_no_warnings = _NoWarnings()


def _orientation(image: Pillow.Image) -> int:
    """Return the EXIF orientation, 1 where there is none or it is damaged."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # asking would decode the whole image, to look for a block that comes after it
    if image.format == "TIFF":
        return 1  # Pillow turns these itself while it loads
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # a damaged EXIF block is no reason to refuse the picture
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _to_bytes(image: Pillow.Image) -> Pillow.Image:
    """Convert a loaded image to mode L, RGB or RGBA."""
    mode = image.mode
    if mode[0] == "I":
        return Pillow.fromarray(_from_16_bits(np.asarray(image)))
    if mode == "F":
        return Pillow.fromarray(_from_floats(np.asarray(image)))
    if mode == "1":
        return image.convert("L")
    if mode in _GREY and image.has_transparency_data:
        image = image.convert("RGBA")
        return image.convert("L") if image.getchannel("A").getextrema() == (255, 255) else image
    if mode in ("L", "RGBA"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _from_16_bits(values: np.ndarray) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise DataError(f"holds values from {low} to {high}: only 8 and 16 bits are known, convert it to one of them")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _from_floats(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):  # also where one is NaN
        raise DataError(f"holds floating-point values from {low:g} to {high:g}: scale them to [0, 1]")
    return np.rint(values * 255 if high <= 1 else values).astype(np.uint8)


@dataclass(frozen=True)
class Survey:
    """What the images of a source are like before any view: how many of each channel count, and their sizes."""

    channels: dict[int, int] = field(default_factory=dict)
    smallest: tuple[int, int] = (0, 0)  # height, width
    largest: tuple[int, int] = (0, 0)
    problem: str = ""  # what is wrong with the first image that cannot be read

    @classmethod
    def of(cls, shapes: Iterable[tuple[int, int, int] | Problem]) -> "Survey":
        """Gather (height, width, channels) of every image that can be read."""
        channels: Counter[int] = Counter()
        sizes: set[tuple[int, int]] = set()
        problem = ""
        for shape in shapes:
            if isinstance(shape, Problem):
                problem = problem or f"{shape.path} {shape.problem}"
                continue
            height, width, count = shape
            channels[count] += 1
            sizes.add((height, width))
            if len(sizes) > 2:
                sizes = {min(sizes, key=_area), max(sizes, key=_area)}
        if not sizes:
            return cls(problem=problem)
        return cls(dict(sorted(channels.items())), min(sizes, key=_area), max(sizes, key=_area), problem)

    @property
    def image(self) -> Image:
        """The field that these images make: of differing channel counts the largest, of differing sizes None."""
        height, width = self.smallest if self.smallest == self.largest and self.channels else (None, None)
        return Image(channels=max(self.channels, default=3), height=height, width=width)

    def to_json(self) -> list[Any]:
        """Return a JSON value from which `from_json` builds an equal survey."""
        return [list(self.channels.items()), self.smallest, self.largest, self.problem]

    @classmethod
    def from_json(cls, data: list[Any]) -> "Survey":
        """Build a survey from what `to_json` gave."""
        channels, smallest, largest, problem = data
        return cls({int(count): int(n) for count, n in channels}, tuple(smallest), tuple(largest), problem)


def _area(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] * size[1], size[1]


Crop = Literal["centre", "random", "none"]


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Turn uint8 (H, W, C) into grey (luma of ITU-R BT.601), RGB or RGBA; alpha that is dropped is laid over white."""
    if image.shape[2] == channels:
        return image
    picture = Pillow.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if picture.mode == "RGBA":
        picture = Pillow.alpha_composite(Pillow.new("RGBA", picture.size, "white"), picture)
    array = np.array(picture.convert(_PILLOW_MODES[channels]))
    return array if array.ndim == 3 else array[:, :, None]
