"""The examples that a score is taken of: a data set, arrays in memory, or blocks that come one after another."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from kallima.data.spec import Field, Image, Label, Spec
from kallima.data.view import View
from kallima.errors import DataError, UsageError

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

REAL_LIMIT = 10_000
_BLOCK = 1000

Images = Any
"""A `Dataset`, an array uint8 (N, H, W, C), or an iterable of such arrays or of pairs (images, labels int (n,))."""


class Block(NamedTuple):
    """Some examples: images uint8 (n, H, W, C), labels int64 (n,) or None, their positions in the set int64 (n,)."""

    images: Tensor
    labels: Tensor | None
    positions: Tensor


class ImageSet:
    """One side of a comparison, read once and in blocks.

    `what` names it in messages: "the samples". `image` is what its pictures are like, None for blocks not yet read;
    `count` how many there are, None where only the end will tell. `data` reads them at random, where that is possible.
    """

    def __init__(self, given: Images, what: str, labels: np.ndarray | None = None):
        self.what = what
        self.data: Dataset | Arrays | None = None
        self.indices: np.ndarray | None = None
        self._blocks: Iterator[tuple[Any, Any]] = iter(())
        self.image: Image | None = None
        self.labelled = False
        if _readable(given):
            self.data, self.image = given, image_field(given)
        elif isinstance(given, (np.ndarray, Tensor)):
            self.data = Arrays(given, labels, what)
            self.image = image_field(self.data)
        elif isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping)):
            self._open(iter(given))
        else:
            raise DataError(
                f"{what} are a {type(given).__name__}: give an array uint8 (N, H, W, C), blocks or a data set"
            )
        if self.data is not None:
            self.labelled = "label" in self.data.spec
            self.indices = np.arange(len(self.data))

    def _open(self, given: Iterator[Any]) -> None:
        """Look at the first block, so that what the pictures are like is known."""
        first = next(given, None)
        if first is None:
            raise DataError(f"0 {_plain(self.what)} cannot be judged: draw two or more")
        pair = _pair(first)
        self.labelled, self.image = pair[1] is not None, _image_of(pair[0], self.what)
        self._blocks = (_pair(block) for block in chain([first], given))

    @property
    def name(self) -> str:
        """The name of the data set; "arrays" for what has none."""
        return "arrays" if self.data is None else self.data.name

    @property
    def split(self) -> str:
        """Which part of the data set; "-" for what has none."""
        return "-" if self.data is None else self.data.split

    @property
    def fingerprint(self) -> str | None:
        """The SHA-256 of the data's content; None for blocks, which are read once."""
        return None if self.data is None else self.data.fingerprint

    @property
    def view(self) -> str | None:
        """How the pictures of a data set are seen, in words: "32×32, 3 channels, crop centre"."""
        return None if self.data is None else describe_view(self.data)

    @property
    def count(self) -> int | None:
        """How many examples there are."""
        return None if self.indices is None else len(self.indices)

    def limit(self, count: int | None, seed: int) -> None:
        """Use no more than `count` (10,000) examples of a data set, drawn with the seed; arrays are used whole.

        Raises:
            UsageError: that is fewer than two.
        """
        if count is not None and count < 2:
            raise UsageError(f"{count} real examples are too few: a score needs two or more")
        if self.data is not None and not isinstance(self.data, Arrays):
            self.indices = draw(self.data, seed, count)

    def rest(self) -> "ImageSet | None":
        """Return the examples that `limit` left out, if any."""
        if self.data is None or self.indices is None or len(self.indices) == len(self.data):
            return None
        rest = ImageSet(self.data, self.what)
        rest.indices = np.setdiff1d(np.arange(len(self.data)), self.indices)
        return rest

    def pictures(self, places: Tensor) -> Tensor | None:
        """Return the images uint8 (…, H, W, C) at indices int64 (…) of the data; None of blocks, which are gone."""
        if self.data is None:
            return None
        images = self.data.read(places.flatten().cpu().numpy())["image"]
        return images.view(*places.shape, *images.shape[1:])

    def blocks(self, rank: int = 0, world: int = 1) -> Iterator[Block]:
        """Yield the examples, a thousand or so at a time; of many processes each takes every `world`-th.

        Raises:
            DataError: a block is of another size, type or range than the set.
        """
        if self.data is not None:
            assert self.indices is not None
            positions = np.arange(rank, len(self.indices), world)
            for start in range(0, len(positions), _BLOCK):
                chosen = positions[start : start + _BLOCK]
                fields = self.data.read(self.indices[chosen])
                yield Block(fields["image"], fields.get("label"), torch.from_numpy(chosen))
            return
        position = 0
        for images, labels in self._blocks:
            if _image_of(images, self.what) != self.image:
                assert self.image is not None
                raise DataError(f"{self.what} differ in size: {tuple(images.shape[1:])} after {_shape(self.image)}")
            if (labels is None) == self.labelled:
                raise DataError(f"some blocks of {_plain(self.what)} have labels and some have none")
            own = np.arange((rank - position) % world, len(images), world)
            position += len(images)
            for start in range(0, len(own), _BLOCK):
                chosen = own[start : start + _BLOCK]
                yield Block(
                    torch.from_numpy(np.ascontiguousarray(np.asarray(images)[chosen])),
                    None if labels is None else torch.from_numpy(np.asarray(labels)[chosen].astype(np.int64)),
                    torch.from_numpy(chosen + (position - len(images))),
                )


class Arrays:
    """Images uint8 (N, H, W, C) in memory, with labels or without, read as a `Dataset` is; known by their content.

    Raises:
        DataError: the arrays are not of that type or shape, or differ in length.
    """

    view = "as it is"

    def __init__(self, images: np.ndarray | Tensor, labels: np.ndarray | None = None, what: str = "the images"):
        image = _image_of(images, what)
        self.name, self.split = "arrays", "-"
        self._images = images.numpy() if isinstance(images, Tensor) else images
        self._labels = None if labels is None else np.asarray(labels)
        fields: dict[str, Field] = {"image": image}
        if self._labels is not None:
            if self._labels.shape != (len(images),) or self._labels.dtype.kind not in "iu" or (self._labels < 0).any():
                raise DataError(
                    f"the labels of {what} are {self._labels.dtype} {self._labels.shape}: give one integer from 0 for "
                    f"each of {len(images):,} images"
                )
            fields["label"] = Label(tuple(map(str, range(max(self._labels.tolist(), default=-1) + 1))))
        self.spec = Spec(fields)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256(str(self._images.shape).encode())
        for array in (self._images, self._labels):
            if array is not None:
                for start in range(0, len(array), _BLOCK):
                    digest.update(np.ascontiguousarray(array[start : start + _BLOCK]).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._images)

    def read(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return the examples at `indices`, copied."""
        fields = {"image": torch.from_numpy(np.take(self._images, indices, axis=0))}
        if self._labels is not None:
            fields["label"] = torch.from_numpy(self._labels[indices].astype(np.int64))
        return fields


def image_field(dataset: "Dataset | Arrays") -> Image:
    """Return what the data's images are.

    Raises:
        DataError: there are none.
    """
    dataset.spec.demand({"image": Image}, "the image metrics")
    image = dataset.spec["image"]
    assert isinstance(image, Image)
    return image


def describe_view(dataset: "Dataset | Arrays") -> str:
    """Say what size and channels the pictures have, and how they were cut out where that made a difference."""
    image = image_field(dataset)
    seen = f"{image.width}×{image.height}, {image.channels} channel{'' if image.channels == 1 else 's'}"
    view = dataset.view
    if isinstance(view, View) and view.size is not None:
        own = cast("Dataset", dataset).source.fields["image"]
        assert isinstance(own, Image)
        if own.height is None or own.height != own.width:
            seen += f", crop {view.crop}"
    return seen


def draw(dataset: "Dataset", seed: int, limit: int | None = None) -> np.ndarray:
    """Return the sorted indices of up to `limit` (10,000) examples, drawn without replacement: all where there are
    no more.

    Raises:
        DataError: there are fewer than two.
    """
    limit = REAL_LIMIT if limit is None else limit
    if len(dataset) < 2:
        raise DataError(f"{dataset.name} has {len(dataset)} examples: a score needs two or more")
    if len(dataset) <= limit:
        return np.arange(len(dataset))
    return np.sort(np.random.default_rng(seed).choice(len(dataset), limit, replace=False))


def read_blocks(dataset: "Dataset | Arrays", indices: np.ndarray) -> Iterator[dict[str, Tensor]]:
    """Yield the examples at `indices` in order, a thousand at a time."""
    for start in range(0, len(indices), _BLOCK):
        yield dataset.read(indices[start : start + _BLOCK])


def check_alike(samples: Image, wanted: Image, what: str = "the samples") -> None:
    """Refuse to compare images of two sizes.

    Raises:
        DataError: they differ.
    """
    if _shape(samples) != _shape(wanted):
        height, width, channels = _shape(wanted)
        raise DataError(
            f"{what} have shape (N, {', '.join(map(str, _shape(samples)))}), the data's images need "
            f"(N, {height}, {width}, {channels}): choose --size and --channels so that they agree"
        )


def _readable(given: object) -> bool:
    return all(hasattr(given, name) for name in ("read", "spec", "name", "split"))


def _pair(block: Any) -> tuple[Any, Any]:
    return (block[0], block[1]) if isinstance(block, tuple) else (block, None)


def _shape(image: Image) -> tuple[int | None, int | None, int]:
    return image.height, image.width, image.channels


def _plain(what: str) -> str:
    return what.removeprefix("the ")


def _image_of(images: Any, what: str) -> Image:
    """Return what the images of an array are like, and refuse an array of anything else."""
    if not isinstance(images, (np.ndarray, Tensor)):
        raise DataError(f"a block of {_plain(what)} is a {type(images).__name__}: give arrays uint8 (n, H, W, C)")
    kind = str(images.dtype).removeprefix("torch.")
    if kind != "uint8":
        raise DataError(f"{what} are {kind}, images need to be uint8 from 0 to 255{_range(images)}")
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4):
        raise DataError(f"{what} have shape {tuple(images.shape)}, images need (N, height, width, 1, 3 or 4 channels)")
    height, width, channels = map(int, images.shape[1:])
    if height == 0 or width == 0:
        raise DataError(f"{what} have shape {tuple(images.shape)}: there are no pixels")
    return Image(channels, height, width)


def _range(images: np.ndarray | Tensor) -> str:
    """Say how numbers of another range become what is wanted."""
    some = np.asarray(images[:_BLOCK])
    if some.dtype.kind != "f" or some.size == 0:
        return ""
    if not np.isfinite(some).all():
        return ", and these hold NaN or infinity"
    low, high = float(some.min()), float(some.max())
    scale = {True: "(x + 1) * 127.5", False: "x * 255"}[low < 0] if high <= 1 and low >= -1 else "x"
    return f": these go from {low:.3g} to {high:.3g}, so give ({scale}).round().clip(0, 255).astype(numpy.uint8)"


Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, of how much (0: nobody knows)."""
