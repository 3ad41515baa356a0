"""What an example holds: named fields with shapes, ranges and units. Plain data, no torch."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from kallima.errors import DataError


@dataclass(frozen=True)
class Field:
    """One named part of an example. A subclass is a kind; its `remedy` says how data comes to have it."""

    remedy: ClassVar[str]
    kinds: ClassVar[dict[str, type["Field"]]] = {}

    def __init_subclass__(cls) -> None:
        Field.kinds[cls.__name__.lower()] = cls

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object from which `field_from_json` builds an equal field, without defaults."""
        default = {each.name: each.default for each in fields(self)}
        own = {name: value for name, value in asdict(self).items() if value != default[name]}
        return {"kind": type(self).__name__.lower(), **own}


@dataclass(frozen=True)
class Image(Field):
    """A picture: uint8 (height, width, channels) in storage, float (channels, height, width) in [-1, 1] in a batch.

    1 channel is grey, 3 RGB, 4 RGBA. A source whose images differ in size has `height` and `width` None. Images that
    are known to have few colours have them in `palette`, a tuple of uint8 a colour.
    """

    remedy: ClassVar[str] = (
        "point --data at a folder of images, or at an .npz with an array of shape (N, H, W) or (N, H, W, C)"
    )
    channels: int
    height: int | None
    width: int | None
    palette: tuple[tuple[int, ...], ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image in a batch.

        Raises:
            DataError: the images differ in size.
        """
        if self.height is None or self.width is None:
            raise DataError("the images differ in size and the network needs one size: give --size, such as --size 64")
        return self.channels, self.height, self.width


@dataclass(frozen=True)
class Label(Field):
    """One class out of `classes`: int64 index."""

    remedy: ClassVar[str] = (
        "put the images of each class in a folder of its own, "
        "or add a metadata.csv with the columns file_name and label"
    )
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Attributes(Field):
    """Several yes-or-no properties at once: float (len(names),) of 0 and 1."""

    remedy: ClassVar[str] = "add a metadata.csv with the column file_name and one column of 0 and 1 an attribute"
    names: tuple[str, ...]


@dataclass(frozen=True)
class Values(Field):
    """Several numbers at once, such as an age: float (len(names),), in a batch (value - offset) / scale.

    `offset` and `scale` are the mean and the deviation over the train split; files hold the numbers themselves.
    """

    remedy: ClassVar[str] = "add a metadata.csv with the column file_name and one column of numbers a value"
    names: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class Text(Field):
    """A string, such as a caption or a line; with a vocabulary int64 (length,) in a batch, as `data.tokens` codes it.

    `tokens` says what it is made of, "character" or "word", `vocabulary` lists those that have a code of their own, and
    `length` is the number of codes, of which the end of the text is one.
    """

    remedy: ClassVar[str] = (
        "give a .txt with one text a line, or add a metadata.csv with the columns file_name and text"
    )
    tokens: str | None = None
    vocabulary: tuple[str, ...] = ()
    length: int | None = None

    @property
    def shape(self) -> tuple[int]:
        """The number of codes of a text in a batch.

        Raises:
            DataError: the text has no codes.
        """
        if self.length is None:
            raise DataError("the text is not cut into tokens: choose with --tokens character or --tokens word")
        return (self.length,)

    @property
    def codes(self) -> int:
        """How many different codes there are: the end, the unknown, and one a token of the vocabulary."""
        return len(self.vocabulary) + 2


@dataclass(frozen=True)
class Audio(Field):
    """One channel of sound: int16 (samples,) in storage, float in [-1, 1) in a batch, `rate` samples a second.

    Shorter sounds end in zeros; "audio_length" in a batch tells, int64 (N,), how many samples are their own. A source
    whose sounds differ in rate or length has None there.
    """

    remedy: ClassVar[str] = "point --data at a folder, a .tar or .tar.gz of .wav, .flac or .ogg files"
    rate: int | None
    samples: int | None

    @property
    def shape(self) -> tuple[int]:
        """The number of samples, as the shape of a sound in a batch.

        Raises:
            DataError: the sounds differ in length.
        """
        if self.samples is None:
            raise DataError("the sounds differ in length and the network needs one: choose with --seconds 1 or so")
        return (self.samples,)


@dataclass(frozen=True)
class Video(Field):
    """Moving pictures: uint8 (frames, H, W, C) in storage, float (frames, C, H, W) in [-1, 1] in a batch."""

    remedy: ClassVar[str] = (
        "give moving-digits, a folder of .gif files, or an .npz with an array video (N, T, H, W[, C])"
    )
    frames: int
    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Frames, channels, height and width of a video in a batch."""
        return self.frames, self.channels, self.height, self.width


@dataclass(frozen=True)
class Points(Field):
    """A vector of `dimensions` float32 numbers; a batch holds (value - offset) / scale, files the value itself."""

    remedy: ClassVar[str] = "give a point set such as ring, or an .npz with an array of shape (N, D)"
    dimensions: int
    offset: tuple[float, ...] | None = None  # None: nothing is shifted or scaled
    scale: tuple[float, ...] | None = None

    @property
    def shape(self) -> tuple[int]:
        """The number of dimensions, as the shape of a point in a batch."""
        return (self.dimensions,)


DOMAIN_REMEDY = (
    "put the images of each domain in folders trainA and trainB, "
    "or add a metadata.csv with the columns file_name and domain, or an array domain to an .npz"
)
"""How data comes to have a "domain", the label that tells unpaired domains apart."""


def remedy_of(name: str, kind: type[Field]) -> str:
    """Say how data comes to have a field."""
    return DOMAIN_REMEDY if name == "domain" else kind.remedy


def field_from_json(data: Mapping[str, Any]) -> Field:
    """Build a field from what `Field.to_json` gave."""
    values = {name: _immutable(value) for name, value in data.items() if name != "kind"}
    return Field.kinds[data["kind"]](**values)


def _immutable(value: Any) -> Any:
    return tuple(map(_immutable, value)) if isinstance(value, list) else value


MEDIA = {"image": "images", "video": "videos", "audio": "sounds", "points": "points", "text": "texts"}
"""The fields that an example can be of, and what several are called; the first that it has is what a system makes, the
others tell more of it."""


@dataclass(frozen=True)
class Spec(Mapping[str, Field]):
    """The fields of an example by name; a field is called "image", "points", "label", …: its kind in lower case.

    A "domain" is a label too: which of several unpaired domains the example belongs to.
    """

    fields: Mapping[str, Field]

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.fields.items())))

    def __str__(self) -> str:
        return ", ".join(f"{name} ({type(field).__name__})" for name, field in self.fields.items())

    @property
    def medium(self) -> str:
        """What an example is: the first of `MEDIA` that it has.

        Raises:
            DataError: it has none.
        """
        for name in MEDIA:
            if name in self.fields:
                return name
        raise DataError(f"the data has only {self}, and nothing that can be learned to be made")

    @property
    def rate(self) -> int | None:
        """Samples a second of what an example is, where that is a sound."""
        made = self.fields[self.medium]
        return made.rate if isinstance(made, Audio) else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object from which `Spec.from_json` builds an equal spec."""
        return {name: field.to_json() for name, field in self.fields.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Spec":
        """Build a spec from what `Spec.to_json` gave."""
        return cls({name: field_from_json(field) for name, field in data.items()})

    def demand(self, needs: Mapping[str, type[Field]], who: str) -> None:
        """Refuse data that lacks what `who` needs.

        Raises:
            DataError: a needed field is absent or of another kind; the message gives the remedy.
        """
        for name, kind in needs.items():
            if not isinstance(self.fields.get(name), kind):
                raise DataError(
                    f"{who} needs '{name}' ({kind.__name__}), but the data has only {self}: {remedy_of(name, kind)}"
                )
