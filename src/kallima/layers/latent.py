"""What a generator starts from."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Prior(Protocol):
    """A distribution of latents."""

    @property
    def dimensions(self) -> int:
        """How many numbers a latent has."""
        ...

    def draw(self, count: int, device: torch.device, rng: torch.Generator | None = None) -> Tensor:
        """Return (count, dimensions) on `device`; `rng` is a generator on the CPU, None the device's default one."""
        ...


@dataclass(frozen=True)
class NormalPrior:
    """z ~ N(0, I) in `dimensions` dimensions."""

    dimensions: int

    def draw(self, count: int, device: torch.device, rng: torch.Generator | None = None) -> Tensor:
        """Return (count, dimensions) on `device`.

        With `rng`, a generator on the CPU, the draws are the same on every device; without it they come from the
        device's default generator, which is what a compiled loss can trace.
        """
        if rng is None:
            return torch.randn(count, self.dimensions, device=device)
        return torch.randn(count, self.dimensions, generator=rng).to(device)
