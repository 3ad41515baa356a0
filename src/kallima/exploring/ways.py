"""Ways through a latent space: between latents, along what is in them, over a plane, towards the middle."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kallima.errors import UsageError
from kallima.training.run import Run

if TYPE_CHECKING:
    from kallima.exploring.exploration import Exploration
    from kallima.exploring.subject import Subject
    from kallima.reporting.rows import Row

_MOST = 12  # rows of a traversal where nobody says what to go along


def interpolate(
    run: str | Path | Run,
    *,
    rows: int = 6,
    steps: int = 10,
    way: Literal["arc", "line"] = "arc",
    condition: str | None = None,
    to: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show what lies on the way from one latent to another: a pair a row, its two ends included.

    Args:
        run: the run directory.
        rows: how many pairs.
        steps: examples on the way.
        way: arc keeps the length of the noise, as normal noise wants it; line is straight.
        condition: what a conditional system is asked for all the way, as for `kallima sample`; several, with
            semicolons, a row each between the same noise. Left out, the condition changes on the way too.
        to: another condition, for the other end: then it alone changes on the way, and the noise is held.
        seed: decides the latents.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from kallima.exploring.subject import Subject
    from kallima.reporting.rows import Row
    from kallima.sampling.interpolation import between

    _least(rows=rows, steps=steps)
    subject = Subject(run, "interpolate", device=device)
    wishes = subject.wishes(condition)
    if to is not None:
        goal = subject.wishes(to)
        if condition is None or len(wishes) > 1 or len(goal) > 1:
            raise UsageError('--to goes from one condition to one other: --condition "label=3" --to "label=8"')
        first, second = (subject.latents(rows, wishes=wish, seed=seed) for wish in (wishes[0], goal[0]))
        shown = [Row("", row) for row in subject.show(between(first, second, steps, subject.system.parts, way=way))]
        return _walks(subject, shown, f"from {_say(wishes[0])} to {_say(goal[0])}")
    pairs = rows if len(wishes) == 1 else 1
    shown = []
    for wish in wishes:
        first, second = subject.latents(2 * pairs, wishes=wish, seed=seed).view(pairs, 2, -1).unbind(1)
        made = subject.show(between(first, second, steps, subject.system.parts, way=way))
        shown += [Row(_say(wish) if len(wishes) > 1 else "", row) for row in made]
    return _walks(subject, shown, f"{len(shown)} ways between latents")


def traverse(
    run: str | Path | Run,
    *,
    along: Sequence[str] | None = None,
    rows: int | None = None,
    steps: int = 10,
    span: float = 2.0,
    condition: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show what one part of a latent does: it goes through all that it can be, and everything else is held.

    Args:
        run: the run directory.
        along: what to go along: parts such as label, bold or c1, or numbers of coordinates from 0; by default all
            that is not noise, and of noise alone the first 8 coordinates.
        rows: latents, a row each, for everything gone along; by default 8 for one thing and 1 for several.
        steps: examples of a number or of a switch; of a category each class is shown.
        span: numbers go from −span to span.
        condition: what a conditional system is asked for besides.
        seed: decides the latents.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from kallima.exploring.subject import Subject
    from kallima.reporting.rows import Row
    from kallima.sampling.codes import chosen
    from kallima.sampling.grids import traverse as walk

    _least(steps=steps, rows=8 if rows is None else rows, span=span)
    subject = Subject(run, "traverse", device=device)
    codes = chosen(subject.system, along)
    if along is None:
        codes = codes[:_MOST]
    count = rows or (8 if len(codes) == 1 else 1)
    latents = subject.latents(count, wishes=_only(subject, condition), seed=seed)
    shown = []
    for code in codes:
        made = subject.show(walk(latents, code.place, code.values(steps, span)))
        shown += [Row(code.say(span) if number == 0 else "", row) for number, row in enumerate(made)]
    return _walks(subject, shown, f"along {', '.join(code.name for code in codes)}")


def grid(
    run: str | Path | Run,
    *,
    along: Sequence[str] | None = None,
    side: int = 12,
    span: float | None = None,
    around: Literal["draw", "mean"] = "draw",
    condition: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show a plane of the latent space: one number grows rightwards, another upwards, and all else is held.

    Args:
        run: the run directory.
        along: the two numbers: names of parts, or coordinates from 0; by default the noise, where it has two.
        side: examples a side.
        span: both go from −span to span; by default through equal shares of what the prior draws, or, where there is no
            prior, of the codes that the system has seen.
        around: which noise is held: that of one draw, or the mean of many.
        condition: what a conditional system is asked for besides.
        seed: decides the latent that is held.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    import torch

    from kallima.exploring.subject import Subject
    from kallima.reporting.rows import Row
    from kallima.sampling.codes import chosen
    from kallima.sampling.grids import plane, quantiles
    from kallima.sampling.interpolation import NOISE

    _least(side=side, span=1 if span is None else span)
    subject = Subject(run, "grid", device=device)
    if along is None:
        noise = subject.system.parts.get(NOISE, slice(0, 0))
        if noise.stop - noise.start != 2:
            size = noise.stop - noise.start
            raise UsageError(f"the noise has {size} numbers and a grid shows two: name them, such as --along 0,1")
        along = [str(noise.start), str(noise.start + 1)]
    codes = chosen(subject.system, along)
    if len(codes) != 2 or any(code.kind == "category" for code in codes):
        raise UsageError(f"a grid shows two numbers, and --along {','.join(along)} is not two: such as --along 0,1")
    places = codes[0].place, codes[1].place
    draws = subject.latents(20_000, seed=0)
    if span is None:
        x, y = (quantiles(draws[:, place.start], side) for place in places)
    else:
        x = y = torch.linspace(-span, span, side)
    latent = subject.latents(1, wishes=_only(subject, condition), seed=seed)[0]
    if around == "mean" and NOISE in subject.system.parts:
        own = subject.system.parts[NOISE]
        latent[own] = draws[:, own].mean(0)
    shown = [Row("", row) for row in subject.show(plane(latent, places, x, y))]
    return _walks(subject, shown, f"{codes[0].name} rightwards, {codes[1].name} upwards")


def truncate(
    run: str | Path | Run,
    *,
    psi: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0),
    limit: tuple[float, ...] | None = None,
    count: int = 10,
    condition: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> "Exploration":
    """Show what less noise does: the same latents, a row for each share of it that is left.

    Args:
        run: the run directory.
        psi: the noise is multiplied by these.
        limit: instead, noise beyond ± these is drawn again.
        count: examples a row; of points a hundred times as many.
        condition: what a conditional system is asked for.
        seed: decides the latents.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    import torch

    from kallima.exploring.exploration import Exploration, draw_clouds
    from kallima.exploring.subject import Subject
    from kallima.reporting.rows import Row, draw_rows
    from kallima.sampling.truncation import resample, shrink

    _least(count=count, limit=min(limit or (1.0,)))
    if not psi:
        raise UsageError("--psi needs at least one number")
    subject = Subject(run, "truncate", device=device)
    number = count if subject.pictures else 100 * count
    latents = subject.latents(number, wishes=_only(subject, condition), seed=seed)
    if limit:
        rng = torch.Generator().manual_seed(seed + 1)
        moved = {f"|z| < {each:g}": resample(subject.system, latents, each, rng) for each in limit}
    else:
        moved = {f"ψ = {each:g}": shrink(latents, each, subject.system.parts) for each in psi}
    shown = [Row(name, subject.show(some)) for name, some in moved.items()]
    drawn = draw_rows(shown) if subject.pictures else draw_clouds(shown, subject.points(), "less noise")
    return Exploration(shown, drawn)


def _walks(subject: "Subject", rows: "list[Row]", title: str) -> "Exploration":
    from kallima.exploring.exploration import Exploration, draw_walks
    from kallima.reporting.rows import draw_rows

    drawn = draw_rows(rows) if subject.pictures else draw_walks(rows, subject.points(), title)
    return Exploration(rows, drawn, notes=(title,))


def _only(subject: "Subject", condition: str | None) -> dict[str, str | float | bool]:
    """Return the one row of wishes that a condition stands for."""
    wishes = subject.wishes(condition)
    if len(wishes) > 1:
        raise UsageError(f"{subject.what} holds one condition, and '{condition}' is several")
    return dict(wishes[0])


def _say(wishes: object) -> str:
    return ", ".join(f"{name}={value}" for name, value in dict(wishes).items())  # type: ignore[call-overload]


def _least(**numbers: float) -> None:
    for name, number in numbers.items():
        least = 2 if name in ("steps", "side") else 1
        if name in ("span", "limit"):
            if not number > 0:
                raise UsageError(f"--{name} must be above 0, not {number:g}")
        elif number < least:
            raise UsageError(f"--{name} must be at least {least}, not {number:g}")
