"""Our metrics and independent implementations on the same features, in one run: a markdown table on stdout.

    python benchmarks/agreement.py

An implementation that is not installed has a row that says so. Those that draw subsets are made to use all examples.
Where our metric is a library's own function (ROUGE, normalised mutual information, the probes) there is nothing to
compare, and no row.
"""

import importlib.util
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from types import ModuleType
from unittest import mock

import numpy as np
import scipy.linalg
import torch
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance, wasserstein_distance_nd
from torch import Tensor, nn

from kallima.evaluation.fid import fid, frechet_distance_of_few
from kallima.evaluation.gaussian_mmd import mmd
from kallima.evaluation.inception_score import inception_score
from kallima.evaluation.kid import kid
from kallima.evaluation.latent.clustering import clustering_accuracy
from kallima.evaluation.latent.mig import mig
from kallima.evaluation.likelihood.parzen import parzen_log_density
from kallima.evaluation.ms_ssim import ms_ssim
from kallima.evaluation.multilabel import multilabel_f1
from kallima.evaluation.points import energy_distance
from kallima.evaluation.prdc import neighbourhoods
from kallima.evaluation.reconstruction import psnr, structural_similarity
from kallima.evaluation.speech.word_errors import character_error_rate, word_error_rate
from kallima.evaluation.text.bleu import bleu, self_bleu
from kallima.evaluation.wasserstein import wasserstein

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


def originals_and_reconstructions() -> tuple[Tensor, Tensor]:
    """Draw image pairs uint8 (3, 192, 192, 3)."""
    x, y = pictures(3, 1), pictures(3, 2)
    return x.permute(0, 2, 3, 1), (0.7 * x + 0.3 * y).byte().permute(0, 2, 3, 1)


def sentences(count: int, seed: int) -> list[str]:
    """Draw sentences of 6 to 18 words that share many n-grams."""
    rng = np.random.default_rng(seed)
    text = "a small grey bird sings above the old stone wall , while rain falls on the garden ."
    words, found = text.split(), []
    for length in rng.integers(6, 19, count):
        start = rng.integers(len(words))
        found.append(" ".join(words[(start + i + (rng.random() < 0.2)) % len(words)] for i in range(length)))
    return found


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


def spare_torchvision() -> None:
    """Let torch-fidelity be imported without torchvision: its functions on features need none, nor does torchmetrics.

    Its package and one of its modules import torchvision for images; others stand in for both.
    """
    found = importlib.util.find_spec("torch_fidelity")
    if found is None or importlib.util.find_spec("torchvision") is not None:
        return
    package = ModuleType("torch_fidelity")
    package.__path__ = list(found.submodule_search_locations or ())
    package.__spec__ = found
    sys.modules |= {"torch_fidelity": package, "torch_fidelity.utils": mock.MagicMock()}


def from_scipy() -> Iterator[Comparison]:
    real, generated = sets()
    for name, x, y in (("FID, N > d", real, generated), ("FID, N < d", real[:20], generated[:25])):
        a, b = np.cov(x.double().numpy().T), np.cov(y.double().numpy().T)
        root = scipy.linalg.sqrtm(a @ b).real
        gap = (x.double().mean(0) - y.double().mean(0)).square().sum().item()
        ours = fid(x, y).value if len(x) > x.shape[1] else frechet_distance_of_few(x, y)
        yield Comparison(name, "scipy.linalg.sqrtm", ours, gap + np.trace(a) + np.trace(b) - 2 * np.trace(root))

    real, generated = (x.double().numpy() for x in sets())
    x, y = real[:, 0], generated[:, 0]
    ours = wasserstein(x[:, None], y[:, None]).value
    yield Comparison("Wasserstein-1, 1-D", "scipy.stats.wasserstein_distance", ours, wasserstein_distance(x, y))
    for n, m in ((40, 40), (30, 50)):
        x, y = real[:n, :3], generated[:m, :3]
        theirs = wasserstein_distance_nd(x, y)
        name = f"Wasserstein-1, 3-D, {n} and {m}"
        yield Comparison(name, "scipy.stats.wasserstein_distance_nd", wasserstein(x, y).value, theirs)
    x, y = (points / real.std(0) for points in (real, generated))
    n, m = len(x), len(y)
    theirs = 2 * cdist(x, y).mean() - cdist(x, x).sum() / (n * (n - 1)) - cdist(y, y).sum() / (m * (m - 1))
    yield Comparison("Energy distance", "scipy.spatial.distance.cdist", energy_distance(real, generated).value, theirs)


def from_torchmetrics() -> Iterator[Comparison]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its other metrics would need
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as their_ms_ssim
        from torchmetrics.functional.image import peak_signal_noise_ratio as their_psnr
        from torchmetrics.functional.image import structural_similarity_index_measure as their_ssim
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

        x, y = originals_and_reconstructions()
        first, second = (z.permute(0, 3, 1, 2).double() for z in (x, y))
        theirs = their_psnr(first, second, data_range=255.0, dim=(1, 2, 3)).item()
        yield Comparison("PSNR", "torchmetrics", psnr(x, y).value, theirs)
        theirs = their_ssim(first, second, data_range=255.0, return_full_image=True)[1][..., 5:-5, 5:-5].mean().item()
        yield Comparison("SSIM, where the window fits", "torchmetrics", structural_similarity(x, y).value, theirs)
        ours = ms_ssim(x, y).mean().item()
        theirs = their_ms_ssim(first, second, data_range=255.0, normalize=None).item()
        reason = "at the coarsest scale it also counts windows reflected over the border; ours, as published, do not"
        yield Comparison("MS-SSIM, 192 px", "torchmetrics", ours, theirs, reason)


def from_sklearn() -> Iterator[Comparison]:
    from sklearn.metrics import accuracy_score, f1_score, mutual_info_score
    from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
    from sklearn.neighbors import KernelDensity, NearestNeighbors

    real, generated = (x.double().numpy() for x in sets())
    xx, yy, xy = (polynomial_kernel(a, b) for a, b in ((real, real), (generated, generated), (real, generated)))
    n, m = len(real), len(generated)
    theirs = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1)) - 2 * xy.mean()
    yield Comparison("KID", "scikit-learn, polynomial_kernel", kid(*sets()).value, theirs)

    width = 40.0
    xx, yy, xy = (
        rbf_kernel(a, b, 0.5 / width**2) for a, b in ((real, real), (generated, generated), (real, generated))
    )
    theirs = (xx.sum() - n) / (n * (n - 1)) + (yy.sum() - m) / (m * (m - 1)) - 2 * xy.mean()
    ours = mmd(real, generated, bandwidth=width, permutations=1).value
    yield Comparison("MMD, Gaussian kernel", "scikit-learn, rbf_kernel", ours, theirs)

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

    theirs = KernelDensity(bandwidth=10.0).fit(generated).score_samples(real).mean()  # loses narrow windows' tails
    ours = float(parzen_log_density(generated, real, 10.0).mean())
    yield Comparison("Parzen windows, log density", "scikit-learn, KernelDensity", ours, theirs)

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    clusters = np.where(rng.random(300) < 0.6, (labels + 2) % 5, rng.integers(0, 5, 300))
    matchings = map(np.array, itertools.permutations(range(5)))
    theirs = max(accuracy_score(labels, matching[clusters]) for matching in matchings)
    ours = clustering_accuracy(labels, clusters).value
    yield Comparison("Clustering accuracy", "scikit-learn, accuracy_score, all 120 matchings", ours, theirs)

    factors = np.stack([labels, rng.integers(0, 3, 300)], 1)
    codes = np.concatenate([factors + 0.4 * rng.standard_normal((300, 2)), rng.standard_normal((300, 2))], 1)
    binned = [np.digitize(column, np.linspace(column.min(), column.max(), 21)[1:-1]) for column in codes.T]
    gaps = []
    for factor in factors.T:
        known = sorted(mutual_info_score(factor, column) for column in binned)
        gaps.append((known[-1] - known[-2]) / mutual_info_score(factor, factor))
    yield Comparison("MIG", "scikit-learn, mutual_info_score", mig(codes, factors).value, float(np.mean(gaps)))

    truth = rng.random((300, 8)) < 0.3
    predicted = truth ^ (rng.random((300, 8)) < 0.2)
    ours = multilabel_f1(predicted, truth)
    for name, average in (("micro", "micro"), ("macro", "macro"), ("example", "samples")):
        theirs = f1_score(truth, predicted, average=average, zero_division=1.0)
        yield Comparison(f"F1 of labels, {name}", "scikit-learn, f1_score", getattr(ours, name).value, float(theirs))


def from_prdc() -> Iterator[Comparison]:
    from prdc import compute_prdc

    real, generated = sets()
    with redirect_stdout(sys.stderr):  # it says the counts
        theirs = compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=5)
    ours = neighbourhoods(real, generated, precision_neighbours=5)
    for name in ("precision", "recall", "density", "coverage"):
        yield Comparison(name.capitalize() + ", k = 5", "prdc", getattr(ours, name).value, float(theirs[name]))


def from_torch_fidelity() -> Iterator[Comparison]:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, generated = (x.double() for x in sets())
    statistics = [fid_features_to_statistics(x) for x in (real, generated)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    yield Comparison("FID, N > d", "torch-fidelity", fid(real, generated).value, theirs)

    theirs = kid_features_to_metric(generated, real[:500], kid_subsets=1, kid_subset_size=500, verbose=False)
    ours = kid(real[:500], generated).value
    yield Comparison("KID", "torch-fidelity", ours, theirs["kernel_inception_distance_mean"])

    logits = 3 * real[:, :10]
    theirs = isc_features_to_metric(logits, splits=1)["inception_score_mean"]
    ours = inception_score(logits.softmax(1), splits=1).value
    yield Comparison("Inception score, one split", "torch-fidelity", ours, theirs)

    theirs = prc_features_to_metric(generated, real, verbose=False)
    ours = neighbourhoods(real, generated)
    for name in ("precision", "recall"):
        yield Comparison(name.capitalize(), "torch-fidelity", getattr(ours, name).value, theirs[name])


def from_skimage() -> Iterator[Comparison]:
    from skimage.metrics import peak_signal_noise_ratio
    from skimage.metrics import structural_similarity as their_ssim

    x, y = originals_and_reconstructions()
    pairs = list(zip(x.numpy(), y.numpy(), strict=True))
    theirs = np.mean([peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs])
    yield Comparison("PSNR", "scikit-image", psnr(x, y).value, float(theirs))
    published = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    theirs = np.mean([their_ssim(a, b, channel_axis=2, **published) for a, b in pairs])
    yield Comparison("SSIM", "scikit-image", structural_similarity(x, y).value, float(theirs))


def from_sacrebleu() -> Iterator[Comparison]:
    import sacrebleu

    made = sentences(40, 0)
    several = [sentences(40, 1), sentences(40, 2)]
    theirs = sacrebleu.corpus_bleu(made, several).score
    ours = bleu(made, list(zip(*several, strict=True))).value
    yield Comparison("BLEU, two references, from sums over texts", "sacrebleu, corpus_bleu", ours, theirs)
    metric = sacrebleu.BLEU(effective_order=True)
    theirs = np.mean([metric.sentence_score(text, made[:i] + made[i + 1 :]).score for i, text in enumerate(made)])
    yield Comparison("Self-BLEU", "sacrebleu, sentence_score", self_bleu(made).value, float(theirs))


def from_jiwer() -> Iterator[Comparison]:
    import jiwer

    spoken, heard = sentences(40, 3), sentences(40, 4)
    yield Comparison(
        "WER, from sums over texts", "jiwer", word_error_rate(heard, spoken).value, jiwer.wer(spoken, heard)
    )
    yield Comparison(
        "CER, from sums over texts", "jiwer", character_error_rate(heard, spoken).value, jiwer.cer(spoken, heard)
    )


spare_torchvision()

SOURCES: dict[str, Callable[[], Iterator[Comparison]]] = {
    "scipy": from_scipy,
    "torchmetrics": from_torchmetrics,
    "sklearn": from_sklearn,
    "prdc": from_prdc,
    "torch_fidelity": from_torch_fidelity,
    "skimage": from_skimage,
    "sacrebleu": from_sacrebleu,
    "jiwer": from_jiwer,
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
