"""CoGAN (Liu & Tuzel 2016): two domains, two games, shared layers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.spec import Image, Label, Spec
from kallima.errors import DataError
from kallima.networks.coupled import DOMAINS, CoupledDiscriminator, CoupledGenerator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Portion
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.settings import Play


class CoGAN(TwoPlayerGame):
    """Two generators that share their first layers make, of one latent, an image of either domain.

    Liu & Tuzel 2016, "Coupled generative adversarial networks", arXiv:1606.07536.

        V = E_x1 [log D1(x1)] + E_z [log(1 − D1(G1(z)))] + E_x2 [log D2(x2)] + E_z [log(1 − D2(G2(z)))]     (Eq. 2)
        min max V  under  θ_i(G1) = θ_i(G2) for the first layers i of the generators,
                          θ_i(D1) = θ_i(D2) for the last layers i of the discriminators

    Symbols: x1, x2 images of the first and the second domain, z ~ N(0, I) the one latent of a pair. The data has images
    of both domains but no pairs: that is, samples of two marginals. A generator decodes from what is shown (its first
    layers) to how it is shown (its last), and a discriminator the other way round; what a pair has in common comes from
    the layers that it shares, and nothing in the loss asks for it.

    The discriminator minimises −½V, the generator the non-saturating −½ E[log D1(G1(z)) + log D2(G2(z))]: a mean over
    both domains, so that the discriminator's terms sum to log 4 = 1.386 where it cannot tell, as in any other game.
    "accuracy" is the share of comparisons within a domain that it wins.

    A sample is of the domain that is asked for: `--condition "domain=*"` shows the same latents in either, row by row,
    and row above row must show the same thing. A latent is z, then the domain, one-hot.

    What to watch: the two rows. Domains that differ in more than the own layers can draw come out as two games that
    share nothing but a network; then give each more --own-layers, or less different domains.

    Where we deviate: latents are normal, not uniform. Networks are DCGAN's, without batch normalisation in the
    discriminator, where the paper has maximal pooling and PReLU; the paper too gives each domain one layer of its own
    for digits. Sampling uses an exponential moving average of the generator's weights unless `average` is 0.
    """

    streams: Mapping[str, Portion] = {
        "first": Portion(of_class=("domain", 0)),
        "second": Portion(of_class=("domain", 1)),
    }
    generator: CoupledGenerator

    def __init__(self, spec: Spec, generator: CoupledGenerator, discriminator: CoupledDiscriminator, *, play: Play):
        super().__init__(spec, generator, discriminator, play=play, conditions=Conditions(spec, ("domain",)))

    def game(self) -> list[Phase]:
        """The discriminators' steps, then the generators', each on a batch of either domain."""
        play, reads = self.play, ("first", "second")
        discriminator = self.player("discriminator", self.discriminator, rate=play.discriminator_learning_rate)
        generator = self.player("generator", self.generator, average=play.average)
        steps = play.discriminator_steps
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, reads=reads, repeats=steps),
            Phase("generator", generator, self.generator_loss, reads=reads, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, first: Batch, second: Batch) -> Turn:  # type: ignore[override]
        """Tell the batch of either domain from fakes of that domain, which come in pairs."""
        with torch.no_grad():
            fakes = self.forge_both(first, second)
        real = torch.cat(self.discriminator(first["image"], second["image"]))
        fake = torch.cat(self.discriminator(*fakes))
        accuracy = (real > fake).to(torch.float32).mean()
        return non_saturating.discriminator(real, fake), {"accuracy": accuracy}

    def generator_loss(self, first: Batch, second: Batch) -> Turn:  # type: ignore[override]
        """Pass pairs off as real, each image before the discriminator of its own domain."""
        return non_saturating.generator(None, torch.cat(self.discriminator(*self.forge_both(first, second))))

    def forge_both(self, first: Batch, second: Batch) -> tuple[Tensor, Tensor]:
        """Return pairs of fakes, as many as the larger batch, of which each domain has as many as its batch."""
        latent = self.prior.draw(max(len(first), len(second)), self.device)
        one, other = self.generator.both(latent)
        return one[: len(first)], other[: len(second)]


@recipe(
    "cogan",
    family="adversarial",
    paper="Liu & Tuzel 2016, arXiv:1606.07536",
    needs={"image": Image, "domain": Label},
    steps=5_000,
    batch_size=32,
)
def cogan(
    spec: Spec,
    *,
    width: int = 32,
    latent_dim: int = 64,
    own_layers: int = 1,
    play: Play = Play(learning_rate=5e-4),
) -> CoGAN:
    """Pairs of images of two domains, from unpaired ones: two games whose networks share layers.

        discriminators  minimise  −½ Σ_i [E log D_i(x_i) + E log(1 − D_i(G_i(z)))]
        generators      minimise  −½ Σ_i E log D_i(G_i(z)),     i = 1, 2

    Args:
        width: channels at half the image's size.
        latent_dim: dimensions of the latent z.
        own_layers: convolutions that each domain has to itself, at the generators' end and the discriminators' start.
    """
    image, domain = spec["image"], spec["domain"]
    assert isinstance(image, Image)
    assert isinstance(domain, Label)
    if len(domain.classes) != DOMAINS:
        raise DataError(f"cogan needs two domains, and the data has {len(domain.classes)}: {', '.join(domain.classes)}")
    generator = CoupledGenerator(latent_dim, image, width=width, own_layers=own_layers)
    return CoGAN(spec, generator, CoupledDiscriminator(image, width=width, own_layers=own_layers), play=play)
