"""Drawing examples from a trained system, in the units of its data."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from kallima.conditions import Wishes
from kallima.data.batch import to_storage
from kallima.data.spec import Points, Spec
from kallima.errors import UsageError
from kallima.system import Conditional, Samples, System

CHUNK = 256  # how many are drawn at once
# normal numbers come in groups of 16: whole groups make the first of many samples the same as those of few
GROUP = 16


def to_units(values: torch.Tensor, spec: Spec) -> np.ndarray:
    """Turn what a system made into the data's units: images uint8 (N, H, W, C), points float32 (N, D)."""
    points = spec.get("points")
    if not isinstance(points, Points):
        return to_storage(values).cpu().numpy()
    plain = values.float().cpu().numpy()
    if points.scale is not None:
        plain = plain * np.asarray(points.scale, np.float32) + np.asarray(points.offset, np.float32)
    return plain


def draw(system: System, count: int, *, seed: int, wishes: Wishes | None = None) -> np.ndarray:
    """Draw `count` examples in the data's units; equal seeds give equal ones.

    `wishes` are what a conditional system is asked for, by name, such as {"label": "G", "bold": True}; what is left
    open is as in the data. The latents are the same whatever is asked for.

    Raises:
        UsageError: the system does not sample, or not what it is asked for.
    """
    if not isinstance(system, Samples):
        raise UsageError(f"{type(system).__name__} does not sample")
    rng = torch.Generator().manual_seed(seed)
    sizes = [min(CHUNK, -(-(count - start) // GROUP) * GROUP) for start in range(0, count, CHUNK)]
    if isinstance(system, Conditional):
        own = torch.Generator().manual_seed(seed)  # so that neither draws depend on how many are drawn of the other
        conditions = system.conditions.meet(wishes or {}, sum(sizes), own).split(sizes)
        made = [system.sample(len(each), condition=each, rng=rng) for each in conditions]
    elif wishes:
        raise UsageError(f"{type(system).__name__} cannot be asked for anything: leave the condition out")
    else:
        made = [system.sample(size, rng=rng) for size in sizes]
    return np.concatenate([to_units(each, system.spec) for each in made])[:count]


def draw_rows(system: System, count: int, rows: Sequence[Wishes], *, seed: int) -> np.ndarray:
    """Draw `count` examples for each row of wishes, of the same latents in every row: (rows · count, …)."""
    return np.concatenate([draw(system, count, seed=seed, wishes=wishes) for wishes in rows])


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
