"""Judging a system's latents: what changes on the way from one to another."""

import time

import torch

from kallima.errors import UsageError
from kallima.evaluation.latent.path_length import perceptual_path_length
from kallima.evaluation.metrics import score_of
from kallima.evaluation.score import Score
from kallima.system import Decodes


def evaluate_latents(system: object, pairs: int, *, seed: int = 0) -> list[Score]:
    """Score the latents of a system by the path length between so many pairs of them, drawn with the seed.

    The distance is the squared one of what the system makes, images in [-1, 1] or points as they are in batches, on
    arcs as the published figures for normal latents have it.

    Raises:
        UsageError: the system does not decode latents.
    """
    if not isinstance(system, Decodes):
        raise UsageError(f"path-length needs a system that decodes latents: {type(system).__name__} does not")
    start = time.perf_counter()
    rng = torch.Generator().manual_seed(seed)
    first, second = (system.latents(pairs, rng=rng) for _ in range(2))
    measure = perceptual_path_length(system.decode, first, second, seed=seed)
    note = "arcs between latents; squared differences of values, not LPIPS: no figure of a paper compares"
    return [
        score_of(
            "path-length",
            measure._replace(notes=(*measure.notes, note)),
            real=0,
            generated=pairs,
            data="-",
            split="-",
            fingerprint=None,
            seed=seed,
            seconds=time.perf_counter() - start,
            range="as the system makes it: images in [-1, 1]",
        )
    ]
