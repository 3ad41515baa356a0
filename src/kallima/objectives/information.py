"""Lower bounds on the mutual information between a code and what is made of it (Chen et al. 2016, arXiv:1606.03657).

    I(c; x) = H(c) − H(c | x) ≥ H(c) + E log q(c | x) = L_I,   with equality where q is the true posterior (Eq. 4, 5)

All in nats, means over the batch. L_I is never above H(c) for a category; for numbers H(c) is a differential entropy,
and L_I has no upper bound.
"""

import math

from torch import Tensor


def category_information(logits: Tensor, category: Tensor) -> Tensor:
    """L_I of equally frequent categories: log K + E log q(c | x).

    `logits` (N, K) are those of q(· | x), `category` (N, K) is the one, one-hot, that x was made of.
    """
    return math.log(logits.shape[1]) + (logits.log_softmax(1) * category).sum(1).mean()


def number_information(mean: Tensor, log_deviation: Tensor, number: Tensor) -> Tensor:
    """L_I of numbers (N, d) from U(−1, 1): d log 2 + E ∑ log N(c; μ, σ²), the whole log density.

    `mean` and `log_deviation` (N, d) are what q says of x. Without −log σ − ½ log 2π this would not be a bound, and σ
    would grow without end.
    """
    errors = (number - mean) * (-log_deviation).exp()
    log_density = -0.5 * errors.square() - log_deviation - 0.5 * math.log(2 * math.pi)
    return number.shape[1] * math.log(2) + log_density.sum(1).mean()
