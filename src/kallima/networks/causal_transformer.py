"""A transformer in which each place sees itself and those before it, for a whole sequence or for one place of it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.errors import UsageError


class CausalTransformer(nn.Module):
    """Vaswani et al. 2017 (arXiv:1706.03762), decoder only, with its norms before the layers as in GPT-2.

        x ← x + W_o Attention(q, k, v),  (q, k, v) = W LN(x);     x ← x + W₂ GELU(W₁ LN(x));     LN(x) at the end
        Attention: place i takes Σ_{j ≤ i} softmax_j(qᵢ · kⱼ / √d) vⱼ, in each of the heads

    (N, T, width) to (N, T, width). Dropout falls on what each layer adds, which starts smaller by √(2 depth), so that
    the sum of all does not grow with depth.

    Raises:
        UsageError: the width is not made of as many heads.
    """

    def __init__(self, width: int, depth: int, heads: int, *, dropout: float = 0.0):
        super().__init__()
        if heads < 1 or width % heads:
            raise UsageError(f"--width {width} cannot be shared by --heads {heads}: choose a multiple of it")
        self.width, self.heads = width, heads
        self.blocks = nn.ModuleList(_Block(width, heads, dropout, 1 / math.sqrt(2 * depth)) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what each place of sequences (N, T, width) makes of itself and those before it."""
        for block in self.blocks:
            inputs = block(inputs)
        return self.norm(inputs)

    def start(self, count: int, length: int) -> "Cache":
        """Return room for the keys and values of `count` sequences of `length` places."""
        return Cache(self, count, length)

    def step(self, inputs: Tensor, cache: "Cache") -> Tensor:
        """Return what the next place (N, width) makes of itself and those in the cache, and put it there too."""
        inputs = inputs[:, None]
        for block, kept in zip(self.blocks, cache.kept, strict=True):
            inputs = block(inputs, kept, cache.place)
        cache.place += 1
        return self.norm(inputs[:, 0])


class Cache:
    """Keys and values (2, N, heads, length, d) of every block, of which the first `place` are known."""

    def __init__(self, body: CausalTransformer, count: int, length: int):
        shape = (2, count, body.heads, length, body.width // body.heads)
        self.kept = [body.norm.weight.new_zeros(shape) for _ in body.blocks]
        self.place = 0

    def select(self, rows: Tensor) -> None:
        """Go on with these of the sequences, int64 (M,)."""
        self.kept = [kept[:, rows] for kept in self.kept]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float, share: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.ask, self.add = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (self.ask, self.add, self.widen, self.narrow):
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.add.weight *= share
            self.narrow.weight *= share

    def forward(self, x: Tensor, kept: Tensor | None = None, place: int = 0) -> Tensor:
        """Return x (N, T, width) with what the block adds; or of one place, those before which are `kept`."""
        query, key, value = self.ask(self.norms[0](x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if kept is None:
            heard = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            kept[:, :, :, place] = torch.stack([key, value])[..., 0, :]
            keys, values = kept[:, :, :, : place + 1]
            heard = F.scaled_dot_product_attention(query, keys, values)
        x = x + self._dropped(self.add(heard.transpose(1, 2).flatten(2)))
        return x + self._dropped(self.narrow(F.gelu(self.widen(self.norms[1](x)))))

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)
