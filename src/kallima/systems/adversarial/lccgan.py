"""LCC-GAN (Cao et al. 2018): latents on the manifold of an autoencoder, combined of bases near to one another."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.local_coordinates import LocalCoordinates
from kallima.layers.modes import evaluating
from kallima.networks.autoencoder import Autoencoder, ConvolutionalAutoencoder
from kallima.networks.discriminator import Discriminator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play


class LCCGAN(TwoPlayerGame):
    """A generator whose latents are drawn on the manifold of the data's own codes, by local coordinate coding.

    Cao et al. 2018, "Adversarial learning with local coordinate coding", arXiv:1806.04895; local coordinate coding:
    Yu, Zhang & Gong 2009, "Nonlinear learning using local coordinate coding", NIPS.

    Three stages, one after another:

        autoencoder      min_E,R  E‖x − R(E(x))‖²                                       h = E(x)
        coding           min_V    E[½‖h − Σ_j γ_j v_j‖² + μ Σ_j |γ_j| ‖h − v_j‖²],      γ = γ(h) of the bases V
        game             the discriminator minimises −E log D(x) − E log(1 − D(G(h))), the generator −E log D(G(h)),
                         h = Σ_j γ_j v_j over the d bases nearest to a random one,      γ = 1/d + σ(z − mean z)

    Symbols: x an image, E and R encoder and decoder, h a code, v_j the bases, γ_j(h) the coordinates of h, which sum to
    one and are 0 but for the d bases nearest to h, z ~ N(0, I_d), G the generator, D = sigmoid(score). A manifold is
    flat where it is looked at closely: there d coordinates tell a point, and the bound on what the game generalises
    grows with d, not with the dimensions of h (theorem 2). So the noise z has few dimensions, while codes have more.

    What can be done with the result: `encode` gives the local coordinates' point of E(x), a latent that `decode` takes;
    `reconstruct` is the autoencoder's R(E(x)). `decode` is the generator, which was never asked to rebuild an image.

    What to watch: until the game begins, samples are noise and only "autoencoder" falls. Then "coding/reconstruction"
    says how far codes lie off their coordinates, beside half their own squared length.

    Where we deviate: coordinates minimise a squared penalty, which has a closed form (Wang et al. 2010), where the
    paper descends on |γ|; the bases then follow the paper's loss. σ is the deviation of the coordinates of real codes,
    and weights sum to one, where the authors' code takes z itself as the weights of a random basis's neighbours. The
    bases start at codes of the data. A batch normalisation, the only one of the encoder, standardises codes: a mean far
    from 0 would outweigh what tells them apart, and the generator would collapse. The autoencoder's loss is squared.
    """

    prior: LocalCoordinates
    discriminator: Discriminator

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Discriminator,
        autoencoder: Autoencoder,
        coordinates: LocalCoordinates,
        *,
        play: Play,
        autoencoder_learning_rate: float,
        coding_learning_rate: float,
        stages: tuple[float, float],
    ):
        super().__init__(spec, generator, discriminator, play=play)
        self.autoencoder, self.prior = autoencoder, coordinates
        self.rates, self.stages = (autoencoder_learning_rate, coding_learning_rate), stages

    def game(self) -> list[Phase]:
        """The autoencoder's stage, that of the bases, then the game itself."""
        play, (coding, start) = self.play, self.stages
        autoencoder = self.player("autoencoder", self.autoencoder, rate=self.rates[0])
        bases = self.player("coding", self.prior, rate=self.rates[1])
        discriminator = self.player("discriminator", self.discriminator, rate=play.discriminator_learning_rate)
        generator = self.player("generator", self.generator, average=play.average)
        judging, forging, rest = play.discriminator_steps, play.generator_steps, (start, 1.0)
        return [
            Phase("autoencoder", autoencoder, self.autoencoder_loss, during=(0.0, coding)),
            Phase("coding", bases, self.coding_loss, during=(coding, start), after=self.settle),
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=judging, during=rest),
            Phase("generator", generator, self.generator_loss, repeats=forging, during=rest),
        ]

    def autoencoder_loss(self, batch: Batch) -> Terms:
        """Rebuild the batch, by the mean square over pixels."""
        return {"reconstruction": (self.autoencoder(batch["image"]) - batch["image"]).square().mean()}

    def coding_loss(self, batch: Batch) -> Turn:
        """Bring the bases to where codes of the batch are combined well of near ones."""
        with torch.no_grad():
            codes = self.autoencoder.encoder(batch["image"])
        coding = self.prior.code(codes)
        away = (self.prior.bases[coding.places] - codes[:, None]).square().sum(2)  # (N, d)
        terms = {
            "reconstruction": 0.5 * (self.prior.combine(coding) - codes).square().sum(1).mean(),
            "locality": self.prior.locality * (coding.weights.abs() * away).sum(1).mean(),
        }
        return terms, {"codes": codes, "weights": coding.weights}

    def settle(self, notes: Mapping[str, Tensor]) -> None:
        """After a step of the bases: seat those that are new on codes, and note how wide coordinates spread."""
        self.prior.remember(notes["codes"], notes["weights"])

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Tell the batch from as many fakes, through which no gradient reaches the generator."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        real_scores, fake_scores = self.discriminator(batch["image"]), self.discriminator(fake)
        accuracy = (real_scores > fake_scores).to(torch.float32).mean()
        return non_saturating.discriminator(real_scores, fake_scores), {"accuracy": accuracy}

    def generator_loss(self, batch: Batch) -> Turn:
        """Pass as many fakes as the batch has off as real."""
        return non_saturating.generator(None, self.discriminator(self.forge(len(batch))))

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the points of the local coordinates of images (N, C, H, W): latents (N, d)."""
        with evaluating(self):
            return self.prior.combine(self.prior.code(self.autoencoder.encoder(examples)))

    @torch.no_grad()
    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return what the autoencoder makes of images (N, C, H, W)."""
        with evaluating(self):
            return self.autoencoder(examples)


@recipe(
    "lcc-gan",
    family="adversarial",
    paper="Cao et al. 2018, arXiv:1806.04895",
    needs={"image": Image},
    steps=5_000,
    batch_size=64,
)
def lcc_gan(
    spec: Spec,
    *,
    bases: int = 256,
    neighbours: int = 8,
    locality: float = 0.01,
    autoencoder_share: float = 0.15,
    coding_share: float = 0.05,
    autoencoder_learning_rate: float = 1e-3,
    coding_learning_rate: float = 1e-2,
    networks: Networks = Networks(width=32, latent_dim=32, discriminator_norm="none"),
    play: Play = Play(learning_rate=5e-4),
) -> LCCGAN:
    """Latents combined of a few near bases on an autoencoder's manifold, and a DCGAN that starts from them.

        autoencoder     minimises  E‖x − R(E(x))‖²
        bases           minimise   E[½‖h − Σ γ_j v_j‖² + μ Σ |γ_j| ‖h − v_j‖²],     h = E(x)
        discriminator   minimises  −E log D(x) − E log(1 − D(G(Σ γ_j v_j)))
        generator       minimises  −E log D(G(Σ γ_j v_j)),     v_j near one another, Σ γ_j = 1

    `latent_dim` is the dimensions of a code h; the noise has as many as there are neighbours.

    Args:
        bases: how many there are.
        neighbours: d, how many near bases make a point.
        locality: μ, the weight of bases being near.
        autoencoder_share: share of the training that is the autoencoder's.
        coding_share: share after it that is the bases'.
        autoencoder_learning_rate: step size of the autoencoder.
        coding_learning_rate: step size of the bases.
    """
    if not 1 < neighbours <= bases:
        raise UsageError(f"--neighbours counts bases, from 2 to all {bases} of them, not {neighbours}")
    coding, start = autoencoder_share, autoencoder_share + coding_share
    if not 0 < coding < start < 1:
        raise UsageError("--autoencoder-share and --coding-share are above 0 and leave a share to the game")
    image = spec["image"]
    assert isinstance(image, Image)
    generator, discriminator = pair(spec, networks)
    codes = int(generator.latent_dim)  # type: ignore[arg-type]
    autoencoder = ConvolutionalAutoencoder(image, codes, width=networks.width or 64)
    autoencoder.encoder = nn.Sequential(autoencoder.encoder, nn.BatchNorm1d(codes, affine=False))
    return LCCGAN(
        spec,
        generator,
        discriminator,
        autoencoder,
        LocalCoordinates(codes, bases, neighbours, locality=locality),
        play=play,
        autoencoder_learning_rate=autoencoder_learning_rate,
        coding_learning_rate=coding_learning_rate,
        stages=(coding, start),
    )
