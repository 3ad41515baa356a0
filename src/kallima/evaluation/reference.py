"""Reference statistics of a data set: the moments of its features, kept so that a second score extracts nothing again.

They are cached by the data's fingerprint and the extractor's hash, and exchanged as published: an `.npz` with `mu` (d,)
and `sigma` (d, d), float64, as TTUR, pytorch-fid, clean-fid and EDM write it; guided-diffusion's has `mu_s` and
`sigma_s` of spatial features besides, which are left alone. What we write can carry our receipt as a third array, which
the others do not look at. StyleGAN's form is a pickle, which is a program, and is refused.
"""

import hashlib
import io
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from kallima import __version__
from kallima.data.cache import cache_directory
from kallima.data.npy import ArrayFile
from kallima.errors import DataError, RunError
from kallima.evaluation.examples import Arrays, Images, ImageSet, Progress
from kallima.evaluation.extraction import Gathered, gather
from kallima.evaluation.features.extractor import FeatureExtractor, weights_hash
from kallima.evaluation.moments import FoldedMoments
from kallima.evaluation.processes import Processes
from kallima.files import write_whole

_FORMAT = 1  # of what is cached
_TEXTS = ("name", "split", "fingerprint", "extractor", "extractor_hash", "resize", "range")
_RECEIPT = "kallima"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reference:
    """Moments of the features of real images, and how they were made; None for what is not known."""

    moments: FoldedMoments
    name: str
    split: str = "-"
    fingerprint: str | None = None
    extractor: str | None = None
    extractor_hash: str | None = None
    resize: str | None = None
    range: str | None = None
    notes: tuple[str, ...] = ()
    view: str | None = None

    def gathered(self) -> Gathered:
        """Return what a metric reads."""
        return Gathered("the real images", self.moments.count or 0, {}, self.moments, self.notes)

    def demand(self, extractor: FeatureExtractor) -> None:
        """Refuse features of another kind than these statistics are of.

        Raises:
            DataError: they differ in what is known; the message names it.
        """
        for what, mine, theirs in (
            ("the extractor", self.extractor, extractor.name),
            ("the extractor's hash", self.extractor_hash, extractor.version),
            ("the resize", self.resize, extractor.resize),
            ("the range", self.range, extractor.range),
        ):
            if mine is not None and mine != theirs:
                raise DataError(
                    f"the reference statistics {self.name} are of other features: {what} was {mine}, is {theirs}"
                )

    def write(self, path: str | Path, *, receipt: bool = True) -> None:
        """Write `mu` and `sigma`, and without `receipt` nothing else, as float64 into an .npz.

        Raises:
            RunError: the file cannot be written.
        """
        total = self.moments.total()
        arrays = {"mu": total.mean.cpu().numpy(), "sigma": total.covariance.cpu().numpy()}
        if receipt:
            facts = {**self._facts(), "count": self.moments.count, "kallima": __version__}
            arrays[_RECEIPT] = np.array([json.dumps(facts)])
        file = io.BytesIO()
        np.savez(file, **arrays)  # type: ignore[arg-type]
        write_whole(Path(path), file.getvalue())

    def _facts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*_TEXTS, "view")}


def holds_statistics(data: object, key: str | None = None) -> bool:
    """Say whether data is a file of statistics and not of examples, of which `key` would name an array.

    Raises:
        DataError: it is an .npz that is damaged.
    """
    if not isinstance(data, (str, Path)) or key is not None:
        return False
    path = Path(data)
    if path.suffix in (".pkl", ".pickle"):  # which `read_reference` refuses
        return True
    return path.suffix == ".npz" and path.is_file() and {"mu", "sigma"} <= set(ArrayFile(path).headers)


def read_reference(path: str | Path) -> Reference:
    """Read published statistics, ours or another tool's.

    Raises:
        DataError: the file is no such .npz; nothing in it is ever run.
    """
    path = Path(path)
    if path.suffix in (".pkl", ".pickle"):
        raise DataError(f"{path} is a pickle, which is a program: give statistics as an .npz with mu and sigma")
    file = ArrayFile(path)
    for name in ("mu", "sigma"):
        if name not in file.headers:
            raise DataError(f"{path} holds {', '.join(file.headers)}: reference statistics are called mu and sigma")
    mean, covariance = file.load("mu"), file.load("sigma")
    width = len(mean)
    if mean.ndim != 1 or covariance.shape != (width, width) or {mean.dtype.kind, covariance.dtype.kind} != {"f"}:
        raise DataError(
            f"{path} holds mu {mean.dtype} {mean.shape} and sigma {covariance.dtype} {covariance.shape}: "
            "they need to be numbers (d,) and (d, d)"
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise DataError(f"{path} holds NaN or infinity")
    scale = max(float(np.abs(covariance).max()), 1e-300)
    if np.abs(covariance - covariance.T).max() > 1e-6 * scale or covariance.diagonal().min() < -1e-6 * scale:
        raise DataError(f"sigma in {path} is no covariance: it needs to be symmetric, its diagonal not negative")
    facts = _receipt(file)
    count = facts.get("count")
    notes: tuple[str, ...] = ()
    if not facts:
        notes = (f"{path.name} does not say of how many images, by which extractor and resize, its statistics are",)
    moments = FoldedMoments.published(torch.from_numpy(mean), torch.from_numpy(covariance), count)
    known = {name: facts[name] for name in (*_TEXTS, "view") if name in facts}
    return Reference(moments, **{"name": path.name, **known}, notes=notes)


def reference_statistics(
    images: Images,
    extractor: FeatureExtractor,
    *,
    limit: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    distributed: bool = False,
    progress: Progress | None = None,
) -> Reference:
    """Return the statistics of a set of images: all of them, or `limit` drawn from a data set with `seed`.

    Those of a data set come from the cache where they are there.
    """
    processes = Processes.of_group() if distributed else Processes()
    chosen = ImageSet(images, "the real images")
    if limit is not None:
        chosen.limit(limit, seed)
    return reference_of(chosen, extractor, device=device, processes=processes, progress=progress)


def reference_of(
    images: ImageSet,
    extractor: FeatureExtractor,
    *,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
    progress: Progress | None = None,
) -> Reference:
    """Return the statistics of an opened set, from the cache where they are there."""
    processes = processes or Processes()
    path = _path(images, extractor)
    found = None if path is None else _load(path)
    if not processes.all(found is not None):  # all read, or all extract
        found = None
    notes: tuple[str, ...] = ()
    if found is None:
        gathered = gather(images, {"moments"}, extractor, device=device, processes=processes, progress=progress)
        found, notes = gathered.moments, gathered.notes
        if path is not None and processes.rank == 0 and not notes:
            _store(path, found)
    return Reference(
        found,
        images.name,
        images.split,
        None if images.data is None or isinstance(images.data, Arrays) else images.data.fingerprint,
        extractor.name,
        extractor.version,
        extractor.resize,
        extractor.range,
        notes,
        images.view,
    )


def _path(images: ImageSet, extractor: FeatureExtractor) -> Path | None:
    """Return where the statistics are cached; None for what has no fingerprint, or an extractor without a hash."""
    data = images.data
    if data is None or isinstance(data, Arrays) or not re.fullmatch("[0-9a-f]{64}", extractor.version):
        return None
    assert images.image is not None
    assert images.indices is not None
    identity = {
        "format": _FORMAT,
        "data": data.fingerprint,
        "split": data.split,
        "view": str(data.view),
        "image": images.image.to_json(),
        "examples": hashlib.sha256(images.indices.astype("<i8").tobytes()).hexdigest(),
        "extractor": [extractor.name, extractor.version, extractor.resize, extractor.range],
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    return cache_directory() / "references" / f"{key}.safetensors"


def _load(path: Path) -> FoldedMoments | None:
    """Read cached statistics; None where there are none, or not whole ones."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {})["sha256"]
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a mapping
        if weights_hash(state) != told:
            return None
        return FoldedMoments.restored(state)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return None


def _store(path: Path, moments: FoldedMoments) -> None:
    """Keep statistics; a cache that cannot be written costs only the time next time."""
    state = {name: tensor.contiguous() for name, tensor in moments.state().items()}
    try:
        write_whole(path, save(state, {"sha256": weights_hash(state)}))
    except RunError as error:
        _log.warning("the reference statistics are not kept for next time: %s", error)


def _receipt(file: ArrayFile) -> dict[str, Any]:
    """Return what our own receipt in a file says; nothing where there is none."""
    if _RECEIPT not in file.headers:
        return {}
    try:
        facts = json.loads(str(file.load(_RECEIPT)[0]))
        count, texts = facts["count"], [*(facts[name] for name in _TEXTS), facts.get("view")]
        if not (count is None or (isinstance(count, int) and count > 1)):
            raise ValueError(count)
        if not all(text is None or isinstance(text, str) for text in texts):
            raise ValueError(texts)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"the receipt in {file.path} is damaged: make the statistics again") from error
    return facts
