"""The beginnings of examples: what is given, how much of it is kept, what is made and how it is shown."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kallima.conditions import Wishes
from kallima.data.batch import Batch, as_batch
from kallima.data.dataset import prepare
from kallima.data.images import decode as decode_image
from kallima.data.kinds import SOUNDS
from kallima.data.opening import EMBEDDED, open_source
from kallima.data.sound import AUDIO_LENGTH, Hearing, resampled, say_once
from kallima.data.sound import decode as decode_sound
from kallima.data.spec import Audio, Image, Text
from kallima.data.text import SUFFIXES as TEXTS
from kallima.data.tokens import END, encode, unknown
from kallima.data.view import View
from kallima.decoding import Decoding
from kallima.errors import DataError, UsageError
from kallima.job import Job
from kallima.reporting.export import ending, write_completions
from kallima.sampling.drawing import places_of, rows_of, to_units
from kallima.system import Completes, System
from kallima.training.run import Run

Progress = Callable[[int, int], None]


def complete_examples(
    run: Run,
    system: System,
    given: Any,
    *,
    keep: float,
    count: int,
    examples: int,
    condition: str | Wishes | Sequence[Wishes] | None,
    seed: int,
    out: str | None,
    decoding: Decoding,
    known: np.ndarray | None,
    progress: Progress | None,
) -> np.ndarray:
    """Return `count` completions of each example, (N, count, …) in the data's units; see `kallima.complete`."""
    if not isinstance(system, Completes):
        raise UsageError(f"{type(system).__name__} makes examples whole and completes none")
    if not 0 <= keep <= 1:
        raise UsageError(f"--keep must be from 0 to 1, not {keep:g}")
    for name, number in (("-n", count), ("--examples", examples)):
        if number < 1:
            raise UsageError(f"{name} must be at least 1, not {number}")
    if out is not None:
        ending(out, system.spec.medium)  # before the work, not after it
    count = 1 if decoding.beams > 1 else count  # a search has one end, however often it is begun
    batch, kept = _given(run, system, given, examples, keep)
    originals = batch[system.spec.medium]
    if known is not None:
        kept = _as_mask(known, kept)
    rows = rows_of(system, condition)
    if len(rows) > 1:
        raise UsageError("one condition at a time: complete again for another")
    rng = torch.Generator().manual_seed(seed)
    conditions = _conditions(system, batch, rows[0] if condition is not None else None, count, rng)
    made = system.complete(
        originals.repeat_interleave(count, 0).to(system.device),
        kept.repeat_interleave(count, 0).to(system.device),
        condition=conditions,
        rng=rng,
        decoding=decoding,
        progress=progress,
    )
    own, completed = to_units(originals, system.spec), to_units(made, system.spec)
    completed = completed.reshape(len(originals), count, *completed.shape[1:])
    if out is not None:
        write_completions(own, kept.numpy(), completed, out, system.spec.medium, rate=system.spec.rate)
    return completed


def _given(run: Run, system: System, given: Any, examples: int, keep: float) -> tuple[Batch, Tensor]:
    """Return what is given as a batch, and which of its places are kept, bool (N, *places)."""
    field = system.spec[system.spec.medium]
    if isinstance(field, Text) and _is_plain_text(given):
        return _beginnings([given] if isinstance(given, str) else list(given)[:examples], field)
    if isinstance(given, np.ndarray):
        batch = _from_array(given[:examples], field)
    elif isinstance(field, Image) and _is_picture(Path(given)):
        batch = _one_picture(Path(given), field)
    elif isinstance(field, Audio) and SOUNDS.holds(str(given)) and Path(given).is_file():
        batch = _one_sound(Path(given), field)
    else:
        job = Job.from_manifest(run.manifest).looking_at(given, system.spec)
        view = job.data.beside_name()
        key, skip_bad = view.pop("key"), view.pop("skip_bad")
        dataset = prepare(open_source(given, key=key, medium=system.spec.medium), View(**view), skip_bad=skip_bad)
        indices = np.arange(min(examples, len(dataset)))
        fields = dict(as_batch(dataset.read(indices)).fields)
        if isinstance(field, Text):
            fields["text"] = torch.from_numpy(encode(dataset.texts(indices), field))
        batch = Batch(fields)
    values = batch[system.spec.medium]
    if values.shape[1:] != field.shape:  # type: ignore[attr-defined]  # what is made has a shape
        raise DataError(
            f"what is given has the shape {tuple(values.shape[1:])}, and the run makes {tuple(field.shape)}"  # type: ignore[attr-defined]
        )
    places = places_of(field)
    known = torch.zeros(len(values), *places, dtype=torch.bool)
    if isinstance(field, Text):  # its share of each text, not of the room that there is
        lengths = (values != END).sum(1)
        known[:] = torch.arange(places[0]) < (keep * lengths)[:, None].round()
    elif isinstance(field, Audio) and "audio_length" in batch:
        known[:] = torch.arange(places[0]) < (keep * batch["audio_length"])[:, None].round()
    else:
        known[:, : round(keep * places[0])] = True
    return batch, known


def _is_plain_text(given: Any) -> bool:
    if isinstance(given, str):
        path = given.lower().endswith((*TEXTS, ".npz", ".npy")) or given in EMBEDDED
        return not path
    return isinstance(given, (list, tuple)) and all(isinstance(text, str) for text in given)


def _beginnings(texts: list[str], field: Text) -> tuple[Batch, Tensor]:
    """Return beginnings that somebody wrote, kept whole."""
    for text in texts:
        if strange := unknown(text, field):
            named = ", ".join(f"'{token}'" for token in strange[:5])
            raise DataError(f"the run has never seen {named}: it knows {len(field.vocabulary):,} {field.tokens}s")
    open_ended = encode(texts, field, ended=False)
    length = field.shape[0]
    if open_ended.shape[1] >= length:
        raise DataError(
            f"a beginning has {open_ended.shape[1]} {field.tokens}s, and the run makes {length - 1} at most"
        )
    codes = np.full((len(texts), length), END, np.int64)
    codes[:, : open_ended.shape[1]] = open_ended
    codes_of_all = torch.from_numpy(codes)
    return Batch({"text": codes_of_all}), codes_of_all != END


def _is_picture(path: Path) -> bool:
    from kallima.data.images import SUFFIXES

    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def _one_picture(path: Path, field: Image) -> Batch:
    try:
        pixels = View(size=field.height, channels=field.channels).apply(decode_image(path))
    except DataError as error:
        raise DataError(f"{path} {error}") from error
    return as_batch({"image": torch.from_numpy(pixels[None])})


def _one_sound(path: Path, field: Audio) -> Batch:
    try:
        sound, rate = decode_sound(path)
    except DataError as error:
        raise DataError(f"{path} {error}") from error
    for change in Hearing.of([(len(sound), rate)]).changes(field):
        say_once(f"{path}: {change}")
    assert field.rate is not None
    heard = resampled(sound, rate, field.rate, *field.shape)
    padded = np.pad(heard, (0, field.shape[0] - len(heard)))
    return as_batch({"audio": torch.from_numpy(padded[None]), AUDIO_LENGTH: torch.tensor([len(heard)])})


def _from_array(values: np.ndarray, field: Any) -> Batch:
    name = {"Image": "image", "Video": "video", "Audio": "audio"}.get(type(field).__name__, "points")
    if isinstance(field, Audio):
        return Batch({name: torch.from_numpy(values.astype(np.float32))})
    if values.dtype != np.uint8:
        raise DataError(f"images and videos are given as uint8, channels last, not {values.dtype}")
    return as_batch({name: torch.from_numpy(np.ascontiguousarray(values))})


def _as_mask(known: np.ndarray, kept: Tensor) -> Tensor:
    mask = torch.from_numpy(np.asarray(known, bool))
    if mask.shape != kept.shape:
        raise UsageError(f"known has the shape {tuple(mask.shape)}, and the places are {tuple(kept.shape)}")
    return mask


def _conditions(system: System, batch: Batch, wishes: Wishes | None, count: int, rng: torch.Generator) -> Tensor | None:
    """Return what the system is told of each completion: what is asked for, else what is known of the example."""
    conditions = getattr(system, "conditions", None)  # a system may complete as it is told and draw nothing
    if conditions is None:
        return None
    if wishes is None and all(name in batch for name in conditions.fields):
        return conditions.vectors(batch).repeat_interleave(count, 0)
    return conditions.meet(wishes or {}, count * len(batch), rng)
