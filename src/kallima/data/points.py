"""Point sets with their exact densities: `gaussian`, `ring`, `grid`, `spiral`, `two-moons`, and on a line `mixture`.

Each of these is a set of centres blurred by isotropic Gaussian noise: p(x) = Σₖ wₖ N(x; cₖ, σ²I). For the mixtures the
centres are the modes; for the curves they are the nodes of a Gauss-Legendre rule along the curve, close enough together
that the sum is the integral (log p to 1e-8 within ten deviations of the curve, to 1e-4 at twenty).
`segment` and `dirac` are too thin to have a density: theory is told on them.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np

from kallima.data.embedded import Embedded
from kallima.data.source import Example, PointSource
from kallima.data.spec import Field, Points

_COUNTS = {"train": 50_000, "test": 10_000}
_SEEDS = {"train": 1, "test": 2}
_CHUNK = 1 << 21  # distances held at once


class PointSet(Embedded, PointSource):
    """Points by themselves. A split is a fixed draw of 50,000 (train) or 10,000 (test); `draw` gives fresh ones."""

    fields: Mapping[str, Field] = {"points": Points(2)}

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return fresh points: float32 (count, D)."""

    def log_density(self, points: np.ndarray) -> np.ndarray | None:
        """Return log p at (N, D) points, in nats: float64 (N,); None for a set without a density."""
        return None

    @cached_property
    def _points(self) -> np.ndarray:
        return self.draw(_COUNTS[self.split], np.random.default_rng(_SEEDS[self.split]))

    def __len__(self) -> int:
        return _COUNTS[self.split]

    def read(self, index: int) -> Example:
        """Return example `index`."""
        return {"points": self._points[index]}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the split's points."""
        return hashlib.sha256(self._points.astype("<f4").tobytes()).hexdigest()


class Blurred(PointSet):
    """Centres with noise of standard deviation `deviation` in every direction."""

    deviation: ClassVar[float]

    @abstractmethod
    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return centres float64 (K, D) and their weights float64 (K,), which add up to 1."""

    @abstractmethod
    def centres(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the centres of `count` points: float64 (count, D)."""

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return fresh points: float32 (count, D)."""
        noise = rng.standard_normal((count, self.nodes()[0].shape[1])) * self.deviation
        return (self.centres(count, rng) + noise).astype(np.float32)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return log p at (N, D) points, in nats: float64 (N,)."""
        centres, weights = self.nodes()
        points = np.asarray(points, dtype=np.float64)
        result = np.empty(len(points))
        size = max(1, _CHUNK // len(centres))
        for start in range(0, len(points), size):
            part = points[start : start + size, None, :]
            exponents = np.log(weights) - ((part - centres) ** 2).sum(-1) / (2 * self.deviation**2)  # (size, K)
            largest = exponents.max(-1)
            result[start : start + size] = largest + np.log(np.exp(exponents - largest[:, None]).sum(-1))
        return result - centres.shape[1] / 2 * np.log(2 * np.pi * self.deviation**2)


class Mixture(Blurred):
    """Equally likely Gaussians around `modes`."""

    modes: ClassVar[np.ndarray]

    def __init_subclass__(cls) -> None:
        cls.mode_deviation = cls.deviation

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the modes, weighted equally."""
        return self.modes, np.full(len(self.modes), 1 / len(self.modes))

    def centres(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a mode for each point."""
        return self.modes[rng.integers(len(self.modes), size=count)]


class Curve(Blurred):
    """Points along `pieces` equally likely curves, each over a parameter u in [0, 1] of density `weight`."""

    pieces: ClassVar[int] = 1

    @abstractmethod
    def along(self, u: np.ndarray, piece: np.ndarray) -> np.ndarray:
        """Return the point of the curve `piece` (K,) at parameter `u` (K,): float64 (K, 2)."""

    def weight(self, u: np.ndarray) -> np.ndarray:
        """Return the density of the parameter at `u`: by default it is uniform."""
        return np.ones_like(u)

    def parameter(self, uniform: np.ndarray) -> np.ndarray:
        """Turn numbers uniform in [0, 1) into parameters of density `weight`."""
        return uniform

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the nodes of a 16-point Gauss-Legendre rule on panels of about two deviations' length."""
        path = self.along(np.linspace(0, 1, 1000), np.zeros(1000, int))
        panels = int(np.ceil(np.hypot(*np.diff(path, axis=0).T).sum() / (2 * self.deviation)))
        abscissae, weights = np.polynomial.legendre.leggauss(16)
        u = ((np.arange(panels)[:, None] + (abscissae + 1) / 2) / panels).ravel()
        share = np.tile(weights / 2, panels) / panels * self.weight(u) / self.pieces
        centres = [self.along(u, np.full(len(u), piece)) for piece in range(self.pieces)]
        return np.concatenate(centres), np.tile(share, self.pieces)

    def centres(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a place on the curves for each point."""
        return self.along(self.parameter(rng.random(count)), rng.integers(self.pieces, size=count))


class Gaussian(Mixture):
    """The standard Gaussian: one mode at the origin, deviation 1."""

    title, deviation = "gaussian", 1.0
    modes: ClassVar[np.ndarray] = np.zeros((1, 2))


class Ring(Mixture):
    """Eight Gaussians of deviation 0.02 on a circle of radius 2 (the ring of VEEGAN and PacGAN's tables)."""

    title, deviation = "ring", 0.02
    modes: ClassVar[np.ndarray] = 2 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)


class Grid(Mixture):
    """Twenty-five Gaussians of deviation 0.05 at {-4, -2, 0, 2, 4}²."""

    title, deviation = "grid", 0.05
    modes: ClassVar[np.ndarray] = np.stack(np.meshgrid(*[[-4.0, -2.0, 0.0, 2.0, 4.0]] * 2), -1).reshape(-1, 2)


class TwoGaussians(Mixture):
    """Two Gaussians of deviation 0.5 at -2 and 2 on a line: the set on which theory is told."""

    title, deviation = "mixture", 0.5
    fields: Mapping[str, Field] = {"points": Points(1)}
    modes: ClassVar[np.ndarray] = np.array([[-2.0], [2.0]])


class Spiral(Curve):
    """Two turns of an Archimedean spiral out to radius 2, deviation 0.05; the parameter's square is uniform.

    That makes the points about equally dense along the curve.
    """

    title, deviation = "spiral", 0.05

    def along(self, u: np.ndarray, piece: np.ndarray) -> np.ndarray:
        """Return 2u (cos 4πu, sin 4πu)."""
        return 2 * u[:, None] * np.stack([np.cos(4 * np.pi * u), np.sin(4 * np.pi * u)], -1)

    def weight(self, u: np.ndarray) -> np.ndarray:
        """Return 2u."""
        return 2 * u

    def parameter(self, uniform: np.ndarray) -> np.ndarray:
        """Return the square root."""
        return np.sqrt(uniform)


class TwoMoons(Curve):
    """Two interleaving half circles of radius 1 around (0, 0) and (1, ½), deviation 0.1."""

    title, deviation, pieces = "two-moons", 0.1, 2

    def along(self, u: np.ndarray, piece: np.ndarray) -> np.ndarray:
        """Return (cos πu, sin πu) on the upper moon, (1 - cos πu, ½ - sin πu) on the lower."""
        upper = np.stack([np.cos(np.pi * u), np.sin(np.pi * u)], -1)
        return np.where(piece[:, None] == 0, upper, (1.0, 0.5) - upper)


class Segment(PointSet):
    """Points (0, u), u uniform in [0, 1]: one of the two parallel lines of Arjovsky et al. 2017, Example 1."""

    title = "segment"

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return fresh points: float32 (count, 2)."""
        return np.stack([np.zeros(count), rng.random(count)], -1).astype(np.float32)


class Dirac(PointSet):
    """Every point is 0, on a line: the data of Dirac-GAN (Mescheder et al. 2018)."""

    title = "dirac"
    fields: Mapping[str, Field] = {"points": Points(1)}
    modes: ClassVar[np.ndarray] = np.zeros((1, 1))

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return zeros: float32 (count, 1)."""
        return np.zeros((count, 1), np.float32)
