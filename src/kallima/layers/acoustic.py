"""What is heard in a sound: its log-mel picture and its cepstrum, as speech recognition has used them for decades."""

import math

import torch
from torch import Tensor, nn

from kallima.full_precision import in_full_precision

FLOOR = 1e-10
"""Power of a mel band below which it counts as silent: −100 dB of a full-scale one."""


class LogMel(nn.Module):
    """Sounds (N, T) in [-1, 1) to decibels (N, mels, frames): the power in bands that are as wide as the ear's.

        S = |STFT(x)|² / (Σ w)²,     10 log10 max(M S, 1e-10)

    w is a periodic Hann window of `window` samples, moved by `hop`; the sound is mirrored at its ends, so that frame i
    has sample i · hop in its middle: 1 + T // hop frames. M are `mels` triangles, evenly apart on the mel scale
    m(f) = 2595 log10(1 + f / 700) (O'Shaughnessy 1987) from 0 to rate / 2, their peaks 1. Decibels are of a full-scale
    sine's power, about; ten times the amplitude adds 20 to each.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, rate: int, *, window: int, hop: int, mels: int):
        super().__init__()
        self.hop = hop
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        self.register_buffer("bands", mel_bands(rate, window // 2 + 1, mels), persistent=False)

    def frames(self, samples: int) -> int:
        """Return how many frames a sound of so many samples has."""
        return 1 + samples // self.hop

    @in_full_precision
    def forward(self, sounds: Tensor) -> Tensor:
        """(N, T) to (N, mels, frames)."""
        size = len(self.window)
        spectrum = torch.stft(sounds, size, self.hop, window=self.window, center=True, return_complex=True)
        power = spectrum.abs().square() / self.window.sum().square()  # (N, size // 2 + 1, frames)
        return 10 * (self.bands @ power).clamp_min(FLOOR).log10()


def mel_bands(rate: int, bins: int, mels: int) -> Tensor:
    """Return triangles (mels, bins) over `bins` frequencies from 0 to rate / 2, in hertz, evenly apart in mel."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, mels + 2, dtype=torch.float64) / 2595) - 1)
    frequencies = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
    return torch.minimum(rising, falling).clamp_min(0).float()


@in_full_precision
def cepstrum(log_mel: Tensor, count: int) -> Tensor:
    """Return the first `count` MFCC (N, count, frames) of log-mel pictures (N, mels, frames).

    Davis & Mermelstein 1980: the discrete cosine transform (II, orthonormal) over the bands.
    """
    mels = log_mel.shape[1]
    place = torch.arange(mels, dtype=torch.float64) + 0.5
    order = torch.arange(count, dtype=torch.float64)[:, None]
    basis = torch.cos(math.pi / mels * place * order) * math.sqrt(2 / mels)
    basis[0] /= math.sqrt(2)
    return basis.to(log_mel) @ log_mel
