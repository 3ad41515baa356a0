"""A vector for each code, which says it on the way in and weighs it on the way out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Vocabulary(nn.Module):
    """An embedding E (codes, width) that gives the logits too (Press & Wolf 2017, arXiv:1608.05859).

        x = E[code],     logits = E h + b

    Half the weights of two tables, and rare codes learn from every text and not from those alone in which they occur.
    `deviation` is that of the vectors at the start.
    """

    def __init__(self, codes: int, width: int, *, deviation: float):
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(codes, width) * deviation)
        self.bias = nn.Parameter(torch.zeros(codes))

    def forward(self, codes: Tensor) -> Tensor:
        """Return the vectors (..., width) of codes, int64 (...)."""
        return F.embedding(codes, self.vectors)

    def logits(self, outputs: Tensor) -> Tensor:
        """Return the logits (..., codes) of outputs (..., width)."""
        return F.linear(outputs, self.vectors, self.bias)
