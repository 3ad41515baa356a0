"""Drawing examples from a trained system, in the units of its data."""

import numpy as np
import torch

from kallima.data.batch import to_storage
from kallima.data.spec import Points, Spec
from kallima.errors import UsageError
from kallima.system import Samples, System

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


def draw(system: System, count: int, *, seed: int) -> np.ndarray:
    """Draw `count` examples in the data's units; equal seeds give equal ones.

    Raises:
        UsageError: the system does not sample.
    """
    if not isinstance(system, Samples):
        raise UsageError(f"{type(system).__name__} does not sample")
    rng = torch.Generator().manual_seed(seed)
    sizes = [min(CHUNK, -(-(count - start) // GROUP) * GROUP) for start in range(0, count, CHUNK)]
    return np.concatenate([to_units(system.sample(size, rng=rng), system.spec) for size in sizes])[:count]
