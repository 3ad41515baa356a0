"""μ-law companding (ITU-T G.711): 256 levels for samples of sound, narrow where sounds are quiet."""

import math

import torch
from torch import Tensor

LEVELS = 256
MU = 255.0


def compressed(sounds: Tensor) -> Tensor:
    """Return the levels, int64 in [0, 256), of samples in [-1, 1].

    f(x) = sign(x) ln(1 + μ|x|) / ln(1 + μ) is rounded to k/128, so that silence is a level of its own, 128; the level
    of f = 1 would be the 257th and is the 256th.
    """
    bent = sounds.sign() * torch.log1p(MU * sounds.abs()) / math.log1p(MU)
    return (bent * (LEVELS // 2)).round().long().add(LEVELS // 2).clamp(0, LEVELS - 1)


def expanded(levels: Tensor) -> Tensor:
    """Return the samples in [-1, 1] that stand for levels: x = sign(f) ((1 + μ)^|f| − 1) / μ."""
    bent = (levels.float() - LEVELS // 2) / (LEVELS // 2)
    return bent.sign() * torch.expm1(bent.abs() * math.log1p(MU)) / MU
