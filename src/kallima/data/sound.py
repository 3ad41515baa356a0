"""Sounds: from a file of any common kind to one channel of int16, then to the rate and length that a model hears."""

import io
import logging
import os
import wave
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from math import gcd
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from kallima.data.source import Problem
from kallima.data.spec import Audio
from kallima.errors import DataError, KallimaError, import_extra

AUDIO_LENGTH = "audio_length"
"""What a batch calls the number of samples that are a sound's own, before the zeros that fill it up."""

SUFFIXES = (".wav", ".flac", ".ogg")
"""What a file must end in to be taken for a sound (in lower case)."""
VALUE_LIMIT = 64_000_000
"""Sounds of more values (samples times channels) are refused by their header: a small file can unpack to any length."""
RATES = (100, 384_000)
"""Samples a second: what lies outside is no rate of a sound, and to resample it could take any memory."""
LOUDEST = 4.0
"""Floating-point sounds are within [-1, 1], but for peaks that a lossy format has made and that are clipped."""

_MAGIC = (b"RIFF", b"RF64", b"fLaC", b"OggS")
_PAGE = 1 << 16  # bytes: no page of an Ogg stream is longer
_UNKNOWN = (0, 0xFFFFFFFF)  # what a RIFF says of its size while it is being written
_log = logging.getLogger(__name__)


def decode(data: Path | bytes) -> tuple[np.ndarray, int]:
    """Decode a sound (a path or its bytes) into int16 (T,), and its rate in samples a second.

    Several channels are averaged; deeper and floating-point samples are rounded to 16 bits. Wav files of whole numbers
    need no package but Python's own.

    Raises:
        DataError: the sound cannot be used; the message is what follows its name: "is empty", "is not a sound", ….
        UsageError: the package that reads such files is not installed.
    """
    with _opened(data) as sound:
        values = sound.read()
        if len(values) != sound.samples:
            raise DataError("is cut short")
        if not np.isfinite(values).all():
            raise DataError("holds values that are NaN or infinite: mend or remove it")
        low, high = float(values.min()), float(values.max())
        if max(-low, high) > LOUDEST:
            raise DataError(f"holds floating-point values from {low:g} to {high:g}: scale them to [-1, 1]")
        heard = values.mean(axis=1) if values.shape[1] > 1 else values[:, 0]
        return np.clip(np.rint(heard * 32768), -32768, 32767).astype(np.int16), sound.rate


def measure(data: Path | bytes) -> tuple[int, int]:
    """Return the number of samples and the rate that `decode` will give, from the header alone.

    Raises:
        DataError: as for `decode`, as far as the header shows it.
        UsageError: likewise.
    """
    with _opened(data) as sound:
        return sound.samples, sound.rate


class _Sound(Protocol):
    """A file whose header has been read."""

    rate: int
    channels: int
    samples: int

    def read(self) -> np.ndarray:
        """Return all samples as float32 (T, C) in [-1, 1)."""
        ...


class _PlainWave:
    """A wav of whole numbers, read with Python's own `wave`."""

    def __init__(self, file: wave.Wave_read, size: int):
        self.file, self.width = file, file.getsampwidth()
        self.rate, self.channels, self.samples = file.getframerate(), file.getnchannels(), file.getnframes()
        if self.samples * self.width * self.channels > size:
            raise DataError("is cut short")

    def read(self) -> np.ndarray:
        """Return all samples as float32 (T, C) in [-1, 1)."""
        stored = np.frombuffer(self.file.readframes(self.samples), np.uint8)
        stored = stored[: len(stored) // (self.width * self.channels) * self.width * self.channels]
        if self.width == 1:
            values = (stored.astype(np.float32) - 128) / 128
        else:  # as the upper bytes of 32 bits
            whole = np.zeros((len(stored) // self.width, 4), np.uint8)
            whole[:, 4 - self.width :] = stored.reshape(-1, self.width)
            values = (whole.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
        return values.reshape(-1, self.channels)


class _OtherSound:
    """What libsndfile reads."""

    def __init__(self, file: Any):
        self.file = file
        self.rate, self.channels, self.samples = int(file.samplerate), int(file.channels), int(file.frames)

    def read(self) -> np.ndarray:
        """Return all samples as float32 (T, C) in [-1, 1)."""
        values: np.ndarray = self.file.read(dtype="float32", always_2d=True)
        return values


@contextmanager
def _opened(data: Path | bytes) -> Iterator[_Sound]:
    """Open a sound whose header has passed, and turn whatever goes wrong with it into a DataError."""
    with ExitStack() as stack:
        try:
            opened: Any = io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")
            stream: BinaryIO = stack.enter_context(opened)
            head, tail, size = _ends(stream)
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror or error})") from error
        if not size:
            raise DataError("is empty")
        if _is_cut(head, tail, size):
            raise DataError("is cut short")
        try:
            sound = _sound(stream, size, stack)
            _demand_usable(sound)
            yield sound
        except KallimaError:
            raise
        except Exception as error:  # decoders fail in every way on broken bytes
            if not head.startswith(_MAGIC):
                raise DataError("is not a sound") from error
            raise DataError(f"is damaged ({str(error).partition(chr(10))[0].rstrip('.')})") from error


def _ends(stream: BinaryIO) -> tuple[bytes, bytes, int]:
    """Return the first bytes, the last bytes and their number."""
    head = stream.read(16)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _PAGE))
    tail = stream.read()
    stream.seek(0)
    return head, tail, size


def _is_cut(head: bytes, tail: bytes, size: int) -> bool:
    """Say whether the end is missing of a wav or an Ogg stream, which libsndfile passes over."""
    if head[:4] == b"RIFF":
        stated = int.from_bytes(head[4:8], "little")
        return stated not in _UNKNOWN and stated + 8 > size
    if head[:4] == b"OggS":
        page = tail[tail.rfind(b"OggS") :]
        lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
        is_last = bool(lengths) and bool(page[5] & 4)
        return not is_last or 27 + len(lengths) + sum(lengths) > len(page)
    return False


def _sound(stream: BinaryIO, size: int, stack: ExitStack) -> _Sound:
    try:
        return _PlainWave(stack.enter_context(wave.open(stream, "rb")), size)
    except (wave.Error, EOFError):  # no wav, or one of other numbers
        stream.seek(0)
    soundfile = import_extra("soundfile", "sound")
    return _OtherSound(stack.enter_context(soundfile.SoundFile(stream)))


def _demand_usable(sound: _Sound) -> None:
    if not RATES[0] <= sound.rate <= RATES[1]:
        raise DataError(f"says that it has {sound.rate:,} samples a second, which no sound has")
    if sound.samples < 1 or sound.channels < 1:
        raise DataError("holds no samples")
    if sound.samples * sound.channels > VALUE_LIMIT:
        number = f"{sound.samples:,} samples of {sound.channels} channels"
        raise DataError(f"has {number}, more than the limit of {VALUE_LIMIT:,} values")


@dataclass(frozen=True)
class Hearing:
    """What the sounds of a source are like before any view: how many of each rate, and how long they are.

    `longest` and `typical`, the median, are in seconds; `samples` is the number that all have, None where they differ.
    """

    rates: Mapping[int, int] = field(default_factory=dict)
    longest: float = 0.0
    typical: float = 0.0
    samples: int | None = None
    problem: str = ""  # what is wrong with the first sound that cannot be read

    @classmethod
    def of(cls, measures: Iterable[tuple[int, int] | Problem]) -> "Hearing":
        """Gather samples and rate of every sound that can be read."""
        rates: Counter[int] = Counter()
        numbers: set[int] = set()
        seconds, problem = array("d"), ""
        for each in measures:
            if isinstance(each, Problem):
                problem = problem or f"{each.path} {each.problem}"
                continue
            samples, rate = each
            rates[rate] += 1
            seconds.append(samples / rate)
            if len(numbers) < 2:
                numbers.add(samples)
        if not seconds:
            return cls(problem=problem)
        common = numbers.pop() if len(numbers) == 1 else None
        return cls(dict(sorted(rates.items())), max(seconds), float(np.median(seconds)), common, problem)

    @property
    def audio(self) -> Audio:
        """The field that these sounds make: of differing rates or lengths None."""
        return Audio(next(iter(self.rates)) if len(self.rates) == 1 else None, self.samples)

    def to_json(self) -> list[Any]:
        """Return a JSON value from which `from_json` builds an equal one."""
        return [list(self.rates.items()), self.longest, self.typical, self.samples, self.problem]

    @classmethod
    def from_json(cls, data: list[Any]) -> "Hearing":
        """Build what `to_json` gave."""
        rates, longest, typical, samples, problem = data
        return cls({int(rate): int(count) for rate, count in rates}, longest, typical, samples, problem)

    def changes(self, heard: Audio) -> list[str]:
        """Say in words what becomes of these sounds where they are heard as `heard`."""
        assert heard.rate is not None
        assert heard.samples is not None
        said, total = [], sum(self.rates.values())
        others = [rate for rate in self.rates if rate != heard.rate]
        if others:
            count = sum(self.rates[rate] for rate in others)
            those = " and ".join(f"{rate:,}" for rate in others)
            said.append(
                f"{count:,} of {total:,} sounds are resampled from {those} to {heard.rate:,} samples a second (--rate)"
            )
        seconds = heard.samples / heard.rate
        if self.typical > seconds:
            said.append(
                f"most sounds are longer than {seconds:.3g} seconds, half of them than {self.typical:.3g}: "
                "what is beyond is cut off (--seconds)"
            )
        return said


@cache
def say_once(message: str) -> None:
    """Log a message, which without further ado goes to standard error; a second time it says nothing."""
    if os.environ.get("RANK", "0") == "0":
        _log.warning("note: %s", message)


def resampled(sound: np.ndarray, rate: int, wanted: int, most: int | None = None) -> np.ndarray:
    """Return int16 (T,) at `rate` samples a second at the `wanted` rate, through a polyphase low-pass filter.

    (T · wanted / rate, rounded up) samples, or the first `most` of them; what overshoots is clipped.
    """
    if rate == wanted:
        return sound[:most]
    from scipy.signal import resample_poly  # scikit-learn brings it

    if most is not None:
        reach = 12 * -(-rate // wanted)  # further than the filter sees
        sound = sound[: -(-most * rate // wanted) + 12 + reach]
    common = gcd(rate, wanted)
    heard = resample_poly(sound.astype(np.float64), wanted // common, rate // common)
    return np.clip(np.rint(heard), -32768, 32767).astype(np.int16)[:most]
