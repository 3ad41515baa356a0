"""One pass over a set of images that keeps only what the chosen metrics need."""

from collections.abc import Iterable
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from kallima.errors import DataError
from kallima.evaluation.examples import Block, ImageSet, Progress
from kallima.evaluation.features.extractor import FeatureExtractor, class_probabilities, features_and_logits
from kallima.evaluation.memorisation import TrainingSearch
from kallima.evaluation.moments import FoldedMoments
from kallima.evaluation.processes import Processes

Need = Literal["features", "moments", "probabilities", "images", "labels"]
"""features: float32 (N, d); moments: their mean and covariance, in constant memory however many images there are;
probabilities: of classes, float32 (N, K); images: uint8 (N, H, W, C); labels: int64 (N,)."""

EXTRACTED = frozenset[Need]({"features", "moments", "probabilities"})


class Gathered:
    """What is known of one set: its count, notes, and what was needed. Asking for anything else is a mistake."""

    def __init__(
        self,
        what: str,
        count: int,
        kept: dict[Need, Tensor],
        moments: FoldedMoments | None,
        notes: tuple[str, ...] = (),
    ):
        self.what, self.count, self.notes = what, count, notes
        self._kept, self._moments = kept, moments

    def _demand(self, need: Need) -> Tensor:
        if need not in self._kept:
            raise KeyError(f"the {need} of {self.what} were not gathered: name them in the metric's needs")
        return self._kept[need]

    @property
    def features(self) -> Tensor:
        """Features float32 (N, d), on the device of the evaluation."""
        return self._demand("features")

    @property
    def probabilities(self) -> Tensor:
        """Probabilities of classes float32 (N, K)."""
        return self._demand("probabilities")

    @property
    def images(self) -> Tensor:
        """Images uint8 (N, H, W, C), on the CPU."""
        return self._demand("images")

    @property
    def labels(self) -> Tensor:
        """Class indices int64 (N,), on the CPU."""
        return self._demand("labels")

    @cached_property
    def moments(self) -> FoldedMoments:
        """Mean and covariance of the features."""
        return FoldedMoments.of(self.features) if self._moments is None else self._moments


def gather(
    images: ImageSet,
    needs: Iterable[Need],
    extractor: FeatureExtractor | None,
    *,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
    progress: Progress | None = None,
) -> Gathered:
    """Read a set once and keep of it what is needed; with several processes each reads its share and all get the whole.

    Features and probabilities are kept on `device`, which also sums the moments.

    Raises:
        DataError: there are fewer than two images, or features that are not finite.
    """
    processes = processes or Processes()
    needs = set(needs)
    if "features" in needs:
        needs.discard("moments")  # had from the features
    if images.count is not None:
        _demand_two(images.count, images.what)
    keeper = _Keeper(images, needs, extractor, device, processes)
    for block in images.blocks(processes.rank, processes.count):
        keeper.take(block)
        if progress is not None:
            done = min(keeper.count * processes.count, images.count or keeper.count * processes.count)
            progress(f"reading {images.what}", done, images.count or 0)
    return keeper.finish()


def look_at_all(
    search: TrainingSearch,
    images: ImageSet,
    gathered: Gathered,
    extractor: FeatureExtractor,
    *,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
    progress: Progress | None = None,
) -> None:
    """Search a whole set: what was `gathered` of it, then what `limit` left out, block by block and keeping nothing.

    Of several processes each looks at its share, and all know the result.

    Raises:
        DataError: there are features that are not finite.
    """
    processes = processes or Processes()
    indices = torch.arange(gathered.count) if images.indices is None else torch.from_numpy(images.indices)
    share = slice(processes.rank, None, processes.count)
    search.look(gathered.features[share], indices[share])
    if (rest := images.rest()) is not None:
        assert rest.indices is not None
        total, done = len(rest.indices), 0
        for block in rest.blocks(processes.rank, processes.count):
            features, _ = _extracted(rest, block, extractor)
            search.look(features.float().to(_device(device)), torch.from_numpy(rest.indices)[block.positions])
            done += len(block.positions)
            if progress is not None:
                progress("looking for copies", min(done * processes.count, total), total)
    search.join(processes)


class _Keeper:
    """Takes blocks, gives what was needed of them."""

    def __init__(
        self,
        images: ImageSet,
        needs: set[Need],
        extractor: FeatureExtractor | None,
        device: torch.device | str,
        processes: Processes,
    ):
        self.images, self.needs, self.extractor, self.processes = images, needs, extractor, processes
        self.device = _device(device)
        self.count = 0
        self.rows: dict[Need, _Rows] = {need: _Rows() for need in needs if need != "moments"}
        self.positions = _Rows()
        self.moments: FoldedMoments | None = None
        self.first: Tensor | None = None
        self.constant, self.brightest = True, 0

    def take(self, block: Block) -> None:
        pixels = block.images
        if len(pixels) == 0:
            return
        self.first = pixels[0].clone() if self.first is None else self.first
        self.constant = self.constant and bool((pixels == self.first).all())
        self.brightest = max(self.brightest, int(pixels.max()))
        self.count += len(pixels)
        expected = self.images.count if self.processes.count == 1 else None
        if self.rows and self.processes.count > 1:  # else nothing is to be gathered by them
            self.positions.add(block.positions, expected)
        found: dict[Need, Tensor] = {}
        if "images" in self.needs:
            found["images"] = pixels
        if "labels" in self.needs:
            assert block.labels is not None
            found["labels"] = block.labels
        if self.needs & EXTRACTED:
            found |= self._extract(block)
        for need, rows in found.items():
            self.rows[need].add(rows, expected)

    def _extract(self, block: Block) -> dict[Need, Tensor]:
        assert self.extractor is not None
        logits_too = "probabilities" in self.needs
        features, logits = _extracted(self.images, block, self.extractor, logits=logits_too)
        found: dict[Need, Tensor] = {}
        if "features" in self.needs:
            found["features"] = features.float().to(self.device)
        if "moments" in self.needs:
            if self.moments is None:
                self.moments = FoldedMoments(features.shape[1], device=self.device)
            self.moments.add(features.to(self.device), block.positions.to(self.device))
        if logits is not None:
            found["probabilities"] = class_probabilities(logits).to(self.device)
        return found

    def finish(self) -> Gathered:
        processes, what = self.processes, self.images.what
        count = processes.total(self.count)
        _demand_two(count, what)
        if not processes.all(self.count > 0):
            raise DataError(f"{count} {what.removeprefix('the ')} are fewer than the {processes.count} processes")
        kept: dict[Need, Tensor] = {}
        positions = self.positions.whole()
        for need in sorted(self.rows):
            kept[need] = processes.gather(self.rows.pop(need).whole(), positions, count)
        moments = self.moments
        if moments is not None:
            moments = processes.combine(moments)
        return Gathered(what, count, kept, moments, self._notes(count))

    def _notes(self, count: int) -> tuple[str, ...]:
        notes = []
        what = self.images.what
        assert self.first is not None
        if self.processes.all_agree(self.constant, self.first):
            notes.append(f"{what} are {count:,} times the same picture")
        if 0 < self.processes.largest(self.brightest) <= 1:
            notes.append(f"no pixel of {what} is above 1 of 255: were they scaled to 0 … 1?")
        return tuple(notes)


def _extracted(
    images: ImageSet, block: Block, extractor: FeatureExtractor, *, logits: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return a block's features (n, d), and its logits (n, K) where asked for, once both are known to be sound."""
    found = features_and_logits(extractor, block.images, logits=logits)
    if found[0].ndim != 2 or len(found[0]) != len(block.images):
        raise DataError(
            f"the {extractor.name} extractor made {tuple(found[0].shape)} of {len(block.images)} images: "
            f"it must return ({len(block.images)}, d)"
        )
    for values in found:
        if values is not None and not values.isfinite().all():
            kind = images.what.removeprefix("the ").removesuffix(" images")
            whose = "the samples" if kind == "samples" else f"the {kind} images"
            raise DataError(f"the {extractor.name} features of {whose} hold NaN or infinity")
    return found


def _device(device: torch.device | str) -> torch.device:
    """Return where features are compared: other accelerators lack float64, in which metrics reckon."""
    wanted = torch.device(device)
    return wanted if wanted.type == "cuda" else torch.device("cpu")


class _Rows:
    """Rows collected block by block, into one allocation where their number is known."""

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []
        self._whole: Tensor | None = None
        self._filled = 0

    def add(self, rows: Tensor, expected: int | None) -> None:
        if expected is None:
            self._blocks.append(rows)
            return
        if self._whole is None:
            self._whole = torch.empty(expected, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
        self._whole[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)

    def whole(self) -> Tensor:
        if self._whole is not None:
            return self._whole
        return torch.cat(self._blocks) if self._blocks else torch.zeros(0, dtype=torch.int64)


def _demand_two(count: int, what: str) -> None:
    if count < 2:
        raise DataError(f"{count} {what.removeprefix('the ')} cannot be judged: give two or more")
