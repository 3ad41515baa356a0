"""Segmental signal-to-noise ratio: the mean over short frames of each frame's SNR, in dB (Hansen & Pellom 1998).

As in Loizou's `comp_snr`, which SEGAN's figures come from (Pascual et al. 2017, arXiv:1703.09452): frames of 30 ms
every 7.5 ms under a Hann window, every frame's ratio held between −10 and 35 dB.
"""

from collections.abc import Sequence

import numpy as np

from kallima.errors import DataError
from kallima.evaluation.arrays import Array, alike, numbers
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure

FRAME = 0.03
FLOOR, CEILING = -10.0, 35.0


def segmental_snr(processed: Sequence[Array], clean: Sequence[Array], rate: int) -> Measure:
    """Return the mean over recordings of their segmental SNR in dB, from samples (T,) at `rate` a second.

    Each recording is as long as its clean one, aligned with it and of its loudness: a delay or a gain counts as noise.

    Raises:
        DataError: recordings are missing, broken, of unlike lengths, shorter than a frame, or a clean one is silent.
    """
    pairs = recordings(processed, clean)
    length = round(FRAME * rate)
    if length < 4:
        raise DataError(f"{rate} samples a second are too few: a frame of {FRAME * 1000:g} ms would hold {length}")
    hop = length // 4
    window = np.hanning(length + 2)[1:-1]
    values, held, frames = [], 0, 0
    for place, (noisy, truth) in enumerate(pairs):
        if len(truth) < length:
            raise DataError(f"recording {place} has {len(truth)} samples, a frame has {length}")
        signal = (_frames(truth, length, hop) * window) ** 2
        noise = (_frames(truth - noisy, length, hop) * window) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = 10 * np.log10(signal.sum(1) / noise.sum(1))
        # a silent frame tells nothing of how it was kept: as in the original it counts as the floor
        ratios = np.where(signal.sum(1) == 0, FLOOR, ratios)
        held += int(((ratios < FLOOR) | (ratios > CEILING)).sum())
        frames += len(ratios)
        values.append(np.clip(ratios, FLOOR, CEILING).mean())
    notes = (
        f"Hann frames of {FRAME * 1000:g} ms every {FRAME * 250:g} ms, held between {FLOOR:g} and {CEILING:g} dB",
        f"{held:,} of {frames:,} frames are held",
    )
    return mean_of(np.array(values), "recordings", notes)


def recordings(processed: Sequence[Array], clean: Sequence[Array]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of recordings float64 (T,), processed and clean.

    Raises:
        DataError: there are none, they are broken, lengths differ, or a clean one is silent.
    """
    if not len(clean):
        raise DataError("there are no recordings")
    alike("processed recordings", len(processed), "clean recordings", len(clean))
    pairs = []
    for place, (noisy, truth) in enumerate(zip(processed, clean, strict=True)):
        first = numbers(f"samples of processed recording {place}", noisy, 1)
        second = numbers(f"samples of clean recording {place}", truth, 1)
        if len(first) != len(second):
            raise DataError(f"recording {place} has {len(first):,} samples, the clean one {len(second):,}")
        if not second.any():
            raise DataError(f"the clean recording {place} is silent")
        pairs.append((first, second))
    return pairs


def _frames(samples: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Return overlapping frames (frames, length); an end that fills no frame is left out."""
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
