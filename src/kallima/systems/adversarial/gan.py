"""Generative adversarial networks (Goodfellow et al. 2014): the game, and its two recipes with dense networks."""

import torch
from torch import Tensor, nn

from kallima import schedules
from kallima.data.spec import Image, Points, Spec
from kallima.layers.latent import NormalPrior
from kallima.layers.modes import evaluating
from kallima.networks.mlp import MLPDiscriminator, MLPGenerator
from kallima.objectives.adversarial import AdversarialObjective, minimax, non_saturating
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Player, System, Terms, adam
from kallima.systems.adversarial.play import Play


class GAN(System):
    """A generator that forges examples against a discriminator that tells them from real ones.

    Goodfellow et al. 2014, "Generative adversarial nets", arXiv:1406.2661.

        min_G max_D V(D, G),   V = E_x~p [log D(x)] + E_z~N(0,I) [log(1 − D(G(z)))]

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises  −E log D(G(z))          non-saturating (section 3), or
                                    E log(1 − D(G(z)))     minimax (Eq. 1), also called saturating
        hinge           D: E max(0, 1 − s(x)) + E max(0, 1 + s(G(z))),   G: −E s(G(z))   (Miyato et al. 2018, Eq. 16–17)

    Symbols: x an example, p the data, z the latent, G(z) a fake, s the discriminator's logit, D = sigmoid(s).
    For a fixed generator the best discriminator is D*(x) = p(x) / (p(x) + p_G(x)), and V(D*, G) = 2 JS(p, p_G) − log 4.

    What to watch: with the cross-entropy losses the two terms of the discriminator, "real" and "fake", sum to
    log 4 = 1.386 where it cannot tell the two apart (hinge: 2); near 0 it has won and the minimax generator learns no
    more. Losses say little about quality: look at the samples. Few different samples from many latents is mode
    collapse; a lower discriminator learning rate, a smaller `beta1` or another recipe (sngan) helps.

    Where we deviate: latents are normal, not uniform. The discriminator takes `discriminator_steps` steps on fresh
    batches before each step of the generator (Algorithm 1's k). Sampling uses an exponential moving average of the
    generator's weights (Yazıcı et al. 2019, arXiv:1806.04498) unless `average` is 0. A discriminator with batch
    normalisation sees real and fake examples in separate batches, as in DCGAN; any other sees them in one, which gives
    the same terms in less time and iterates a spectral norm once a step.
    """

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        objective: AdversarialObjective,
        latent_dim: int,
        play: Play,
    ):
        super().__init__()
        self.spec = spec
        self.field = data_field(spec)
        self.generator, self.discriminator = generator, discriminator
        self.objective, self.prior = objective, NormalPrior(latent_dim)
        self.play = play
        self.separate = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in discriminator.modules())

    def game(self) -> list[Phase]:
        """The discriminator's steps, then one of the generator."""
        play, schedule = self.play, schedules.by_name(self.play.schedule, self.play.warm_up)

        def player(name: str, network: nn.Module, learning_rate: float, average: float) -> Player:
            optimizer = adam(learning_rate, betas=(play.beta1, play.beta2))
            return Player(name, network, optimizer=optimizer, schedule=schedule, clip=play.clip, average=average)

        rate = play.discriminator_learning_rate or play.learning_rate
        discriminator = player("discriminator", self.discriminator, rate, 0.0)
        generator = player("generator", self.generator, play.learning_rate, play.average)
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=play.discriminator_steps),
            Phase("generator", generator, self.generator_loss),
        ]

    def discriminator_loss(self, batch: Batch) -> Terms:
        """Tell the batch from as many fakes, through which no gradient reaches the generator."""
        real = batch[self.field]
        with torch.no_grad():
            fake = self.generator(self.prior.draw(len(batch), self.device))
        if self.separate:
            return self.objective.discriminator(self.discriminator(real), self.discriminator(fake))
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).chunk(2)
        return self.objective.discriminator(real_logits, fake_logits)

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge as many examples as the batch has; of the batch only its length is read."""
        fake = self.generator(self.prior.draw(len(batch), self.device))
        return self.objective.generator(self.discriminator(fake))

    @torch.no_grad()
    def sample(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` new examples on the system's device: images (count, C, H, W) in [-1, 1], points (count, D).

        `rng` is a generator on the CPU, None torch's default one.
        """
        with evaluating(self):
            return self.generator(self.prior.draw(count, self.device, rng or torch.default_generator))


def data_field(spec: Spec) -> str:
    """Name the field that the generator forges: points where the data has them, else images."""
    return "points" if "points" in spec else "image"


def _dense_pair(
    spec: Spec, latent_dim: int | None, width: int | None, depth: int
) -> tuple[MLPGenerator, MLPDiscriminator]:
    field = spec[data_field(spec)]
    assert isinstance(field, (Points, Image))
    points = isinstance(field, Points)
    latent_dim, width = latent_dim or (16 if points else 64), width or (128 if points else 512)
    return (
        MLPGenerator(latent_dim, field.shape, width=width, depth=depth),
        MLPDiscriminator(field.shape, width=width, depth=depth),
    )


@recipe(
    "gan",
    family="adversarial",
    paper="Goodfellow et al. 2014, arXiv:1406.2661",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def gan(
    spec: Spec,
    *,
    width: int | None = None,
    depth: int = 3,
    latent_dim: int | None = None,
    play: Play = Play(learning_rate=1e-3),
) -> GAN:
    """The original game with dense networks and the non-saturating loss, for points and small images.

    Args:
        width: units of each hidden layer; by default 128 for points and 512 for images
        depth: hidden layers of each network
        latent_dim: dimensions of the latent z; by default 16 for points and 64 for images
    """
    generator, discriminator = _dense_pair(spec, latent_dim, width, depth)
    return GAN(
        spec,
        generator,
        discriminator,
        objective=non_saturating,
        latent_dim=generator.latent_dim,
        play=play,
    )


@recipe(
    "gan-minimax",
    family="adversarial",
    paper="Goodfellow et al. 2014, arXiv:1406.2661",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def gan_minimax(
    spec: Spec,
    *,
    width: int | None = None,
    depth: int = 3,
    latent_dim: int | None = None,
    play: Play = Play(learning_rate=1e-3),
) -> GAN:
    """The original game with the minimax (saturating) loss: the theory's own, and the harder one to train.

    The generator minimises log(1 − D(G(z))), whose gradient vanishes where the discriminator is sure of itself. It is
    here for comparison; `gan` is the one that works.

    Args:
        width: units of each hidden layer; by default 128 for points and 512 for images
        depth: hidden layers of each network
        latent_dim: dimensions of the latent z; by default 16 for points and 64 for images
    """
    generator, discriminator = _dense_pair(spec, latent_dim, width, depth)
    return GAN(
        spec,
        generator,
        discriminator,
        objective=minimax,
        latent_dim=generator.latent_dim,
        play=play,
    )
