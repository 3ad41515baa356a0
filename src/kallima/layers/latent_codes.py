"""Latents of which a part is meant to be found again: noise, then a category, then numbers."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class CodedPrior:
    """z ~ N(0, I), one of `categories` that are equally frequent, one-hot, and `numbers` numbers from U(−1, 1)."""

    noise: int
    categories: int
    numbers: int

    @property
    def dimensions(self) -> int:
        """Of the whole latent."""
        return self.noise + self.categories + self.numbers

    @property
    def category(self) -> slice:
        """Where in a latent the category is."""
        return slice(self.noise, self.noise + self.categories)

    @property
    def parts(self) -> dict[str, slice]:
        """What is where in a latent: z, category, c1, c2, …"""
        start = self.noise + self.categories
        numbers = {f"c{place + 1}": slice(start + place, start + place + 1) for place in range(self.numbers)}
        return {"z": slice(0, self.noise), "category": self.category} | numbers

    def draw(self, count: int, device: torch.device, rng: torch.Generator | None = None) -> Tensor:
        """Return (count, dimensions) on `device`; `rng` is a generator on the CPU, None the device's default one."""
        here = device if rng is None else torch.device("cpu")
        noise = torch.randn(count, self.noise, generator=rng, device=here)
        category = torch.randint(self.categories, (count,), generator=rng, device=here)
        numbers = 2 * torch.rand(count, self.numbers, generator=rng, device=here) - 1
        return torch.cat([noise, F.one_hot(category, self.categories).to(noise), numbers], 1).to(device)
