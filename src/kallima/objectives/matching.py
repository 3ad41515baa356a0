"""The matching-aware loss (Reed et al. 2016, arXiv:1605.05396, algorithm 1): a real image alone is not enough."""

import torch.nn.functional as F
from torch import Tensor


def matching_aware(right: Tensor, fake: Tensor, wrong: Tensor, differs: Tensor) -> dict[str, Tensor]:
    """Return the discriminator's terms −log s_r − ½ log(1 − s_f) − ½ log(1 − s_w), each a mean.

    Args:
        right: scores (N,) of real images with their own conditions, logits.
        fake: scores (N,) of fakes with the conditions that they were made for.
        wrong: scores (N,) of real images with the conditions of others.
        differs: whether that other condition is another indeed, (N,) of 0 and 1: pairs of equal ones do not count.
    """
    return {
        "real": F.softplus(-right).mean(),
        "fake": 0.5 * F.softplus(fake).mean(),
        "wrong": 0.5 * (F.softplus(wrong) * differs).sum() / differs.sum().clamp_min(1),
    }
