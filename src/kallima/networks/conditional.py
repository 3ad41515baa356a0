"""Discriminators that judge an example together with its condition, and never alone, built around those that do."""

import torch
from torch import Tensor, nn

from kallima.networks.discriminator import Discriminator


class ConcatenationDiscriminator(Discriminator):
    """Sees the condition beside the example: an image has a plane of each number, a point the numbers themselves.

    Mirza & Osindero 2014 (arXiv:1411.1784); for convolutions as in Reed et al. 2016 (arXiv:1605.05396), but from the
    first layer on. `discriminator` takes examples of as many more channels (or numbers) as a condition has numbers.
    """

    def __init__(self, discriminator: Discriminator):
        super().__init__(discriminator.body, discriminator.head)

    def features(self, example: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """(N, …) under conditions (N, K) to (N, F)."""
        planes = condition.reshape(*condition.shape, *[1] * (example.dim() - 2))
        return self.body(torch.cat([example, planes.expand(-1, -1, *example.shape[2:])], 1))

    def forward(self, example: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """(N, …) under conditions (N, K) to (N,) scores."""
        return self.head(self.features(example, condition)).squeeze(1)


class ProjectionDiscriminator(Discriminator):
    """s(x, c) = ⟨Vc, φ(x)⟩ + head(φ(x)) (Miyato & Koyama 2018, arXiv:1802.05637, Eq. 3 and figure 1)."""

    def __init__(self, discriminator: Discriminator, condition_size: int):
        super().__init__(discriminator.body, discriminator.head)
        assert isinstance(discriminator.head, nn.Linear)
        self.embedding = nn.Linear(condition_size, discriminator.head.in_features, bias=False)
        nn.init.orthogonal_(self.embedding.weight)

    def forward(self, example: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """(N, …) under conditions (N, K) to (N,) scores."""
        features = self.features(example)
        return self.head(features).squeeze(1) + (self.embedding(condition) * features).sum(1)


class ReadingDiscriminator(nn.Module):
    """Judges an example with what it has read or heard of its condition: s(x, c) = judge(x, reading(c))."""

    def __init__(self, reading: nn.Module, judge: Discriminator):
        super().__init__()
        self.reading, self.judge = reading, judge

    def forward(self, example: Tensor, condition: Tensor) -> Tensor:
        """(N, …) under conditions (N, K) to (N,) scores."""
        return self.judge(example, self.reading(condition))
