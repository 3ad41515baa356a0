"""What a system remembers of the examples that it has seen lately: vectors, to draw from as they came."""

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """The latest of the vectors shown, in the place of those that it began with.

    `rows` (M, d) are what it begins with. It is saved with the weights, and nothing in it waits for the device.
    """

    rows: Tensor
    written: Tensor

    def __init__(self, rows: Tensor):
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def remember(self, vectors: Tensor) -> None:
        """Take vectors (N, d) in, in the place of the oldest."""
        vectors = vectors[-len(self.rows) :].to(self.rows)
        places = (self.written + torch.arange(len(vectors), device=vectors.device)) % len(self.rows)
        self.rows.index_copy_(0, places, vectors)
        self.written += len(vectors)

    def draw(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` of the vectors (count, d), only such as were shown if any were; `rng` is on the CPU."""
        known = min(int(self.written), len(self.rows)) or len(self.rows)
        return self.rows[torch.randint(known, (count,), generator=rng).to(self.rows.device)]
