"""What every discriminator is, whatever it looks at: a body that describes examples, and a head that scores them."""

from torch import Tensor, nn


class Discriminator(nn.Module):
    """`body` describes each example by features, `head` makes one score of them.

    The split is where minibatch discrimination is put in, what feature matching compares, and where further heads
    (classes, codes) grow. A discriminator of packed examples gives one score a pack.
    """

    def __init__(self, body: nn.Module, head: nn.Module):
        super().__init__()
        self.body, self.head = body, head

    def features(self, example: Tensor) -> Tensor:
        """(N, …) to (N, F)."""
        return self.body(example)

    def forward(self, example: Tensor) -> Tensor:
        """(N, …) to (N,) scores."""
        return self.head(self.body(example)).squeeze(1)
