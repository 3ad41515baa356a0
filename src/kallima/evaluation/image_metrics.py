"""The metrics of images: what each needs of the generated, the real and the held-out images, and how it is had."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from kallima.evaluation.examples import Progress
from kallima.evaluation.extraction import Gathered, Need
from kallima.evaluation.fid import fid
from kallima.evaluation.kid import kid
from kallima.evaluation.prdc import Neighbourhoods, neighbourhoods
from kallima.evaluation.score import Measure


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

# In the order of METRICS, which describes them.
IMAGE_METRICS: dict[str, ImageMetric] = {
    "fid": ImageMetric(lambda e: fid(e.real.moments, e.generated.moments), _MOMENTS, _MOMENTS),
    "kid": ImageMetric(lambda e: kid(e.real.features, e.generated.features), _FEATURES, _FEATURES),
    "precision": ImageMetric(lambda e: e.neighbourhoods.precision, _FEATURES, _FEATURES),
    "recall": ImageMetric(lambda e: e.neighbourhoods.recall, _FEATURES, _FEATURES),
    "density": ImageMetric(lambda e: e.neighbourhoods.density, _FEATURES, _FEATURES),
    "coverage": ImageMetric(lambda e: e.neighbourhoods.coverage, _FEATURES, _FEATURES),
    # An example of each other kind, as further metrics are to be entered:
    #   "inception-score": ImageMetric(lambda e: inception_score(e.generated.probabilities, seed=e.seed), ("probabilities",)),
    #   "ms-ssim": ImageMetric(lambda e: ms_ssim_diversity(e.generated.images, seed=e.seed), ("images",)),
    #   "class-fid": ImageMetric(…, ("features", "labels"), ("features", "labels")),
}
