"""Drawing examples from a trained system, in the units of its data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from kallima.conditions import Wishes
from kallima.data.batch import to_storage
from kallima.data.spec import Audio, Points, Spec, Text
from kallima.data.tokens import decode
from kallima.decoding import PLAIN, Decoding
from kallima.errors import UsageError
from kallima.system import Completes, Conditional, Samples, System

Progress = Callable[[int, int], None]
"""How much is done, of how much."""

CHUNK = 256  # how many are drawn at once
# normal numbers come in groups of 16: whole groups make the first of many samples the same as those of few
GROUP = 16


def to_units(values: torch.Tensor, spec: Spec) -> np.ndarray:
    """Turn what a system made into the data's units.

    Images uint8 (N, H, W, C), videos uint8 (N, T, H, W, C), points float32 (N, D), sounds float32 (N, T), texts (N,).
    """
    field = spec[spec.medium]
    if isinstance(field, Text):
        return np.array(decode(values.cpu().numpy(), field), object)
    if isinstance(field, Audio):
        return values.float().cpu().numpy()
    points = field
    if not isinstance(points, Points):
        return to_storage(values).cpu().numpy()
    plain = values.float().cpu().numpy()
    if points.scale is not None:
        plain = plain * np.asarray(points.scale, np.float32) + np.asarray(points.offset, np.float32)
    return plain


def draw(
    system: System,
    count: int,
    *,
    seed: int,
    wishes: Wishes | None = None,
    decoding: Decoding = PLAIN,
    progress: Progress | None = None,
) -> np.ndarray:
    """Draw `count` examples in the data's units; equal seeds give equal ones.

    `wishes` are what a conditional system is asked for, by name, such as {"label": "G", "bold": True}; what is left
    open is as in the data. The latents are the same whatever is asked for. `decoding` is for systems that make examples
    component by component, and `progress` is told how many components of all are done.

    Raises:
        UsageError: the system does not sample, or not what it is asked for, or not component by component.
    """
    if not isinstance(system, Samples):
        raise UsageError(f"{type(system).__name__} does not sample")
    if decoding != PLAIN and not isinstance(system, Completes):
        raise UsageError(f"{type(system).__name__} makes examples whole: leave temperature, top-k and the like out")
    rng = torch.Generator().manual_seed(seed)
    sizes = [min(CHUNK, -(-(count - start) // GROUP) * GROUP) for start in range(0, count, CHUNK)]
    if isinstance(system, Conditional):
        own = torch.Generator().manual_seed(seed)  # so that neither draws depend on how many are drawn of the other
        conditions = system.conditions.meet(wishes or {}, sum(sizes), own).split(sizes)
        asked: list[torch.Tensor | None] = list(conditions)
    elif wishes:
        raise UsageError(f"{type(system).__name__} cannot be asked for anything: leave the condition out")
    else:
        asked = [None] * len(sizes)
    made = []
    for place, (size, condition) in enumerate(zip(sizes, asked, strict=True)):
        if isinstance(system, Completes):
            told = _share(progress, place, len(sizes))
            made.append(_from_nothing(system, size, condition, rng, decoding, told))
        else:
            given = {} if condition is None else {"condition": condition}
            made.append(system.sample(size, rng=rng, **given))
    return np.concatenate([to_units(each, system.spec) for each in made])[:count]


def draw_rows(
    system: System,
    count: int,
    rows: Sequence[Wishes],
    *,
    seed: int,
    decoding: Decoding = PLAIN,
    progress: Progress | None = None,
) -> np.ndarray:
    """Draw `count` examples for each row of wishes, of the same latents in every row: (rows · count, …)."""
    made = [
        draw(system, count, seed=seed, wishes=wishes, decoding=decoding, progress=_share(progress, place, len(rows)))
        for place, wishes in enumerate(rows)
    ]
    return np.concatenate(made)


def _from_nothing(
    system: Any,
    count: int,
    condition: torch.Tensor | None,
    rng: torch.Generator,
    decoding: Decoding,
    progress: Progress | None,
) -> torch.Tensor:
    """Let a system that completes make `count` examples of which nothing is known."""
    field = system.spec[system.spec.medium]
    dtype = torch.int64 if isinstance(field, Text) else torch.float32
    blank = torch.zeros(count, *field.shape, dtype=dtype, device=system.device)
    known = torch.zeros(count, *places_of(field), dtype=torch.bool, device=system.device)
    return system.complete(blank, known, condition=condition, rng=rng, decoding=decoding, progress=progress)


def places_of(field: Any) -> tuple[int, ...]:
    """Return the shape of an example's components, as `Completes` counts them: (H, W), (T, H, W), (T,) or (L,)."""
    shape: tuple[int, ...] = field.shape
    return {3: shape[1:], 4: (shape[0], *shape[2:])}.get(len(shape), shape)


def _share(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """Return what is told of the progress of one of several equal parts."""
    if progress is None:
        return None
    return lambda done, total: progress(place * total + done, parts * total)


def rows_of(system: System, condition: str | Wishes | Sequence[Wishes] | None) -> list[Wishes]:
    """Return the rows of wishes that a condition stands for: a text as `Conditions.read` takes it, or wishes by name.

    Raises:
        UsageError: the system cannot be asked for anything, or not for that.
    """
    if condition is None:
        return [{}]
    if not isinstance(system, Conditional):
        raise UsageError(f"{type(system).__name__} cannot be asked for anything: leave the condition out")
    if isinstance(condition, str):
        return list(system.conditions.read(condition))
    return [condition] if isinstance(condition, Mapping) else list(condition)
