"""A dense network that says where points are to go at a moment."""

from torch import Tensor, nn

from kallima.layers.time_embedding import TimeEmbedding
from kallima.networks.mlp import hidden_layers


class DenseVelocity(nn.Module):
    """Points (N, D) at times (N,), under conditions (N, K) where it was given a `condition_size` K, to (N, D)."""

    def __init__(self, dimensions: int, *, width: int = 256, depth: int = 4, condition_size: int = 0):
        super().__init__()
        self.time = TimeEmbedding(width)
        self.told = nn.Linear(condition_size, width, bias=False) if condition_size else None
        self.enter = nn.Linear(dimensions, width)
        self.hidden = hidden_layers(width, width, depth, nn.SiLU)
        self.leave = nn.Linear(width, dimensions)
        nn.init.zeros_(self.leave.weight)  # nothing moves at first
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, D), (N,) and (N, K) to (N, D)."""
        features = self.enter(x) + self.time(time)
        if self.told is not None:
            assert condition is not None
            features = features + self.told(condition)
        return self.leave(self.hidden(nn.functional.silu(features)))
