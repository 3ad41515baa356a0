"""A view: how a source's examples are looked at, so that all of a kind have one size, rate or alphabet."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from PIL import Image as Pillow

from kallima.data.images import NAMES, Crop, Survey, with_channels
from kallima.data.spec import Audio, Image, Text
from kallima.errors import DataError, UsageError

Tokens = Literal["character", "word"]

VOCABULARY = 10_000
"""Tokens that have a code where the view does not say."""
LENGTH = 1_024
"""Codes of a text where the view does not say: what is longer is cut off."""
SAMPLES = 1 << 22
"""Samples of a sound above which somebody has to choose."""


@dataclass(frozen=True)
class View:
    """How examples are seen; None leaves them as they are.

    Images, and frames of videos, as squares of `size` pixels with `channels` channels; `crop` says what becomes of the
    longer side: "centre" and "random" cut a square out of the image, "none" squeezes the whole into it. Sounds at
    `rate` samples a second, `seconds` long. Texts as `tokens`, each one of the `vocabulary` most frequent, `length` of
    them at most.

    Raises:
        UsageError: a value is none that there is.
    """

    size: int | None = None
    crop: Crop = "centre"
    channels: int | None = None
    rate: int | None = None
    seconds: float | None = None
    tokens: Tokens | None = None
    length: int | None = None
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "length", "vocabulary"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise UsageError(f"--{name} must be at least 1, not {number}")
        if self.seconds is not None and not 0 < self.seconds < 3600:
            raise UsageError(f"--seconds must be above 0 and below 3,600, not {self.seconds:g}")
        if self.tokens not in (None, *get_args(Tokens)):
            raise UsageError(f"--tokens must be character or word, not '{self.tokens}'")
        if self.size is not None and self.size < 1:
            raise UsageError(f"--size must be at least 1, not {self.size}")
        if self.crop not in get_args(Crop):
            raise UsageError(f"--crop must be centre, random or none, not '{self.crop}'")
        if self.channels not in (None, *NAMES):
            raise UsageError(f"--channels must be 1 (grey), 3 (RGB) or 4 (RGBA), not {self.channels}")

    def apply(self, image: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Turn uint8 (H, W, C) into uint8 (size, size, channels), antialiased by a Lanczos window.

        `rng` places a random crop. Alpha that is dropped is laid over white, alpha that is added is opaque.
        """
        if self.channels is not None:
            image = with_channels(image, self.channels)
        if self.size is None:
            return image
        height, width, channels = image.shape
        left, top, right, bottom = 0, 0, width, height
        if self.crop != "none":
            side = min(height, width)
            if self.crop == "centre":
                left, top = (width - side) // 2, (height - side) // 2
            elif rng is not None:
                left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
            else:
                raise ValueError("a random crop needs rng")
            right, bottom = left + side, top + side
        if (right - left, bottom - top) == (self.size, self.size):
            return image[top:bottom, left:right].copy()
        picture = Pillow.fromarray(image[:, :, 0] if channels == 1 else image)
        square = (self.size, self.size)
        resized = np.array(picture.resize(square, Pillow.Resampling.LANCZOS, box=(left, top, right, bottom)))
        return resized if resized.ndim == 3 else resized[:, :, None]

    def field(self, image: Image, survey: Survey | None = None) -> Image:
        """Return the field that images become; `survey` (a source's own) lets the refusals name what there is.

        Raises:
            DataError: the images differ in size or channels and the view does not choose.
        """
        if survey is not None and not survey.channels:
            raise DataError(f"not one of the images can be used ({survey.problem}): 'kallima data check' tells of each")
        if self.size is None and (image.height is None or image.width is None):
            sizes = f" (from {_size(survey.smallest)} to {_size(survey.largest)})" if survey is not None else ""
            raise DataError(f"the images differ in size{sizes}: choose one with --size 64")
        if self.channels is None and survey is not None and len(survey.channels) > 1:
            counts = ", ".join(f"{count} {NAMES[channels]}" for channels, count in survey.channels.items())
            raise DataError(f"the images differ in channels ({counts}): choose with --channels 1, 3 or 4")
        seen = Image(self.channels or image.channels, self.size or image.height, self.size or image.width)
        # resized or with other channels, pictures have other colours than those listed
        return replace(seen, palette=image.palette) if seen == replace(image, palette=None) else seen

    def text_field(self, text: Text, counts: Mapping[str, int], longest: int) -> Text:
        """Return the field that texts become, of which `counts` tells how often each token occurs.

        `longest` is the number of tokens of the longest text. Tokens are kept by their number, then by their order.
        """
        tokens = self.tokens or "character"
        kept = sorted(counts, key=lambda token: (-counts[token], token))[: self.vocabulary or VOCABULARY]
        return replace(text, tokens=tokens, vocabulary=tuple(kept), length=min(longest + 1, self.length or LENGTH))

    def audio_field(self, audio: Audio, rates: Mapping[int, int], longest: float) -> Audio:
        """Return the field that sounds become: of the commonest of their `rates`, as long as the `longest`, in seconds.

        Raises:
            DataError: that is more than `SAMPLES` samples, and the view does not choose.
        """
        rate = self.rate or max(rates, key=lambda each: (rates[each], each))
        samples = math.ceil(round((self.seconds or longest) * rate, 3))
        if samples > SAMPLES:
            raise DataError(
                f"the longest sound has {longest:.3g} seconds at {rate:,} samples a second: choose with --seconds, "
                "such as --seconds 2"
            )
        return replace(audio, rate=rate, samples=samples)


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"
