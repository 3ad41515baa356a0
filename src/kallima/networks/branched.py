"""A discriminator with a second head on the same features: it says of an example whether it is real, and what it is."""

from torch import Tensor, nn

from kallima.networks.discriminator import Discriminator


class BranchedDiscriminator(Discriminator):
    """`discriminator` with one more head, `branch`: features (N, F) to (N, outputs)."""

    def __init__(self, discriminator: Discriminator, branch: nn.Module):
        super().__init__(discriminator.body, discriminator.head)
        self.branch = branch

    def both(self, example: Tensor) -> tuple[Tensor, Tensor]:
        """(N, …) to scores (N,) and what the branch says (N, outputs)."""
        features = self.features(example)
        return self.head(features).squeeze(1), self.branch(features)

    def told(self, example: Tensor) -> Tensor:
        """(N, …) to what the branch says (N, outputs)."""
        return self.branch(self.features(example))
