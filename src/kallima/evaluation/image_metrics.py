"""The metrics of images: what each needs of the generated, the real and the held-out images, and how it is had."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from kallima.evaluation.birthday import birthday
from kallima.evaluation.class_fid import class_fid
from kallima.evaluation.classification_accuracy import Classifier, gan_test, gan_train
from kallima.evaluation.examples import Progress
from kallima.evaluation.extraction import Gathered, Need
from kallima.evaluation.fid import fid
from kallima.evaluation.fid_infinity import fid_infinity
from kallima.evaluation.inception_score import inception_score
from kallima.evaluation.kid import kid
from kallima.evaluation.memorisation import memorisation
from kallima.evaluation.ms_ssim import ms_ssim_diversity
from kallima.evaluation.ndb import Bins, ndb
from kallima.evaluation.prdc import Neighbourhoods, neighbourhoods
from kallima.evaluation.score import Measure
from kallima.evaluation.sliced_wasserstein import sliced_wasserstein


class Evidence:
    """What was gathered for the chosen metrics; what several of them share is computed once.

    `real` and `held_out` may be absent where no chosen metric needs them. `seed` is for metrics that draw.
    """

    def __init__(
        self,
        generated: Gathered,
        real: Gathered | None,
        held_out: Gathered | None,
        *,
        seed: int,
        progress: Progress | None = None,
    ):
        self.generated, self._real, self._held_out = generated, real, held_out
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
    asked for by name: it is slow, or answers a question of its own.
    """

    measure: Callable[[Evidence], Measure]
    generated: tuple[Need, ...]
    real: tuple[Need, ...] = ()
    held_out: tuple[Need, ...] = ()
    by_default: bool = True

    def needs(self, need: Need) -> bool:
        """Say whether it needs this of any set."""
        return need in (*self.generated, *self.real, *self.held_out)


_FEATURES: tuple[Need, ...] = ("features",)
_MOMENTS: tuple[Need, ...] = ("moments",)
_IMAGES: tuple[Need, ...] = ("images",)
_LABELLED: tuple[Need, ...] = ("images", "labels")

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
        lambda e: memorisation(e.generated.features, e.real.features, e.held_out.features, seed=e.seed),
        _FEATURES,
        _FEATURES,
        _FEATURES,
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
}
