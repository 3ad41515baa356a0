"""What a case is: a training, and what of it is to be told."""

from dataclasses import dataclass, field
from typing import Any

COMMON: dict[str, dict[str, Any]] = {
    "points": {"width": 64, "batch_size": 128, "steps": 2000, "discriminator_learning_rate": 1e-3},
    "images": {"width": 16, "batch_size": 64, "steps": 1200},
}
FEW, FEWER = "few-digits", "fewer-digits"
FEW_EXAMPLES = {FEW: 100, FEWER: 40}
"""Training examples of `digits`, beside 300 test ones, that are written as an .npz."""


@dataclass(frozen=True)
class Case:
    """A training, its part, and the symptoms of which any one tells what was provoked (none: it is to be healthy)."""

    name: str
    half: str
    recipe: str
    data: str
    arguments: dict[str, Any] = field(default_factory=dict)
    symptoms: tuple[str, ...] = ()
    seed: int = 0

    @property
    def images(self) -> bool:
        return self.data in ("digits", FEW, FEWER)

    @property
    def options(self) -> dict[str, Any]:
        """The recipe's arguments and the options of the training."""
        return COMMON["images" if self.images else "points"] | self.arguments


WINS, BLIND, COLLAPSE, DROPPING = "discriminator wins", "discriminator blind", "mode collapse", "mode dropping"
SWINGS, WORSE, BY_HEART = "oscillation", "divergence after a best point", "discriminator overfitting"
EXPLODING, VANISHING, DEAD = "exploding gradients", "vanishing gradients", "dead units"
STOPPED, BOARD, NAN = "learning has stopped", "checkerboard artefacts", "non-finite values"
IGNORED = "latent ignored"

RISING = {"warm_up": 0.99, "evaluate_every": 100}
"""Learning rates that rise until they are too large: the training is well first, then worse than it was."""

SIXTEEN: dict[str, Any] = {"size": 16, "steps": 1000, "batch_size": 32, "width": 8, "average": 0.0}
"""Images enlarged to 16 pixels, for which convolutions upsample twice."""
