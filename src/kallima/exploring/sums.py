"""Arithmetic with meanings: bold − regular + italic."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from kallima.errors import UsageError
from kallima.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kallima.conditions import Wishes
    from kallima.exploring.exploration import Exploration
    from kallima.exploring.reader import Described, Reader
    from kallima.exploring.subject import Subject

_DRAWN = 8_192  # samples that are read to find some of each kind
_SURE = 0.8  # how likely a sample is to be what is wished for, to be taken for it
_FEWEST = 10


class _Terms(NamedTuple):
    """Latents (N, d) of what is positive, of what is negative and of what it is added to, and how they were found."""

    latents: "list[Tensor]"
    how: str


def arithmetic(
    run: str | Path | Run,
    *,
    positive: str,
    negative: str,
    add: str,
    direction: Literal["mean", "probe"] = "mean",
    strength: float = 1.0,
    count: int = 8,
    examples: int = 500,
    score: bool = True,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show sums of latents: positive − negative + another, each a mean over examples that meet a condition.

    Args:
        run: the run directory.
        positive: what has the thing: "bold=true, italic=false".
        negative: what is like it and has it not: "bold=false, italic=false".
        add: what is to get it: "bold=false, italic=true".
        direction: mean takes the difference of the two means, probe the normal of the plane that tells the two apart.
        strength: how many times the difference is added.
        count: examples that are shown beside the mean of their kind.
        examples: how many of each kind are taken, at most.
        score: also count how many of the sums are read as what they should be, by probes that learn from the data.
        seed: decides the examples.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    import torch

    from kallima.exploring.exploration import Exploration
    from kallima.exploring.reader import Described, Reader, wanted
    from kallima.exploring.subject import Subject
    from kallima.reporting.rows import Row, draw_rows
    from kallima.sampling.directions import direction as direct
    from kallima.system import Encodes

    if min(count, examples) < 1:
        raise UsageError("--count and --examples must be at least 1")
    subject = Subject(run, "arithmetic", device=device, images_only=True)
    described = Described(subject.data, "arithmetic")
    texts = {"--positive": positive, "--negative": negative, "--add": add}
    wishes = tuple(described.wish(option, text) for option, text in texts.items())
    aim = wanted(*wishes)
    if aim == dict(wishes[2]):
        raise UsageError(
            "--positive and --negative do not differ in anything that --add lacks: there is nothing to add"
        )
    reader = None
    if isinstance(subject.system, Encodes):
        terms = _encoded(subject, described, wishes, examples, seed)
    elif _told(subject, wishes):
        terms = _asked(subject, wishes, examples, seed)
    else:
        reader = Reader(described, {name for each in wishes for name in each}, device=subject.device)
        terms = _read(subject, reader, wishes, examples, seed)
    step = strength * direct(terms.latents[0], terms.latents[1], by=direction)
    sums = terms.latents[2] + step
    names = [described.conditions.say(each) for each in wishes]
    signs = [names[0], f"− ({names[1]})", f"+ ({names[2]})", "= the sum"]
    rows = [
        Row(sign, subject.show(torch.cat([latents.mean(0, keepdim=True), latents[:count]])))
        for sign, latents in zip(signs, (*terms.latents, sums), strict=True)
    ]
    scores: dict[str, float] = {}
    notes = [f"first the mean of each kind, then single ones; {terms.how}"]
    if score:
        reader = reader or Reader(described, set(aim), device=subject.device)
        scores = _scores(subject, reader, aim, terms.latents[2], sums)
        notes += reader.notes
    return Exploration(rows, draw_rows(rows), scores, notes)


def _told(subject: "Subject", wishes: "Sequence[Wishes]") -> bool:
    """Say whether the system can be asked for all that is wished for."""
    from kallima.system import Conditional

    system = subject.system
    return isinstance(system, Conditional) and all(name in system.conditions.parts for each in wishes for name in each)


def _encoded(
    subject: "Subject", described: "Described", wishes: "Sequence[Wishes]", examples: int, seed: int
) -> _Terms:
    """Encode examples of the data that meet each of the wishes."""
    import torch

    from kallima.exploring.subject import CHUNK
    from kallima.system import Encodes

    assert isinstance(subject.system, Encodes)
    found = []
    for each in wishes:
        images = subject.read(described.meeting(each, examples, seed), described.data)[1]
        found.append(torch.cat([subject.system.encode(some) for some in images.split(CHUNK)]))
    return _Terms(found, f"latents of {_counts(found)} examples of {described.data.name}, by the encoder")


def _asked(subject: "Subject", wishes: "Sequence[Wishes]", examples: int, seed: int) -> _Terms:
    """Ask a conditional system for each of the wishes, all else equal: noise, and what the first wish leaves open."""
    from kallima.system import Conditional

    assert isinstance(subject.system, Conditional)
    base = subject.latents(examples, wishes=wishes[2], seed=seed)
    conditions = [subject.system.conditions.meet(each, examples) for each in wishes]
    found = [subject.under(base, drawn, list(each)) for drawn, each in zip(conditions, wishes, strict=True)]
    return _Terms(found, f"{examples} latents whose conditions are set, for the system is told of them")


def _read(subject: "Subject", reader: "Reader", wishes: "Sequence[Wishes]", examples: int, seed: int) -> _Terms:
    """Draw samples, and take those that are read as each of the wishes."""
    import torch

    latents = subject.latents(_DRAWN, seed=seed)
    pictures = torch.from_numpy(subject.show(latents))
    found = []
    for each in wishes:
        likely = reader.reads(pictures, each)
        sure = (likely > _SURE).nonzero()[:, 0]
        if len(sure) < _FEWEST:
            raise UsageError(
                f"of {_DRAWN:,} samples {len(sure)} are read as {_say(each)}, too few for a mean: wish for less"
            )
        found.append(latents[sure[:examples].to(latents.device)])
    return _Terms(found, f"latents of {_counts(found)} of {_DRAWN:,} samples, chosen by what probes read in them")


def _scores(subject: "Subject", reader: "Reader", aim: "Wishes", before: "Tensor", after: "Tensor") -> dict[str, float]:
    """Return the shares of pictures that read as they should: before, and after; and whose label is still the same."""
    import torch

    was, now = (torch.from_numpy(subject.show(latents)) for latents in (before, after))
    scores = {name: reader.shows(some, aim).double().mean().item() for name, some in (("before", was), ("after", now))}
    labels, then = reader.labels(was), reader.labels(now)
    if labels is not None and then is not None and "label" not in aim:
        scores["label kept"] = labels.eq(then).double().mean().item()
    return {**scores, "probes": reader.accuracy}


def _counts(found: "Sequence[Tensor]") -> str:
    return ", ".join(f"{len(latents):,}" for latents in found)


def _say(wishes: "Wishes") -> str:
    return ", ".join(f"{name}={value}" for name, value in wishes.items())
