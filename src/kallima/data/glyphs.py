"""`glyphs`: letters, digits and signs drawn with the typefaces that ship inside matplotlib."""

import hashlib
import math
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from kallima.data.embedded import Embedded, package_path
from kallima.data.order import permutation, random_bits, uniform
from kallima.data.source import Example
from kallima.data.spec import Attributes, Field, Image, Label, Text

SIZE = 32
# In every face below these are what they say; elsewhere Computer Modern's maps hold other signs ("<" is "¡", "$" "£").
CHARACTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "!?&%+="
STYLES = ("bold", "italic", "serif", "monospace")

_VERSION = 1  # raise it when what is drawn changes
_ROUNDS = {"train": 16, "test": 4}  # jitters of each character in each face
_SEEDS = {"train": 1, "test": 2}
_FINER = 3  # glyphs are drawn this much larger, then averaged down
_CAPITAL = 17.5  # height of an H in pixels, in every face
_BASELINE = 22.0  # its row in the middle of the jitter
_REACH = 12.0  # pixels from the middle; ink that reaches further (a bold W) is drawn smaller, so nothing is clipped
_SHIFT, _ZOOM, _ANGLE = 1.25, 0.06, 4.0  # jitter, each way: pixels, share, degrees


@dataclass(frozen=True)
class Face:
    """A typeface: its file in matplotlib, without the ending, and its style."""

    file: str
    bold: bool = False
    italic: bool = False
    serif: bool = False
    monospace: bool = False


FACES = (
    Face("DejaVuSans"),
    Face("DejaVuSans-Bold", bold=True),
    Face("DejaVuSans-Oblique", italic=True),
    Face("DejaVuSans-BoldOblique", bold=True, italic=True),
    Face("DejaVuSansMono", monospace=True),
    Face("DejaVuSansMono-Bold", bold=True, monospace=True),
    Face("DejaVuSansMono-Oblique", italic=True, monospace=True),
    Face("DejaVuSansMono-BoldOblique", bold=True, italic=True, monospace=True),
    Face("DejaVuSerif", serif=True),
    Face("DejaVuSerif-Bold", bold=True, serif=True),
    Face("DejaVuSerif-Italic", italic=True, serif=True),
    Face("DejaVuSerif-BoldItalic", bold=True, italic=True, serif=True),
    Face("STIXGeneral", serif=True),
    Face("STIXGeneralBol", bold=True, serif=True),
    Face("STIXGeneralItalic", italic=True, serif=True),
    Face("STIXGeneralBolIta", bold=True, italic=True, serif=True),
    Face("cmr10", serif=True),
    Face("cmb10", bold=True, serif=True),
    Face("cmti10", italic=True, serif=True),
    Face("cmss10"),
    Face("cmtt10", serif=True, monospace=True),
)
_ONE_WEIGHT = ("cmti10", "cmss10", "cmtt10")  # faces without a bold counterpart


def caption(character: str, face: Face) -> str:
    """Say what is drawn: "a bold italic serif capital G", "an italic sans monospace digit 7", "a sans sign &"."""
    words = [word for word in ("bold", "italic") if getattr(face, word)]
    words += ["serif" if face.serif else "sans"] + ["monospace"] * face.monospace
    kind = "digit" if character.isdigit() else "sign" if not character.isalpha() else None
    words += [kind or ("capital" if character.isupper() else "small"), character]
    return f"{'an' if words[0] == 'italic' else 'a'} {' '.join(words)}"


class Glyphs(Embedded):
    """68 characters in 21 faces, white on black, 32×32 grey: fields image, label, attributes, text.

    Every character in every face is drawn 16 times to train and 4 times to test, each time shifted (1¼ pixels), scaled
    (6 %) and turned (4°) differently: 22,848 and 5,712 examples. So both splits are draws of one distribution, and
    the distance from one to the other is what a perfect generator would score; no picture is in both. The order is
    shuffled: any first n examples are a fair sample. Some pairs differ little (I and l of a sans, x and X): expect a
    classifier to end below 100 %.
    """

    title: ClassVar[str] = "glyphs"
    fields: Mapping[str, Field] = {
        "image": Image(1, SIZE, SIZE),
        "label": Label(tuple(CHARACTERS)),
        "attributes": Attributes(STYLES),
        "text": Text(),
    }

    def __init__(self, split: str = "train"):
        super().__init__(split)
        self._fonts: dict[Face, ImageFont.FreeTypeFont] = {}

    def __len__(self) -> int:
        return len(CHARACTERS) * len(FACES) * _ROUNDS[self.split]

    def read(self, index: int) -> Example:
        """Draw example `index` (about 0.2 ms)."""
        place = int(self._order[index])
        label, face = place % len(CHARACTERS), self.face(index)
        return {
            "image": self._draw(CHARACTERS[label], face, self._jitter[place]),
            "label": label,
            "attributes": np.array([getattr(face, style) for style in STYLES], np.float32),
            "text": caption(CHARACTERS[label], face),
        }

    def face(self, index: int) -> Face:
        """Return the face of example `index`, without drawing it."""
        return FACES[int(self._order[index]) // len(CHARACTERS) % len(FACES)]

    def label(self, index: int) -> int:
        """Return the class of example `index`, without drawing it."""
        return int(self._order[index]) % len(CHARACTERS)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the faces' files, the jitter and some of the pixels drawn.

        The pixels tell apart versions of the rasteriser; drawing all of them would take seconds.
        """
        digest = hashlib.sha256(f"{_VERSION} {self.split} {CHARACTERS} {FACES}".encode())
        for face in FACES:
            digest.update(hashlib.sha256(package_path("matplotlib", _file(face)).read_bytes()).digest())
        for index in range(0, len(self), len(self) // 100):
            digest.update(self.read(index)["image"].tobytes())
        return digest.hexdigest()

    @cached_property
    def _order(self) -> np.ndarray:
        return permutation(len(self), _SEEDS[self.split], 0)

    @cached_property
    def _jitter(self) -> np.ndarray:
        """Right, down, zoom and turn of each glyph, uniform in [-1, 1): (N, 4)."""
        counters = np.arange(4 * len(self)).reshape(-1, 4)
        return 2 * uniform(random_bits(_SEEDS[self.split], counters=counters)) - 1

    def _font(self, face: Face) -> ImageFont.FreeTypeFont:
        if face not in self._fonts:
            path = str(package_path("matplotlib", _file(face)))
            # basic layout: another engine, where there is one, may place glyphs otherwise
            trial = ImageFont.truetype(path, 1000, layout_engine=ImageFont.Layout.BASIC)
            size = 1000 * _CAPITAL * _FINER / -trial.getbbox("H", anchor="ls")[1]
            self._fonts[face] = trial.font_variant(size=round(size))
        return self._fonts[face]

    def _draw(self, character: str, face: Face, jitter: np.ndarray) -> np.ndarray:
        """Return the glyph, ink centred across and on the baseline, then jittered: uint8 (32, 32, 1)."""
        font, side = self._font(face), SIZE * _FINER
        left, top, right, bottom = font.getbbox(character, anchor="ls")
        canvas = Pillow.new("L", (side, side))
        place = ((side - left - right) / 2, _BASELINE * _FINER)
        ImageDraw.Draw(canvas).text(place, character, fill=255, font=font, anchor="ls")
        reach = max((right - left) / 2, side / 2 - place[1] - top, place[1] + bottom - side / 2)
        zoom = (1 + _ZOOM * jitter[2]) * min(1, _REACH * _FINER / reach)
        angle = math.radians(_ANGLE * jitter[3])
        a, b = math.cos(angle) / zoom, math.sin(angle) / zoom
        x, y = side / 2 + _SHIFT * _FINER * jitter[:2]  # where the middle of the canvas comes to lie
        inverse = (a, b, side / 2 - a * x - b * y, -b, a, side / 2 + b * x - a * y)
        turned = canvas.transform((side, side), Pillow.Transform.AFFINE, inverse, Pillow.Resampling.BILINEAR)
        return np.asarray(turned.reduce(_FINER))[:, :, None]


class GlyphWeights(Embedded):
    """The glyphs of the nine faces that come in two weights, 32×32 grey: fields as `glyphs`, and domain.

    The domains are "regular" and "bold", equally large, and unpaired: each glyph is jittered by itself, so that no two
    pictures differ in weight alone. A translation can be scored all the same: character and style are known of each.
    """

    title: ClassVar[str] = "glyphs-weights"
    fields: Mapping[str, Field] = {**Glyphs.fields, "domain": Label(("regular", "bold"))}

    def __init__(self, split: str = "train"):
        super().__init__(split)
        self._glyphs = Glyphs(split)

    def __len__(self) -> int:
        return len(self._chosen)

    def read(self, index: int) -> Example:
        """Draw example `index`."""
        place = int(self._chosen[index])
        return {**self._glyphs.read(place), "domain": int(self._glyphs.face(place).bold)}

    def fingerprint(self) -> str:
        """Return the SHA-256 of that of `glyphs` and of the faces chosen."""
        return hashlib.sha256(f"{self._glyphs.fingerprint()} without {_ONE_WEIGHT}".encode()).hexdigest()

    @cached_property
    def _chosen(self) -> np.ndarray:
        return np.array([i for i in range(len(self._glyphs)) if self._glyphs.face(i).file not in _ONE_WEIGHT])


def _file(face: Face) -> str:
    return f"mpl-data/fonts/ttf/{face.file}.ttf"
