"""Perceived quality and intelligibility through the libraries `pesq` (ITU-T P.862) and `pystoi` (Taal et al. 2011)."""

import warnings
from collections.abc import Sequence

import numpy as np

from kallima.errors import DataError, UsageError, import_extra
from kallima.evaluation.arrays import Array
from kallima.evaluation.resampling import mean_of
from kallima.evaluation.score import Measure
from kallima.evaluation.speech.segmental_snr import recordings


def pesq(processed: Sequence[Array], clean: Sequence[Array], rate: int) -> Measure:
    """Return the mean PESQ of recordings (T,), from 1 (bad) to about 4.6.

    Wide band at 16,000 samples a second, narrow band at 8,000: the two do not compare.

    Raises:
        UsageError: pesq is not installed, or the rate is another.
        DataError: recordings are broken or of unlike lengths, or hold no speech that PESQ finds.
    """
    bands = {8_000: "nb", 16_000: "wb"}
    if rate not in bands:
        raise UsageError(f"PESQ is defined at 8,000 and 16,000 samples a second, not at {rate:,}: resample first")
    pairs = recordings(processed, clean)
    library = import_extra("pesq", "pesq")
    values = []
    for place, (noisy, truth) in enumerate(pairs):
        try:
            values.append(float(library.pesq(rate, truth, noisy, bands[rate])))
        except (library.PesqError, ValueError, ZeroDivisionError) as error:
            raise DataError(f"PESQ cannot judge recording {place}: {_message(error)}") from error
    band = {"nb": "narrow band, P.862", "wb": "wide band, P.862.2"}[bands[rate]]
    return mean_of(np.array(values), "recordings", (f"{band}, {rate:,} samples a second",))


def stoi(processed: Sequence[Array], clean: Sequence[Array], rate: int, *, extended: bool = False) -> Measure:
    """Return the mean short-time intelligibility of recordings (T,), about 0 to 1; `extended` is ESTOI (Jensen 2016).

    Raises:
        UsageError: pystoi is not installed.
        DataError: recordings are broken, of unlike lengths, or have less than about 0.4 seconds of speech.
    """
    pairs = recordings(processed, clean)
    library = import_extra("pystoi", "speech")
    values = []
    for place, (noisy, truth) in enumerate(pairs):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                values.append(float(library.stoi(truth, noisy, rate, extended=extended)))
            except (RuntimeWarning, ValueError, IndexError) as error:
                raise DataError(f"STOI cannot judge recording {place}: too little speech in it") from error
    note = f"{'extended STOI' if extended else 'STOI'}, from {rate:,} samples a second"
    return mean_of(np.array(values), "recordings", (note,))


def _message(error: Exception) -> str:
    detail = error.args[0] if error.args else type(error).__name__
    return detail.decode() if isinstance(detail, bytes) else str(detail)
