"""EBGAN (Zhao et al. 2016), whose discriminator gives energies, and MAGAN (Wang et al. 2017), whose margin moves."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Points, Spec
from kallima.networks.autoencoder import Autoencoder
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Terms
from kallima.systems.adversarial.autoencoding import autoencoding_pair
from kallima.systems.adversarial.game import Turn, TwoPlayerGame
from kallima.systems.adversarial.settings import Networks, Play


class Margin(nn.Module):
    """The margin m, which after every `window` steps may fall to the mean energy of the data (MAGAN, Algorithm 1).

    It falls where the energy of the data lies below both m and that of the fakes, and that of the fakes has not fallen
    since the window before: then the generator has stopped following. A `window` of 0 leaves m as it is.
    """

    value: Tensor
    real: Tensor
    fake: Tensor
    fake_before: Tensor
    steps: Tensor

    def __init__(self, value: float, window: int = 0):
        super().__init__()
        self.window = window
        for name in ("real", "fake", "steps"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("value", torch.tensor(value))
        self.register_buffer("fake_before", torch.tensor(torch.inf))

    def adapt(self, notes: Mapping[str, Tensor]) -> None:
        """Take in the mean energies of a step, "real_energy" and "fake_energy"; where a window is full, judge it."""
        self.real += notes["real_energy"]
        self.fake += notes["fake_energy"]
        self.steps += 1
        full = self.steps >= self.window  # all of it on the device: nothing waits
        real, fake = self.real / self.steps, self.fake / self.steps
        falls = full & (real < self.value) & (real < fake) & (self.fake_before <= fake)
        self.value.copy_(torch.where(falls, real, self.value))
        self.fake_before.copy_(torch.where(full, fake, self.fake_before))
        for total in (self.real, self.fake, self.steps):
            total.mul_(~full)


class EBGAN(TwoPlayerGame):
    """The discriminator is an autoencoder: low energy, the error of rebuilding, where it has seen data, high elsewhere.

    Zhao et al. 2016, "Energy-based generative adversarial network", arXiv:1609.03126 (Eqs. 1, 2 and 5, section 2.4);
    with a margin that moves: Wang et al. 2017, "MAGAN: margin adaptation for generative adversarial networks",
    arXiv:1704.03817.

        discriminator   minimises  E D(x) + E [m − D(G(z))]₊,   D(v) = mean (Dec(Enc(v)) − v)²
        generator       minimises  E D(G(z)) + λ PT,            PT = 1/(N(N − 1)) ∑_{i≠j} cos²(Sᵢ, Sⱼ)

    Symbols: x an example, z the latent, G(z) a fake, D the energy, m the margin, S = Enc(G(z)) the codes of a batch
    of fakes, N its size. The pulling-away term PT keeps fakes from looking all alike; it is the generator's only.
    Past the margin a fake is left alone, so the autoencoder has no reason to rebuild ever more badly. At the best
    pair of players of the paper's analysis p_G = p, and the energy is a constant between 0 and m almost everywhere on
    the data.

    A moving margin falls to the mean energy of the data of the last window, once that lies below m and below the fakes'
    energy, and the latter no longer falls.

    What to watch: "real" is how well the data is rebuilt. "fake" is the hinge: 0 means that all fakes lie past the
    margin, where the discriminator no longer learns from them, m that they are rebuilt perfectly. The notes
    "real_energy" and "fake_energy" should approach one another. A margin far above the energies of the data lets the
    autoencoder spend itself on fakes; m must be found for each kind of data.

    Where we deviate: the energy is the mean squared error over dimensions, as in the authors' code, where Eq. 5 has
    the norm; it makes m independent of the size of images. There is no batch normalisation in the autoencoder. The
    margin that moves starts from the one given, not from a discriminator trained beforehand, and its windows are
    steps, not epochs; MAGAN has no pulling-away term, which here keeps it, too, from a single mode on points.
    """

    discriminator: Autoencoder

    def __init__(
        self,
        spec: Spec,
        generator: nn.Module,
        discriminator: Autoencoder,
        *,
        margin: float,
        pulling_away: float = 0.0,
        window: int = 0,
        play: Play,
    ):
        super().__init__(spec, generator, discriminator, play=play)
        self.margin, self.pulling_away = Margin(margin, window), pulling_away

    def game(self) -> list[Phase]:
        """The autoencoder's steps, after each of which the margin may fall, then the generator's."""
        play = self.play
        discriminator = self.player(
            "discriminator", self.discriminator, self.margin, rate=play.discriminator_learning_rate
        )
        generator = self.player("generator", self.generator, average=play.average)
        adapt = self.margin.adapt if self.margin.window else None
        steps = play.discriminator_steps
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=steps, after=adapt),
            Phase("generator", generator, self.generator_loss, repeats=play.generator_steps),
        ]

    def discriminator_loss(self, batch: Batch) -> Turn:
        """Rebuild the batch well, and fakes badly up to the margin."""
        with torch.no_grad():
            fake = self.forge(len(batch))
        of_real, of_fake = self.energy(batch[self.field]), self.energy(fake)
        terms = {"real": of_real.mean(), "fake": F.relu(self.margin.value - of_fake).mean()}
        return terms, {"real_energy": of_real.mean(), "fake_energy": of_fake.mean(), "margin": self.margin.value}

    def generator_loss(self, batch: Batch) -> Terms:
        """Forge what is rebuilt well, with codes that point different ways."""
        fake = self.forge(len(batch))
        codes = self.discriminator.encoder(fake)
        terms = {"adversarial": squared_error(self.discriminator.decoder(codes), fake).mean()}
        if self.pulling_away:
            terms["pulling_away"] = self.pulling_away * pulling_away(codes)
        return terms

    def energy(self, example: Tensor) -> Tensor:
        """(N, …) to (N,): the mean squared error of each rebuilt example."""
        return squared_error(self.discriminator(example), example)


def squared_error(rebuilt: Tensor, example: Tensor) -> Tensor:
    """(N, …) and (N, …) to (N,): the mean over all dimensions."""
    return (rebuilt - example).square().flatten(1).mean(1)


def pulling_away(codes: Tensor) -> Tensor:
    """The mean of cos²(Sᵢ, Sⱼ) over i ≠ j (Zhao et al. 2016, section 2.4): codes (N, K), N ≥ 2, to one in [0, 1]."""
    directions = F.normalize(codes, dim=1)
    squares = (directions @ directions.T).square()
    count = len(codes)
    return (squares.sum() - squares.diagonal().sum()) / (count * (count - 1))


@recipe(
    "ebgan",
    family="adversarial",
    paper="Zhao et al. 2016, arXiv:1609.03126",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def ebgan(
    spec: Spec,
    *,
    margin: float = 0.2,
    pulling_away: float = 1.0,
    codes: int = 16,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3),
) -> EBGAN:
    """The discriminator is an autoencoder that rebuilds data well and fakes badly, up to a margin.

        discriminator   minimises  E D(x) + E [m − D(G(z))]₊,  D the squared error of rebuilding
        generator       minimises  E D(G(z)) + λ (mean cos² between the codes of fakes)

    λ and m are `--pulling-away` and `--margin`.

    Args:
        margin: energy m past which fakes are left alone
        pulling_away: weight λ of the term that keeps fakes from looking alike; 0 for none
        codes: dimensions of the autoencoder's code
    """
    return EBGAN(spec, *autoencoding_pair(spec, networks, codes), margin=margin, pulling_away=pulling_away, play=play)


@recipe(
    "magan",
    family="adversarial",
    paper="Wang et al. 2017, arXiv:1704.03817",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def magan(
    spec: Spec,
    *,
    margin: float = 0.2,
    window: int = 200,
    pulling_away: float = 1.0,
    codes: int = 16,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3),
) -> EBGAN:
    """EBGAN with a margin that falls with the energy of the data, whenever the generator has stopped following.

        discriminator   minimises  E D(x) + E [m − D(G(z))]₊,  D the squared error of rebuilding
        generator       minimises  E D(G(z)) + λ (mean cos² between the codes of fakes)

    After each window of steps: m ← E D(x), where that is below m and below E D(G(z)), which has not fallen.

    Args:
        margin: the first m
        window: steps over which energies are averaged before the margin may fall
        pulling_away: weight λ of the term that keeps fakes from looking alike; 0 for none, as in the paper
        codes: dimensions of the autoencoder's code
    """
    return EBGAN(
        spec,
        *autoencoding_pair(spec, networks, codes),
        margin=margin,
        pulling_away=pulling_away,
        window=window,
        play=play,
    )
