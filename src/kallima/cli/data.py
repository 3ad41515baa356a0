"""`kallima data`: the embedded sets, what is in some data and what is wrong with it, a look at it, its cache."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kallima.arguments import REQUIRED, Parameter, from_options
from kallima.cli.output import emit, emit_json, is_first, messages, table
from kallima.cli.parsing import JSON, Command
from kallima.data.spec import Attributes, Audio, Field, Image, Label, Points, Text, Values, Video
from kallima.errors import UsageError
from kallima.options import DataOptions

if TYPE_CHECKING:
    from kallima.data.dataset import Dataset

_COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}
NAMED = 5  # classes and attributes that are named before "…"

Progress = Callable[[int, int], None]


def _list(*, json: bool = False) -> int:
    from kallima.data.opening import EMBEDDED

    described = {name: description for name, (_, description) in EMBEDDED.items()}
    if json:
        emit_json([{"name": name, "description": description} for name, description in described.items()])
    else:
        emit(table(list(described.items()), indent=""))
    return 0


def _check(*, source: str, key: str | None = None, split: str = "train", json: bool = False) -> int:
    from kallima.data.opening import open_source
    from kallima.data.source import Problem

    opened = open_source(source, split=split, key=key)
    problems, silent = [], 0
    with _progress("checking") as progress:
        for done, example in enumerate(opened.examples(), start=1):
            if isinstance(example, Problem):
                problems.append(example)
            elif "audio" in example:
                silent += not example["audio"].any()
            progress(done, len(opened))
    usable = len(opened) - len(problems)
    if json:
        listed = [{"path": problem.path, "problem": problem.problem} for problem in problems]
        emit_json({"usable": usable, "problems": listed, **({"silent": silent} if "audio" in opened.fields else {})})
    else:
        for problem in problems:
            emit(f"{problem.path}: {problem.problem}")
        fields = "; ".join(f"{name}: {_in_words(field)}" for name, field in opened.fields.items())
        emit(f"{usable:,} of {len(opened):,} examples can be used ({fields})")
        if silent:
            emit(f"{silent:,} of them {'are' if silent > 1 else 'is'} silent from start to end")
    return 1 if problems else 0


def _show(*, source: str, out: str | None = None, count: int = 64, seed: int = 0, **view: Any) -> int:
    import numpy as np

    from kallima.reporting.export import sheet
    from kallima.reporting.grid import save_picture

    if count < 1:
        raise UsageError(f"--count must be at least 1, not {count}")
    dataset = _prepared(source, **view)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(dataset))[:count])
    medium = dataset.spec.medium
    if medium == "text":
        if out is not None:
            raise UsageError("texts are printed: leave --out out")
        emit("\n".join(dataset.texts(chosen)))
        return 0
    if out is None:
        raise UsageError("--out is missing: the picture to write, a .png")
    field, shown = dataset.spec[medium], dataset.read(chosen)[medium].numpy()
    if isinstance(field, Points):
        shown = shown * (field.scale or 1) + (field.offset or 0)
    save_picture(Path(out), sheet(shown / 32768, rate=field.rate) if isinstance(field, Audio) else sheet(shown))
    emit(out)
    return 0


def _prepare(*, source: str, **view: Any) -> int:
    dataset = _prepared(source, **view)
    fields = "; ".join(f"{name}: {_in_words(field)}" for name, field in dataset.spec.items())
    emit(f"{dataset.name}: {len(dataset):,} examples ready ({fields})")
    return 0


def _statistics(*, source: str, out: str, features: str = "auto", device: str = "auto", **view: Any) -> int:
    if not out.endswith(".npz"):
        raise UsageError(f"--out {out} must end in .npz")
    dataset = _prepared(source, **view)

    from kallima.evaluation import make_extractor, reference_statistics
    from kallima.training.precision import choose_device

    where = choose_device(device)
    with messages(), _progress("extracting") as progress:
        reference = reference_statistics(
            dataset,
            make_extractor(features, dataset, device=where),
            device=where,
            progress=lambda what, done, total: progress(done, total),
        )
    reference.write(out)
    count = reference.moments.count
    emit(f"{out}: {count:,} images of {dataset.name} ({dataset.split}), features {reference.extractor}")
    return 0


def _prepared(
    source: str, *, split: str = "train", key: str | None = None, skip_bad: bool = False, **view: Any
) -> "Dataset":
    from kallima.data.dataset import prepare
    from kallima.data.opening import open_source
    from kallima.data.view import View

    opened = open_source(source, split=split, key=key)
    with _progress("preparing") as progress:
        return prepare(opened, View(**view), skip_bad=skip_bad, progress=progress)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """Show a bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    with tqdm(desc=what, unit="", leave=False, file=sys.stderr, disable=None if is_first() else True) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


def _in_words(field: Field) -> str:
    match field:
        case Image(channels, height, width):
            colours = _COLOURS[channels]
            return f"{colours}, {width}×{height}" if height and width else f"{colours}, of different sizes"
        case Video(frames, channels, height, width):
            return f"{_COLOURS[channels]}, {frames} frames of {width}×{height}"
        case Audio(rate, samples):
            rates = f"{rate:,} samples a second" if rate else "of different rates"
            alike = f"{samples / rate:.3g} seconds" if samples and rate else "of different lengths"
            return f"{rates}, {alike}"
        case Text(tokens, vocabulary, length) if tokens and length:
            return f"up to {length - 1:,} {tokens}s, of {len(vocabulary):,}"
        case Label(names):
            return f"{len(names)} classes, {_some(names)}"
        case Attributes(names) | Values(names):
            return _some(names)
        case Points(dimensions):
            return f"{dimensions} dimensions"
    return type(field).__name__.lower()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


_SOURCE, *_VIEW = from_options(DataOptions)
SOURCE = replace(_SOURCE, name="source", positional=True)
SPLIT = Parameter("split", str, "train", "Which part of the data, where it has several.")
KEY = next(option for option in _VIEW if option.name == "key")
PICTURE = [
    Parameter("out", str | None, None, "The picture to write, a .png: spectrograms of sounds, a row a video."),
    Parameter("count", int, 64, "How many examples to draw."),
    Parameter("seed", int, 0, "Decides which."),
]


STATISTICS = [
    Parameter("out", str, REQUIRED, "The file to write, an .npz."),
    Parameter("features", str, "auto", "What images are described by, as for kallima evaluate."),
    Parameter("device", str, "auto", "auto, cpu, cuda, cuda:1 or mps."),
]


def _command(name: str, description: str, run: Callable[..., int], *parameters: Parameter) -> Command:
    return Command(f"data {name}", description, {"options": parameters}, run)


COMMANDS: dict[str, Callable[[Sequence[str]], Command]] = {
    "data list": lambda words: _command(
        "list", "List the sets that come with kallima; --data takes their names.", _list, JSON
    ),
    "data check": lambda words: _command(
        "check",
        "Look at every example and say what will be used, what is broken and why. The exit code is 1 if something is.",
        _check,
        *(SOURCE, SPLIT, KEY, JSON),
    ),
    "data show": lambda words: _command(
        "show",
        "Draw some examples as a training would see them; texts are printed.",
        _show,
        SOURCE,
        *PICTURE,
        SPLIT,
        *_VIEW,
    ),
    "data prepare": lambda words: _command(
        "prepare",
        "Decode the examples into the cache, as a training with the same options would.",
        _prepare,
        *(SOURCE, SPLIT, *_VIEW),
    ),
    "data statistics": lambda words: _command(
        "statistics",
        "Write the moments mu and sigma of the features of all images into an .npz, with how they were made. "
        "kallima evaluate --data takes the file, and other tools read mu and sigma.",
        _statistics,
        *(SOURCE, *STATISTICS, SPLIT, *_VIEW),
    ),
}
