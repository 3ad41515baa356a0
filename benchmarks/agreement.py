"""Our metrics and independent implementations on the same features, in one run: a markdown table on stdout.

    python benchmarks/agreement.py

An implementation that is not installed has a row that says so. Those that draw subsets are made to use all examples.
"""

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

from kallima.evaluation.fid import fid, frechet_distance_of_few
from kallima.evaluation.inception_score import inception_score
from kallima.evaluation.kid import kid
from kallima.evaluation.ms_ssim import ms_ssim
from kallima.evaluation.prdc import neighbourhoods

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Comparison:
    """One row: a metric, who else computes it, both values, and why they differ where they do."""

    metric: str
    other: str
    ours: float
    theirs: float
    reason: str = ""

    @property
    def difference(self) -> float:
        """Relative difference."""
        return abs(self.ours - self.theirs) / max(abs(self.theirs), 1e-12)


def sets() -> tuple[Tensor, Tensor]:
    """Draw correlated features, real (600, 32) and generated (500, 32)."""
    rng = torch.Generator().manual_seed(0)
    mix = torch.randn(32, 32, generator=rng)
    real = torch.randn(600, 32, generator=rng) @ mix
    return real, 1.1 * torch.randn(500, 32, generator=rng) @ mix + 0.3


def pictures(count: int, seed: int, side: int = 192) -> Tensor:
    """Draw smooth images uint8 (N, 3, side, side)."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, side // 8, side // 8, generator=rng)
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return (255 * (smooth + 0.02 * torch.rand(smooth.shape, generator=rng)).clamp(0, 1)).byte()


class Handed(nn.Module):
    """A feature extractor for torchmetrics that hands over features we have: an image is the number of a row."""

    def __init__(self, rows: Tensor):
        super().__init__()
        self.rows, self.num_features = rows, rows.shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, 2, 2) -> (N, d)."""
        pixels = images[:, :, 0, 0].long()
        return self.rows[pixels[:, 0] * 256 + pixels[:, 1]]


def numbers(start: int, count: int) -> Tensor:
    """Write row numbers into images uint8 (N, 3, 2, 2)."""
    rows = torch.arange(start, start + count)
    pixels = torch.stack([rows // 256, rows % 256, 0 * rows], 1).byte()
    return pixels[:, :, None, None].expand(-1, -1, 2, 2).contiguous()


def from_scipy() -> Iterator[Comparison]:
    real, generated = sets()
    for name, x, y in (("FID, N > d", real, generated), ("FID, N < d", real[:20], generated[:25])):
        a, b = np.cov(x.double().numpy().T), np.cov(y.double().numpy().T)
        root = scipy.linalg.sqrtm(a @ b).real
        gap = (x.double().mean(0) - y.double().mean(0)).square().sum().item()
        ours = fid(x, y).value if len(x) > x.shape[1] else frechet_distance_of_few(x, y)
        yield Comparison(name, "scipy.linalg.sqrtm", ours, gap + np.trace(a) + np.trace(b) - 2 * np.trace(root))


def from_torchmetrics() -> Iterator[Comparison]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its other metrics would need
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as their_ms_ssim
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.inception import InceptionScore
        from torchmetrics.image.kid import KernelInceptionDistance

        real, generated = sets()
        rows = Handed(torch.cat([real, generated]))
        theirs = FrechetInceptionDistance(feature=rows, input_img_size=(3, 2, 2)).set_dtype(torch.float64)
        theirs.update(numbers(0, 600), real=True)
        theirs.update(numbers(600, 500), real=False)
        yield Comparison("FID, N > d", "torchmetrics", fid(real, generated).value, theirs.compute().item())

        shared = real[:500]
        theirs = KernelInceptionDistance(
            feature=Handed(torch.cat([shared, generated]).double()), subsets=1, subset_size=500
        )
        theirs.update(numbers(0, 500), real=True)
        theirs.update(numbers(500, 500), real=False)
        yield Comparison("KID", "torchmetrics", kid(shared, generated).value, theirs.compute()[0].item())

        logits = 3 * real[:, :10]
        theirs = InceptionScore(feature=Handed(logits.double()), splits=1)
        theirs.update(numbers(0, 600))
        ours = inception_score(logits.double().softmax(1), splits=1)
        yield Comparison("Inception score, one split", "torchmetrics", ours.value, theirs.compute()[0].item())

        x, y = pictures(3, 1), pictures(3, 2)
        y = (0.7 * x + 0.3 * y).byte()
        ours = ms_ssim(x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1)).mean().item()
        theirs = their_ms_ssim(x.double(), y.double(), data_range=255.0, normalize=None).item()
        reason = "at the coarsest scale it also counts windows reflected over the border; ours, as published, do not"
        yield Comparison("MS-SSIM, 192 px", "torchmetrics", ours, theirs, reason)


def from_sklearn() -> Iterator[Comparison]:
    from sklearn.metrics.pairwise import polynomial_kernel
    from sklearn.neighbors import NearestNeighbors

    real, generated = (x.double().numpy() for x in sets())
    xx, yy, xy = (polynomial_kernel(a, b) for a, b in ((real, real), (generated, generated), (real, generated)))
    n, m = len(real), len(generated)
    theirs = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1)) - 2 * xy.mean()
    yield Comparison("KID", "scikit-learn, polynomial_kernel", kid(*sets()).value, theirs)

    def radii(points: np.ndarray, k: int) -> np.ndarray:
        return NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points)[0][:, k]

    ours = neighbourhoods(*sets())
    across = np.linalg.norm(real[:, None] - generated[None], axis=2)
    far = across <= radii(real, 5)[:, None]
    expected = {
        "precision": (across <= radii(real, 3)[:, None]).any(0).mean(),
        "recall": (across <= radii(generated, 3)).any(1).mean(),
        "density": far.sum(0).mean() / 5,
        "coverage": far.any(1).mean(),
    }
    for name, theirs in expected.items():
        yield Comparison(name.capitalize(), "scikit-learn, NearestNeighbors", getattr(ours, name).value, float(theirs))


def from_prdc() -> Iterator[Comparison]:
    from prdc import compute_prdc

    real, generated = sets()
    theirs = compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=5)
    ours = neighbourhoods(real, generated, precision_neighbours=5)
    for name in ("precision", "recall", "density", "coverage"):
        yield Comparison(name.capitalize() + ", k = 5", "prdc", getattr(ours, name).value, float(theirs[name]))


SOURCES: dict[str, Callable[[], Iterator[Comparison]]] = {
    "scipy": from_scipy,
    "torchmetrics": from_torchmetrics,
    "sklearn": from_sklearn,
    "prdc": from_prdc,
}
"""By the module that each needs."""


def main() -> None:
    print("| metric | against | ours | theirs | relative difference | |\n|---|---|---|---|---|---|")
    worst = 0.0
    for module, source in SOURCES.items():
        if importlib.util.find_spec(module) is None:
            print(f"| | {module} | | | | not installed |")
            continue
        for row in source():
            cells = row.metric, row.other, f"{row.ours:.8g}", f"{row.theirs:.8g}", f"{row.difference:.0e}", row.reason
            print("|", " | ".join(cells), "|")
            worst = max(worst, 0 if row.reason else row.difference)
    if not worst <= TOLERANCE:  # NaN too
        sys.exit(f"they differ by {worst:.1e}, more than {TOLERANCE:.0e}, and nobody said why")


if __name__ == "__main__":
    main()
