"""Bounds on a likelihood from importance weights (Burda et al. 2016, arXiv:1509.00519)."""

import math

import torch
from torch import Tensor


def importance_weighted(log_weights: Tensor) -> Tensor:
    """L_k = E log (1/k Σᵢ wᵢ) (Eq. 8) of log wᵢ = log p(x, zᵢ) − log q(zᵢ | x), zᵢ ~ q: (k, N) to (N,), in nats.

    k = 1 is the evidence lower bound. Through the logarithm of a sum of exponentials: the weights themselves overflow.
    """
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))
