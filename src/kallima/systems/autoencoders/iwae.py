"""Importance-weighted autoencoders (Burda et al. 2016): a variational autoencoder under a tighter bound."""

from collections.abc import Mapping

from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.objectives.importance import importance_weighted
from kallima.objectives.likelihood import Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.autoencoders.settings import Coders, Pixels
from kallima.systems.autoencoders.vae import likelihood_of
from kallima.systems.autoencoders.variational import EncodingAutoencoder
from kallima.systems.descent import Descent, player


class IWAE(EncodingAutoencoder):
    """A variational autoencoder that draws several codes an image and counts those that explain it best.

    Burda et al. 2016, "Importance weighted autoencoders", arXiv:1509.00519.

        L_k(x) = E log (1/k Σᵢ wᵢ),   wᵢ = p(x, zᵢ) / q(zᵢ | x),   zᵢ ~ q(z | x)            (Eq. 8)
        L_1 ≤ L_2 ≤ … ≤ log p(x)                                                             (theorem 1)

    Symbols: x an image, zᵢ one of its k codes, q(z | x) = N(μ(x), diag σ²(x)) the encoder, p(x, z) = p(x | z) p(z),
    p(z) = N(0, I). k = 1 is `vae`. A posterior that misses some codes costs the plain bound much and this one little,
    so the encoder may be wrong where the model is right, and the model may use more of its code. The encoder itself
    learns more slowly as k grows (Rainforth et al. 2018, arXiv:1802.04537).

    Gradients go through the reparameterised draws of the whole bound, as in the paper (Eq. 14). The work of a step
    grows with k. `kallima evaluate RUN --metrics elbo,nll --split test` judges both the plain and a tight bound.
    """

    def __init__(self, spec: Spec, networks: Coders, likelihood: Likelihood, *, descent: Descent, draws: int):
        super().__init__(spec, networks, likelihood, descent=descent)
        if draws < 1:
            raise UsageError(f"--draws must be at least 1, not {draws}")
        self.draws = draws

    def game(self) -> list[Phase]:
        """One player, who raises the bound."""
        return [Phase("autoencoder", player("autoencoder", *self.modules_that_move(), descent=self.descent), self.loss)]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The negative bound in nats an image; the note "elbo" is the plain one of the same draws."""
        log_weights = self.log_weights(self.likelihood.target(batch["image"]), self.draws, None)
        return {"bound": -importance_weighted(log_weights).mean()}, {"elbo": log_weights.mean()}


@recipe(
    "iwae",
    family="autoencoders",
    paper="Burda et al. 2016, arXiv:1509.00519",
    needs={"image": Image},
    steps=24_500,
    batch_size=100,
)
def iwae(
    spec: Spec,
    *,
    draws: int = 5,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(),
    descent: Descent = Descent(),
) -> IWAE:
    """A variational autoencoder under a tighter bound: several codes an image, weighed by how well they explain it.

    minimised   −E log (1/k Σᵢ p(x, zᵢ) / q(zᵢ | x)),     z₁ … z_k ~ q(z | x)

    Networks and steps are those of `vae`, which `--draws 1` is. The paper's (`--width 200 --activation tanh
    --latent-dim 50 --draws 50`) learn for 3,280 passes.

    Args:
        draws: codes k an image.
    """
    return IWAE(spec, networks, likelihood_of(pixels), descent=descent, draws=draws)
