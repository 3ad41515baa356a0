"""Discretised mixtures of logistics, in which the channels of a pixel depend on one another (Salimans et al. 2017).

Of a pixel with channels x₁ … x_C, levels in [-1, 1], a network says `numbers(C, M)` numbers:

    p(x) = Σₘ πₘ Πₖ P(xₖ | μₘₖ(x), sₘₖ),     μₘₖ(x) = μₘₖ + Σ_{j<k} tanh(cₘₖⱼ) xⱼ
    P(x | μ, s) = σ((x + h − μ)/s) − σ((x − h − μ)/s),  h half a level; both ends take all beyond

Written channel by channel, p(xₖ | x₁ … xₖ₋₁) is a mixture too: its weights are πₘ Π_{j<k} P(xⱼ | μₘⱼ(x), sₘⱼ), normed.
"""

import torch
from torch import Tensor

from kallima.objectives.likelihood import LEAST_LOG_SCALE, logistic_bins

MOST_LOG_SCALE = 10.0  # all levels between the ends are as likely long before; far beyond it their logarithm is -inf


def numbers(channels: int, mixtures: int) -> int:
    """Return how many numbers a pixel's mixture is made of: weights, means, log scales and coefficients."""
    return mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)


def conditionals(said: Tensor, pixels: Tensor, levels: int) -> Tensor:
    """Return the mixtures of the channels of pixels (..., C) given those before: (..., C, 3 M).

    These are log weights, means and log scales, M each, by what is `said` (..., numbers). Later channels of `pixels`
    have no say in earlier ones.
    """
    channels = pixels.shape[-1]
    mixtures = said.shape[-1] // numbers(channels, 1)
    each = said.unflatten(-1, (-1, mixtures))  # (..., 1 + 2 C + C (C − 1) / 2, M)
    weights, means, log_scales = each[..., 0, :], each[..., 1 : 1 + channels, :], each[..., 1 + channels :, :]
    coefficients = log_scales[..., channels:, :].tanh()
    log_scales = log_scales[..., :channels, :].clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE)
    found, place = [], 0
    for channel in range(channels):
        mean = means[..., channel, :]
        for earlier in range(channel):
            mean = mean + coefficients[..., place, :] * pixels[..., earlier, None]
            place += 1
        log_scale = log_scales[..., channel, :]
        found.append(torch.cat([weights.log_softmax(-1), mean, log_scale], -1))
        if channel + 1 < channels:
            value = pixels[..., channel, None].expand_as(mean)
            weights = weights + logistic_bins(mean, log_scale, value, levels)
    return torch.stack(found, -2)


def log_probability(mixture: Tensor, values: Tensor, levels: int) -> Tensor:
    """Return log p in nats of values (...) in [-1, 1] under their mixtures (..., 3 M)."""
    log_weights, mean, log_scale = mixture.chunk(3, -1)
    bins = logistic_bins(mean, log_scale, values[..., None].expand_as(mean), levels)
    return (log_weights + bins).logsumexp(-1)


def level_logits(mixture: Tensor, levels: int) -> Tensor:
    """Return log p of every level under mixtures (N, 3 M): (N, levels)."""
    values = torch.linspace(-1, 1, levels, dtype=mixture.dtype, device=mixture.device)
    return log_probability(mixture[:, None].expand(-1, levels, -1), values.expand(len(mixture), -1), levels)
