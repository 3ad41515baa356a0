"""What codes can be made to look like besides a normal distribution: sets in the plane.

Both are those of Makhzani et al. 2016 (arXiv:1511.05644, figure 4), here with a standard deviation near 1 in each
dimension, like the normal prior's. The paper gives neither radii nor widths.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PetalPrior:
    """A mixture of as many Gaussians in the plane as there are petals: long from the middle outwards, and narrow."""

    petals: int = 10
    radius: float = 1.4
    length: float = 0.4
    breadth: float = 0.1

    @property
    def dimensions(self) -> int:
        """The plane's."""
        return 2

    def draw(self, count: int, device: torch.device, rng: torch.Generator | None = None) -> Tensor:
        """Return (count, 2) on `device`; `rng` is a generator on the CPU, None the device's default one."""
        here = device if rng is None else torch.device("cpu")
        angle = torch.randint(self.petals, (count,), generator=rng, device=here) * (2 * math.pi / self.petals)
        outwards, across = torch.randn(2, count, generator=rng, device=here)
        outwards, across = self.radius + self.length * outwards, self.breadth * across
        x, y = angle.cos() * outwards - angle.sin() * across, angle.sin() * outwards + angle.cos() * across
        return torch.stack([x, y], 1).to(device)


@dataclass(frozen=True)
class SwissRollPrior:
    """A spiral of one and a half turns in the plane, evenly filled along its length, with a little noise."""

    inner: float = 0.6
    outer: float = 1.8
    turns: float = 1.5
    noise: float = 0.05

    @property
    def dimensions(self) -> int:
        """The plane's."""
        return 2

    def draw(self, count: int, device: torch.device, rng: torch.Generator | None = None) -> Tensor:
        """Return (count, 2) on `device`; `rng` is a generator on the CPU, None the device's default one."""
        here = device if rng is None else torch.device("cpu")
        share = torch.rand(count, generator=rng, device=here)
        # its length up to a radius grows with the radius squared, but for the slight slope of the spiral
        radius = torch.lerp(torch.tensor(self.inner**2), torch.tensor(self.outer**2), share).sqrt()
        angle = (radius - self.inner) / (self.outer - self.inner) * (2 * math.pi * self.turns)
        noise = self.noise * torch.randn(count, 2, generator=rng, device=here)
        return (torch.stack([radius * angle.cos(), radius * angle.sin()], 1) + noise).to(device)
