"""Packing (Lin et al. 2018, arXiv:1712.04086): a discriminator that judges several examples at once."""

from torch import Tensor, nn

from kallima.errors import UsageError


class Pack(nn.Module):
    """Joins each `count` neighbours of a batch along their first dimension, so that they get one score together.

    Too little variety shows in a pack as it cannot in an example. All of a pack must be real, or all fake.
    """

    def __init__(self, count: int):
        super().__init__()
        self.count = count

    def forward(self, examples: Tensor) -> Tensor:
        """(N, C, H, W) to (N/m, m·C, H, W), points (N, D) to (N/m, m·D).

        Raises:
            UsageError: `count` does not divide N.
        """
        if len(examples) % self.count:
            mistake = f"{len(examples)} examples do not make packs of {self.count}"
            raise UsageError(f"{mistake}: use a batch size that {self.count} divides")
        return examples.unflatten(0, (-1, self.count)).flatten(1, 2)
