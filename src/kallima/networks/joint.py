"""A discriminator that judges an example and a code together (Donahue et al. 2017; Dumoulin et al. 2017)."""

import torch
from torch import Tensor, nn

from kallima.networks.discriminator import Discriminator

SLOPE = 0.2


class JointDiscriminator(Discriminator):
    """Describes example and code each by its own body, then both together by a dense layer of `units`, then scores.

    `discriminator` gives the examples' body; its head, which has not seen the code, is put aside. Scores are multiplied
    by `sharpness`, and with them the bound that spectral normalisation sets to their slope.
    """

    def __init__(self, discriminator: Discriminator, code_dim: int, *, units: int, sharpness: float = 1.0):
        assert isinstance(discriminator.head, nn.Linear)
        inputs = discriminator.head.in_features + units
        head = nn.Sequential(nn.Linear(inputs, units), nn.LeakyReLU(SLOPE), nn.Linear(units, 1))
        super().__init__(discriminator.body, head)
        self.sharpness = sharpness
        self.code_body = nn.Sequential(
            *(nn.Linear(code_dim, units), nn.LeakyReLU(SLOPE)), *(nn.Linear(units, units), nn.LeakyReLU(SLOPE))
        )

    def features(self, example: Tensor, code: Tensor) -> Tensor:  # type: ignore[override]
        """(N, …) with codes (N, d) to (N, F)."""
        return torch.cat([self.body(example), self.code_body(code)], 1)

    def forward(self, example: Tensor, code: Tensor) -> Tensor:  # type: ignore[override]
        """(N, …) with codes (N, d) to (N,) scores."""
        return self.sharpness * self.head(self.features(example, code)).squeeze(1)
