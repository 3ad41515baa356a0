"""The two directions of the KL divergence: forward covers modes, reverse picks one."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from kallima.data.spec import Points, Spec
from kallima.figures import Curve, Dots, Figure, LogDensity, Mark, Panel, Role
from kallima.networks.known_density import AffineGenerator
from kallima.networks.mlp import MLPDiscriminator
from kallima.objectives.divergences import DIVERGENCES, f_gan
from kallima.optimizers import adam
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Player, System, Terms

FITS: dict[str, tuple[str, Role]] = {
    "forward_kl": ("forward KL(p‖q)", "model"),
    "reverse_kl": ("reverse KL(q‖p)", "judge"),
}


class KLDirections(System):
    """One Gaussian q fitted to the data p four times: by either KL from densities, and by either KL as an f-GAN.

    Goodfellow 2016, "NIPS 2016 tutorial", arXiv:1701.00160, figure 14; Nowozin et al. 2016, arXiv:1606.00709, section
    2.4, where a Gaussian is fitted to a mixture in the same way.

        forward    KL(p‖q) = E_p [log p − log q]:  q must not be small where p is not, so it covers everything
        reverse    KL(q‖p) = E_q [log q − log p]:  q must be small where p is, so it picks a mode

    Symbols: p the data, q = N(b, A Aᵀ) by x = b + A z. The forward fit minimises −E_p log q, whose optimum is the mean
    and the covariance of the data, exactly. The reverse fit needs log p, and is told of the data only by batches: it
    takes p̂, the batch blurred by a Gaussian of deviation h (`bandwidth`), so its optimum is that of p ∗ N(0, h² I).
    As games, with v a network and T = g_f(v),

        f-GAN      max_v E_p T(x) − E_q f*(T(x)) ≤ D_f(p‖q),   f = u log u (forward) and f = −log u (reverse)

    which know p from its examples alone. In the reverse direction where q starts decides which mode it ends in.

    What to watch: "deviation" in the notes, (det A)^(1/D): wide for forward, that of one mode for reverse. Where we
    deviate: the tutorial draws the optima; here they are learnt.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        mean: float,
        deviation: float,
        bandwidth: float,
        width: int,
        depth: int,
        learning_rate: float,
    ):
        super().__init__()
        field = spec["points"]
        assert isinstance(field, Points)
        self.bandwidth, self.learning_rate = bandwidth, learning_rate

        def gaussian() -> AffineGenerator:
            return AffineGenerator(field.dimensions, mean=mean, deviation=deviation)

        self.fits = nn.ModuleDict({name: gaussian() for name in FITS})
        self.generators = nn.ModuleDict({name: gaussian() for name in FITS})
        self.discriminators = nn.ModuleDict(
            {name: MLPDiscriminator(field.shape, width=width, depth=depth) for name in FITS}
        )
        self.games = {"forward_kl": f_gan(DIVERGENCES["kl"]), "reverse_kl": f_gan(DIVERGENCES["reverse-kl"])}

    def game(self) -> list[Phase]:
        """Both fits, then both games."""
        rate = self.learning_rate
        losses = {"forward_kl": self.forward_loss, "reverse_kl": self.reverse_loss}
        phases = []
        for name in FITS:
            fit = Player(name, self.fits[name], optimizer=adam(rate))
            phases.append(Phase(name, fit, losses[name]))
        for name in FITS:
            judge = Player(f"{name}_discriminator", self.discriminators[name], optimizer=adam(rate, betas=(0.5, 0.999)))
            forger = Player(f"{name}_generator", self.generators[name], optimizer=adam(rate, betas=(0.5, 0.999)))
            play = Duel(self, name)
            phases += [
                Phase(f"{name}_discriminator", judge, play.discriminator_loss, repeats=2),
                Phase(f"{name}_generator", forger, play.generator_loss),
            ]
        return phases

    def forward_loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """−E_p log q: KL(p‖q) but for the entropy of p."""
        fit = self.gaussian("fits", "forward_kl")
        return {"cross_entropy": -fit.log_density(batch["points"]).mean()}, {"forward_deviation": deviation(fit)}

    def reverse_loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """E_q [log q − log p̂]."""
        fit, real = self.gaussian("fits", "reverse_kl"), batch["points"]
        made = fit(torch.randn_like(real))
        kl = (fit.log_density(made) - blurred_log_density(made, real, self.bandwidth)).mean()
        return {"kl": kl}, {"reverse_deviation": deviation(fit)}

    def gaussian(self, kind: str, name: str) -> AffineGenerator:
        """Return one of the four Gaussians: of the `fits` or of the `generators`."""
        found = getattr(self, kind)[name]
        assert isinstance(found, AffineGenerator)
        return found

    @torch.no_grad()
    def illustrate(self, log_density: LogDensity | None) -> Figure:
        """Show the data and the four Gaussians: densities on a line, outlines in the plane (of the first two axes)."""
        kinds = {"fits": "fitted by densities", "generators": "fitted by f-GAN, from examples alone"}
        field = self.spec["points"]
        assert isinstance(field, Points)
        show = self._on_a_line if field.dimensions == 1 else self._in_the_plane
        return Figure([show(kind, title, log_density) for kind, title in kinds.items()], stacked=field.dimensions == 1)

    def _on_a_line(self, kind: str, title: str, log_density: LogDensity | None) -> Panel:
        x = np.linspace(-6, 6, 601)
        marks: list[Mark] = []
        if log_density is not None:
            marks.append(Curve("data p", x, np.exp(log_density(x[:, None])), "data", filled=True))
        for name, (told, role) in FITS.items():
            q = self.gaussian(kind, name)
            density = q.log_density(torch.from_numpy(x[:, None]).to(q.mean)).exp().cpu().numpy()
            mean, width = float(q.mean[0]), float(deviation(q))
            signed = f"{mean:+.2f}".replace("-", "−")  # as wide as a plus: the axes stay where they are
            marks.append(Curve(f"{told}\nmean {signed}, deviation {width:.2f}", x, density, role))
        return Panel(title, "x", "density", (-6, 6), (0, 1.0), marks)

    def _in_the_plane(self, kind: str, title: str, log_density: LogDensity | None) -> Panel:
        angles = np.linspace(0, 2 * np.pi, 200)
        circle = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], -1))
        marks: list[Mark] = []
        for name, (told, role) in FITS.items():
            q = self.gaussian(kind, name)
            covariance = (q.factor @ q.factor.T)[:2, :2].double().cpu()
            outline = (q.mean[:2].double().cpu() + 2 * circle @ torch.linalg.cholesky(covariance).T).numpy()
            marks.append(Curve(f"{told}, two deviations", outline[:, 0], outline[:, 1], role))
            marks.append(Dots("its mean", q.mean[:2].cpu().numpy()[None], role, "cross"))
        return Panel(title, "", "", (-6, 6), (-6, 6), marks, equal=True)


class Duel:
    """One f-GAN of the two: a Gaussian against a network, under the divergence of its direction."""

    def __init__(self, system: KLDirections, name: str):
        self.system, self.name = system, name

    def discriminator_loss(self, batch: Batch) -> Terms:
        """The negative of the bound."""
        real = batch["points"]
        with torch.no_grad():
            fake = self.forge(real)
        judge = self.system.discriminators[self.name]
        return self.system.games[self.name].discriminator(judge(real), judge(fake))

    def generator_loss(self, batch: Batch) -> Terms:
        """The bound, as far as it depends on the fakes."""
        scores = self.system.discriminators[self.name](self.forge(batch["points"]))
        return self.system.games[self.name].generator(None, scores)

    def forge(self, real: Tensor) -> Tensor:
        """Return as many fakes as there are points."""
        return self.system.gaussian("generators", self.name)(torch.randn_like(real))


def deviation(gaussian: AffineGenerator) -> Tensor:
    """Return (det A)^(1/D), the geometric mean of the deviations along the axes of the Gaussian; a scalar."""
    return (torch.linalg.slogdet(gaussian.factor)[1] / len(gaussian.mean)).exp().detach()


def blurred_log_density(points: Tensor, centres: Tensor, bandwidth: float) -> Tensor:
    """Return log 1/M Σ_j N(x; c_j, h² I) in nats: (N, D) and (M, D) to (N,)."""
    squares = (points[:, None] - centres).square().sum(-1)  # (N, M)
    constant = math.log(len(centres)) + 0.5 * points.shape[1] * math.log(2 * math.pi * bandwidth**2)
    return torch.logsumexp(-0.5 * squares / bandwidth**2, dim=1) - constant


@recipe(
    "kl-directions",
    family="theory",
    paper="Goodfellow 2016, arXiv:1701.00160; Nowozin et al. 2016, arXiv:1606.00709",
    needs={"points": Points},
    steps=500,
    batch_size=256,
)
def kl_directions(
    spec: Spec,
    *,
    mean: float = 1.0,
    deviation: float = 1.0,
    bandwidth: float = 0.15,
    width: int = 64,
    depth: int = 2,
    learning_rate: float = 1e-2,
) -> KLDirections:
    """One Gaussian fitted to a mixture: forward KL covers the modes, reverse KL picks one, and so do the f-GANs.

        kallima train kl-directions --data mixture --sample-every 25
        kallima train kl-directions --data mixture --sample-every 25 --mean -1      the other mode

    Args:
        mean: where the four Gaussians start, in every direction
        deviation: how wide they start
        bandwidth: the deviation h of the kernel behind p̂, in the units of a batch
        width: units of a layer of the f-GANs' discriminators
        depth: their hidden layers
        learning_rate: Adam's,
    """
    return KLDirections(
        spec,
        mean=mean,
        deviation=deviation,
        bandwidth=bandwidth,
        width=width,
        depth=depth,
        learning_rate=learning_rate,
    )
