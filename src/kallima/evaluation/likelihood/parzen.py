"""Parzen windows: the likelihood of test examples under a Gaussian at each sample (Breuleux et al. 2011; Goodfellow et
al. 2014, arXiv:1406.2661).

log p(x) = logsumexp_i(−‖x − s_i‖² / 2σ²) − log N − (d/2) log(2πσ²), with the σ that suits validation examples best: on
the samples themselves, or on the test set, it would flatter. In many dimensions the estimate says little (Theis et al.
2016, arXiv:1511.01844): it is here because a decade of papers print it.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, numbers
from kallima.evaluation.nearest import squared_distances
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure

_BLOCK = 1024
_STEPS = np.geomspace(0.01, 3, 26)


def parzen(samples: Array, test: Array, validation: Array, *, sigmas: Sequence[float] | None = None) -> Measure:
    """Return the mean log-likelihood, in nats, of test examples (T, …) under windows at the samples (N, …).

    σ is the one of `sigmas` with the best mean over the validation examples (V, …); by default of 26 values from .01 to
    3 times the deviation of the samples. The published figures take 10,000 samples, values in [0, 1].

    Raises:
        DataError: the sets are not finite numbers of one shape, or a σ is not above 0.
    """
    points, held, chosen_on = (_flat(name, x) for name, x in _named(samples, test, validation))
    width = {x.shape[1] for x in (points, held, chosen_on)}
    if len(width) > 1:
        raise DataError(f"samples, test and validation examples have {sorted(width)} numbers each: they need to agree")
    widths = np.asarray(_default(points) if sigmas is None else sigmas, dtype=np.float64)
    if not len(widths) or not (np.isfinite(widths) & (widths > 0)).all():
        raise DataError("every σ needs to be a number above 0, and there must be one")
    fits = _log_densities(points, chosen_on, widths).mean(1)
    best = int(fits.argmax())
    sigma = float(widths[best])
    notes = [f"σ = {sigma:.3g}, the best of {len(widths)} on {len(chosen_on):,} validation examples"]
    if len(widths) > 1 and best in (widths.argmin(), widths.argmax()):
        notes.append("the best σ is at the end of its range: give others")
    notes.append(f"windows at {len(points):,} samples of {points.shape[1]:,} numbers")
    values = _log_densities(points, held, np.array([sigma]))[0]
    return mean_of(values, "test examples", notes)


def parzen_apart(samples: Array, real: Array, *, seed: int = 0) -> Measure:
    """Return `parzen` of nine tenths of real examples (M, …); σ is chosen on the other tenth, drawn with the seed.

    Raises:
        DataError: as for `parzen`, or there are fewer than two real examples.
    """
    if len(real) < 2:
        raise DataError(f"{len(real)} real examples are too few: Parzen windows need two or more")
    order = np.random.default_rng(seed).permutation(len(real))
    tenth = max(1, len(real) // 10)
    validation, test = real[np.sort(order[:tenth])], real[np.sort(order[tenth:])]
    measure = parzen(samples, test, validation)
    note = f"these are a tenth of the real examples; the other {len(test):,} are scored"
    return measure._replace(notes=(measure.notes[0], note, *measure.notes[1:]))


def parzen_log_density(samples: Array, examples: Array, sigma: float) -> np.ndarray:
    """Return log p of examples (M, …), in nats, float64 (M,), under windows of deviation σ at the samples (N, …).

    Raises:
        DataError: as for `parzen`.
    """
    points, x = _flat("samples", samples), _flat("examples", examples)
    if points.shape[1] != x.shape[1]:
        raise DataError(f"the samples have {points.shape[1]} numbers each, the examples {x.shape[1]}")
    if not sigma > 0:
        raise DataError(f"σ is {sigma}: it needs to be above 0")
    return _log_densities(points, x, np.array([sigma]))[0]


def _named(samples: Array, test: Array, validation: Array) -> list[tuple[str, Array]]:
    return [("samples", samples), ("test examples", test), ("validation examples", validation)]


def _flat(name: str, values: Array) -> np.ndarray:
    array = numbers(name, values, values.ndim)
    return array.reshape(len(array), -1)


def _default(samples: np.ndarray) -> np.ndarray:
    deviation = math.sqrt(samples.var(0).mean())
    return _STEPS * (deviation or 1.0)


def _log_densities(samples: np.ndarray, examples: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Return log p, (σs, M), in blocks: never an N × M matrix."""
    points, widths = torch.from_numpy(samples), torch.from_numpy(sigmas)
    found = []
    for rows in torch.from_numpy(examples).split(_BLOCK):
        total = torch.full((len(widths), len(rows)), -math.inf, dtype=torch.float64)
        for block in points.split(_BLOCK):
            distances = squared_distances(rows, block).clamp_(min=0)
            for i, width in enumerate(widths):
                total[i] = torch.logaddexp(total[i], (distances / (-2 * width**2)).logsumexp(1))
        found.append(total)
    scale = math.log(len(samples)) + samples.shape[1] / 2 * np.log(2 * math.pi * sigmas**2)
    return torch.cat(found, 1).numpy() - scale[:, None]
