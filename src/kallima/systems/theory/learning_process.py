"""The learning process of the first adversarial networks, beside the best discriminator (Goodfellow et al. 2014)."""

from typing import Literal

import torch
from torch import Tensor

from kallima.data.spec import Points, Spec
from kallima.errors import UsageError
from kallima.layers.modes import evaluating
from kallima.networks.known_density import AffineGenerator, CurveGenerator
from kallima.networks.mlp import MLPDiscriminator
from kallima.objectives.adversarial import AdversarialObjective, minimax, non_saturating
from kallima.recipe import recipe
from kallima.system import Batch, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.settings import Play

START = (2.0, 0.5)  # mean, in every direction, and deviation of a straight generator: off the data


class LearningProcess(TwoPlayerGame):
    """A generator whose density is known, so that D can be seen beside the best there is, D*.

    Goodfellow et al. 2014, "Generative adversarial nets", arXiv:1406.2661, figure 1, proposition 1 and theorem 1.

        min_G max_D V(D, G),   V = E_x~p [log D(x)] + E_z~N(0,I) [log(1 − D(G(z)))]
        D*(x) = p(x) / (p(x) + p_G(x)),   V(D*, G) = 2 JS(p, p_G) − log 4

    Symbols: x a point, p the data's density, p_G that of the fakes, z the latent, s the discriminator's score,
    D = sigmoid(s), so that the best score is s*(x) = log p(x) − log p_G(x).

    p_G is exact, not estimated. A straight generator, x = A z + b, makes N(b, A Aᵀ) in any number of dimensions. On a
    line a dense network with one latent can make any density, and p_G(x) = Σ_z φ(z) / |G'(z)| over all z with G(z) = x,
    which is summed over 4,096 short pieces of the latent. The histogram of samples is there to check it by eye.

    What to watch: D runs after D*, and every point of p_G moves the way D rises. Where the two densities meet, D* is ½
    everywhere, and "value" (in the notes) is −log 4 = −1.386: nothing is left to learn. With more steps of the
    discriminator D stays closer to D*; with fewer, points are chased from mode to mode.

    Where we deviate: the generator follows the non-saturating loss unless told otherwise (section 3 of the paper).
    """

    generator: AffineGenerator | CurveGenerator

    def __init__(
        self,
        spec: Spec,
        generator: AffineGenerator | CurveGenerator,
        discriminator: MLPDiscriminator,
        *,
        objective: AdversarialObjective,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        self.objective = objective

    def discriminator_loss(self, batch: Batch) -> Turn:
        """−V; the note is V itself."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        scores = self.discriminator(batch[self.field]), self.discriminator(fake)
        terms = self.objective.discriminator(*scores)
        return terms, {"value": -torch.stack(list(terms.values())).sum().detach()}

    def generator_loss(self, batch: Batch) -> Terms:
        """What the objective asks of as many fakes as the batch has points."""
        return self.objective.generator(None, self.discriminator(self.forge(len(batch))))

    @torch.no_grad()
    def judge(self, examples: Tensor) -> Tensor:
        """Return s at examples (N, D): (N,)."""
        with evaluating(self):
            return self.discriminator(examples)

    @torch.no_grad()
    def log_density(self, points: Tensor) -> Tensor:
        """Return log p_G at points (N, D): (N,)."""
        return self.generator.log_density(points)

    def best_score(self, log_p: Tensor, log_p_g: Tensor) -> Tensor:
        """Return s* = log p − log p_G (proposition 1)."""
        return log_p - log_p_g


@recipe(
    "learning-process",
    family="theory",
    paper="Goodfellow et al. 2014, arXiv:1406.2661",
    needs={"points": Points},
    steps=2_000,
    batch_size=256,
)
def learning_process(
    spec: Spec,
    *,
    generator: Literal["auto", "straight", "dense"] = "auto",
    objective: Literal["minimax", "non-saturating"] = "non-saturating",
    width: int = 64,
    depth: int = 2,
    play: Play = Play(learning_rate=5e-4, discriminator_learning_rate=5e-3, discriminator_steps=2, average=0.0),
) -> LearningProcess:
    """How D chases its optimum D* and the generated density the data's, on a line or in the plane.

        kallima train learning-process --data mixture --sample-every 50       densities, D and D* on a line
        kallima train learning-process --data gaussian --sample-every 50 --learning-rate 2e-3      D as a map

    The pictures are in report.html, by step. With --discriminator-steps 1 --discriminator-learning-rate 5e-4 the
    discriminator starves: D falls behind D*, and the generator runs after a judge that is out of date.

    Args:
        generator: x = A z + b, or a dense network, of which p_G is known on a line only; auto is dense there
        objective: what the generator follows: E log(1 − D) or −E log D
        width: units of a layer of the discriminator, and of a dense generator
        depth: hidden layers of both
    """
    field = spec["points"]
    assert isinstance(field, Points)
    straight = generator == "straight" or (generator == "auto" and field.dimensions > 1)
    if not straight and field.dimensions > 1:
        raise UsageError("the density of a dense generator is known on a line only: leave out --generator dense")
    forger = (
        AffineGenerator(field.dimensions, mean=START[0], deviation=START[1])
        if straight
        else CurveGenerator(width=width, depth=depth)
    )
    judge = MLPDiscriminator(field.shape, width=width, depth=depth)
    objectives = {"minimax": minimax, "non-saturating": non_saturating}
    return LearningProcess(spec, forger, judge, objective=objectives[objective], play=play)
