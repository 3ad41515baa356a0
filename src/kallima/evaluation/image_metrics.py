"""The metrics of images: what each needs of the generated, the real and the held-out images, and how it is had."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from kallima.evaluation.arrays import Array
from kallima.evaluation.birthday import birthday
from kallima.evaluation.class_fid import class_fid
from kallima.evaluation.classification_accuracy import Classifier, gan_test, gan_train
from kallima.evaluation.examples import Progress
from kallima.evaluation.extraction import Gathered, Need
from kallima.evaluation.fid import fid
from kallima.evaluation.fid_infinity import fid_infinity
from kallima.evaluation.inception_score import inception_score
from kallima.evaluation.kid import kid
from kallima.evaluation.likelihood.parzen import parzen_apart
from kallima.evaluation.memorisation import TrainingSearch
from kallima.evaluation.ms_ssim import ms_ssim_diversity
from kallima.evaluation.ndb import Bins, ndb
from kallima.evaluation.prdc import Neighbourhoods, neighbourhoods
from kallima.evaluation.reconstruction import (
    mean_squared_error,
    multiscale_similarity,
    psnr,
    structural_similarity,
)
from kallima.evaluation.score import Measure
from kallima.evaluation.sliced_wasserstein import sliced_wasserstein


class Evidence:
    """What was gathered for the chosen metrics; what several of them share is computed once.

    `real`, `held_out` and `search` may be absent where no chosen metric needs them. `seed` is for metrics that draw.
    """

    def __init__(
        self,
        generated: Gathered,
        real: Gathered | None,
        held_out: Gathered | None,
        search: TrainingSearch | None = None,
        *,
        seed: int,
        progress: Progress | None = None,
    ):
        self.generated, self._real, self._held_out, self._search = generated, real, held_out, search
        self.seed, self.progress = seed, progress

    @property
    def real(self) -> Gathered:
        """The real images."""
        assert self._real is not None
        return self._real

    @property
    def held_out(self) -> Gathered:
        """Real images that the generator has not seen."""
        assert self._held_out is not None
        return self._held_out

    @property
    def search(self) -> TrainingSearch:
        """What was found near to the samples among all real images."""
        assert self._search is not None
        return self._search

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """Precision, recall, density and coverage, which share their distances."""
        return neighbourhoods(self.real.features, self.generated.features, progress=self.progress)

    @cached_property
    def bins(self) -> Bins:
        """What the bins of the real examples hold."""
        return ndb(self.real.features, self.generated.features, seed=self.seed)

    @cached_property
    def classifier(self) -> Classifier:
        """A classifier that learned from the real images."""
        return Classifier(self.real.images, self.real.labels, seed=self.seed)


@dataclass(frozen=True)
class ImageMetric:
    """How a metric is computed, and from what: only what the chosen metrics need is read, extracted and kept.

    `generated`, `real` and `held_out` say what is needed of each set. What is not `by_default` is computed where it is
    asked for by name: it is slow, or answers a question of its own. What `searches` looks at all real images, however
    few the others use. What is `paired` compares sample i with real image i. `range` is that of the pixels, for what
    extracts no features.
    """

    measure: Callable[[Evidence], Measure]
    generated: tuple[Need, ...]
    real: tuple[Need, ...] = ()
    held_out: tuple[Need, ...] = ()
    by_default: bool = True
    searches: bool = False
    paired: bool = False
    range: str = "0 … 255"

    def needs(self, need: Need) -> bool:
        """Say whether it needs this of any set."""
        return need in (*self.generated, *self.real, *self.held_out)


_FEATURES: tuple[Need, ...] = ("features",)
_MOMENTS: tuple[Need, ...] = ("moments",)
_IMAGES: tuple[Need, ...] = ("images",)
_LABELLED: tuple[Need, ...] = ("images", "labels")


def _of_pairs(compare: Callable[[Array, Array], Measure]) -> ImageMetric:
    """Return a metric of reconstructions; that they are such only the user knows, who names it."""

    def measure(evidence: Evidence) -> Measure:
        found = compare(evidence.real.images.cpu(), evidence.generated.images.cpu())
        return found._replace(notes=(*found.notes, "sample i against real image i, in their order"))

    return ImageMetric(measure, _IMAGES, _IMAGES, by_default=False, paired=True)


def _parzen(evidence: Evidence) -> Measure:
    sets = (evidence.generated.images.cpu().numpy() / 255, evidence.real.images.cpu().numpy() / 255)
    return parzen_apart(*sets, seed=evidence.seed)


# In the order of METRICS, which describes them.
IMAGE_METRICS: dict[str, ImageMetric] = {
    "fid": ImageMetric(lambda e: fid(e.real.moments, e.generated.moments), _MOMENTS, _MOMENTS),
    "kid": ImageMetric(lambda e: kid(e.real.features, e.generated.features), _FEATURES, _FEATURES),
    "precision": ImageMetric(lambda e: e.neighbourhoods.precision, _FEATURES, _FEATURES),
    "recall": ImageMetric(lambda e: e.neighbourhoods.recall, _FEATURES, _FEATURES),
    "density": ImageMetric(lambda e: e.neighbourhoods.density, _FEATURES, _FEATURES),
    "coverage": ImageMetric(lambda e: e.neighbourhoods.coverage, _FEATURES, _FEATURES),
    "fid-infinity": ImageMetric(
        lambda e: fid_infinity(e.real.features, e.generated.features, seed=e.seed),
        _FEATURES,
        _FEATURES,
        by_default=False,
    ),
    "class-fid": ImageMetric(
        lambda e: class_fid(e.real.features, e.generated.features, e.real.labels, e.generated.labels),
        ("features", "labels"),
        ("features", "labels"),
    ),
    "predicted-class-fid": ImageMetric(
        lambda e: class_fid(e.real.features, e.generated.features, e.real.labels, e.generated.probabilities.argmax(1)),
        ("features", "probabilities"),
        ("features", "labels"),
    ),
    "inception-score": ImageMetric(
        lambda e: inception_score(e.generated.probabilities, seed=e.seed), ("probabilities",)
    ),
    "ms-ssim": ImageMetric(
        lambda e: ms_ssim_diversity(e.generated.images, real=e.real.images, seed=e.seed), _IMAGES, _IMAGES
    ),
    "class-ms-ssim": ImageMetric(
        lambda e: ms_ssim_diversity(
            e.generated.images,
            e.generated.probabilities.argmax(1),
            real=e.real.images,
            real_labels=e.real.labels,
            seed=e.seed,
        ),
        ("images", "probabilities"),
        ("images", "labels"),
    ),
    "sliced-wasserstein": ImageMetric(
        lambda e: sliced_wasserstein(e.real.images, e.generated.images, seed=e.seed), _IMAGES, _IMAGES
    ),
    "ndb": ImageMetric(lambda e: e.bins.different, _FEATURES, _FEATURES),
    "bin-divergence": ImageMetric(lambda e: e.bins.divergence, _FEATURES, _FEATURES),
    "birthday": ImageMetric(lambda e: birthday(e.real.features, e.generated.features), _FEATURES, _FEATURES),
    "memorisation": ImageMetric(
        lambda e: e.search.memorisation(seed=e.seed),
        _FEATURES,
        _FEATURES,
        _FEATURES,
        searches=True,
    ),
    "gan-train": ImageMetric(
        lambda e: gan_train(
            e.generated.images,
            e.generated.labels,
            e.held_out.images,
            e.held_out.labels,
            baseline=e.classifier,
            seed=e.seed,
        ),
        _LABELLED,
        _LABELLED,
        _LABELLED,
        by_default=False,
    ),
    "gan-test": ImageMetric(
        lambda e: gan_test(
            e.classifier,
            e.generated.images,
            e.generated.labels,
            test=e.held_out.images,
            test_labels=e.held_out.labels,
        ),
        _LABELLED,
        _LABELLED,
        _LABELLED,
        by_default=False,
    ),
    "mse": _of_pairs(mean_squared_error),
    "psnr": _of_pairs(psnr),
    "ssim": _of_pairs(structural_similarity),
    "reconstruction-ms-ssim": _of_pairs(multiscale_similarity),
    "parzen": ImageMetric(_parzen, _IMAGES, _IMAGES, by_default=False, range="[0, 1]"),
}

PAIRED = frozenset(name for name, metric in IMAGE_METRICS.items() if metric.paired)
