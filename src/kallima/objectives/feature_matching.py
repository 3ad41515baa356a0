"""Feature matching (Salimans et al. 2016, arXiv:1606.03498, section 3.1)."""

from typing import Final

from torch import Tensor

from kallima.objectives.adversarial import Terms, cross_entropy_game


def feature_matching_generator(real: Tensor | None, fake: Tensor) -> Terms:
    """‖E f(x) - E f(G(z))‖²: the squared distance between the means of both batches' features (N, F)."""
    assert real is not None
    return {"adversarial": (real.mean(0) - fake.mean(0)).square().sum()}


feature_matching: Final = cross_entropy_game(
    "feature-matching", feature_matching_generator, relative=True, on_features=True
)
