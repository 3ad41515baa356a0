"""Encoders of games in which latents are found for examples: each finds a code, and can draw one.

Both are built around a body that takes examples (N, …) to (N, outputs).
"""

import torch
from torch import Tensor, nn


class PointEncoder(nn.Module):
    """A code is a function of its example; `body` has d outputs."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, example: Tensor) -> Tensor:
        """(N, …) to codes (N, d)."""
        return self.body(example)

    def draw(self, example: Tensor) -> Tensor:
        """Return the same."""
        return self.body(example)


class GaussianEncoder(nn.Module):
    """A code is drawn from N(μ(x), diag σ²(x)); `body` has 2d outputs: μ, then log σ²."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def moments(self, example: Tensor) -> tuple[Tensor, Tensor]:
        """(N, …) to means (N, d) and logarithms of variances (N, d)."""
        mean, log_variance = self.body(example).chunk(2, 1)
        return mean, log_variance

    def forward(self, example: Tensor) -> Tensor:
        """(N, …) to mean codes (N, d)."""
        return self.moments(example)[0]

    def draw(self, example: Tensor) -> Tensor:
        """(N, …) to codes (N, d), each drawn from its own distribution."""
        mean, log_variance = self.moments(example)
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
