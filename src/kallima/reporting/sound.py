"""Sounds to look at, spectrograms with time from left to right and pitch from below, and to listen to."""

import io
import wave
from collections.abc import Sequence

import numpy as np
from PIL import Image

from kallima.reporting.grid import image_grid

WINDOW = 0.032  # seconds
HOP = 0.008
HEIGHT, WIDTH = 64, 128  # pixels of one
FLOOR = 70.0  # decibels below the loudest that are still told apart
PAUSE = 0.25  # seconds of silence between sounds


def spectrograms(sounds: np.ndarray, rate: int, *, columns: int | None = None) -> Image.Image:
    """Draw the spectrograms of sounds (N, T) in [-1, 1], the louder the brighter, side by side."""
    return image_grid(np.stack([_picture(sound, rate) for sound in sounds]), columns=columns, scale=1)


def wave_file(sounds: Sequence[np.ndarray], rate: int) -> bytes:
    """Return a wav file of 16 bits with sounds (T,) in [-1, 1], one after the other with a pause between them."""
    pause = np.zeros(round(PAUSE * rate))
    strung = np.concatenate([part for sound in sounds for part in (sound, pause)][:-1])
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(strung, -1, 32767 / 32768) * 32768).astype("<i2").tobytes())
    return content.getvalue()


def _picture(sound: np.ndarray, rate: int) -> np.ndarray:
    """Return the spectrogram of a sound (T,) as a grey picture uint8 (HEIGHT, WIDTH, 1)."""
    window, hop = max(16, round(WINDOW * rate)), max(4, round(HOP * rate))
    padded = np.pad(np.asarray(sound, np.float64), (0, max(0, window - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, axis=1)).T ** 2
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    top = max(float(decibels.max()), -20.0)  # silence stays dark
    shade = np.clip((decibels - top + FLOOR) / FLOOR, 0, 1)[::-1]
    picture = Image.fromarray((255 * shade).astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    return np.asarray(picture)[..., None]
