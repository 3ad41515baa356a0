"""Ladder variational autoencoders (Sønderby et al. 2016): codes above codes, inferred from the image and from above."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Spec
from kallima.errors import UsageError
from kallima.layers.glorot import glorot
from kallima.layers.latent import NormalPrior
from kallima.layers.modes import evaluating
from kallima.objectives.gaussian import divergence, reparameterised
from kallima.objectives.likelihood import Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.autoencoders.coding import coders
from kallima.systems.autoencoders.settings import Charge, Coders, Pixels
from kallima.systems.autoencoders.vae import likelihood_of
from kallima.systems.autoencoders.variational import ACTIVE
from kallima.systems.descent import Descent, player

LEAST_VARIANCE = 1e-6


class Level(NamedTuple):
    """One level of the ladder for a batch: a draw, the noise it is made of, and the moments of q and p; all (N, d)."""

    code: Tensor
    noise: Tensor
    mean: Tensor
    log_variance: Tensor
    prior_mean: Tensor
    prior_log_variance: Tensor


class LadderVAE(System):
    """A variational autoencoder whose code has a prior that is learned, by a code above it, and so on upwards.

    Sønderby et al. 2016, "Ladder variational autoencoders", arXiv:1602.02282.

        p(x, z) = p(x | z_1) Π_i p(z_i | z_{i+1}) p(z_L),   p(z_L) = N(0, I),   p(z_i | z_{i+1}) = N(μ_p, σ_p²)
        upwards     d_1 = E(x),   d_{i+1} = f_i(d_i),   each d_i votes for N(μ̂_i, σ̂_i²)
        downwards   q(z_L | x) = N(μ̂_L, σ̂_L²),   and below it   q(z_i | z_{i+1}, x) = N(μ_q, σ_q²):
                    1/σ_q² = 1/σ̂_i² + 1/σ_p²,     μ_q = σ_q² (μ̂_i/σ̂_i² + μ_p/σ_p²)
        minimised   −E log p(x | z_1) + β Σ_i E KL(q(z_i | z_{i+1}, x) ‖ p(z_i | z_{i+1}))

    Symbols: x an image, z_1 … z_L its codes from the image up, E and f_i the deterministic way up, μ̂ and σ̂ what the
    image alone says of a code, μ_p and σ_p what the code above says. The two are weighed by how sure each is, as
    Gaussian evidence is: so inference uses the generative model itself, and an upper code that says something is worth
    its cost from the start. A plain stack has to learn its inference apart, and uses hardly more than the lowest code.

    A latent is the standard normal noise ε of all levels, the highest first, with z_i = μ_p + σ_p ε_i: all of the
    prior, so that interpolation and traversal need to know nothing of levels. The first numbers decide most.

    What to watch: "level_1" … "level_L", the divergence of each in nats: a level at 0 is idle. β rises from 0 at the
    start (`--warm-up`), which keeps upper levels from being given up early; `--free-bits` helps too. "active" counts
    the dimensions with a divergence above 0.01 nats over all levels, "elbo" is the bound with β = 1.

    Between levels lie two layers of leaky ReLU under batch normalisation, and variances are softplus, as in the paper.
    Both matter: on digits, without the normalisation of d_1 the code next to the image was given up within 500 steps,
    as its votes began fainter than those above; with exponentials the upper codes are mostly idle.

    Where we deviate: the networks next to the image are those of `vae`, with no normalisation inside them.
    """

    def __init__(
        self,
        spec: Spec,
        networks: Coders,
        likelihood: Likelihood,
        *,
        upper: tuple[int, ...],
        hidden: int,
        descent: Descent,
        charge: Charge,
    ):
        super().__init__()
        self.spec, self.likelihood, self.descent, self.charge = spec, likelihood, descent, charge
        self.sizes = (networks.latent_dim, *upper)
        self.encoder, self.decoder = coders(
            spec, networks, outputs=hidden, inputs=networks.latent_dim, numbers=likelihood.numbers
        )
        self.settle = nn.Sequential(nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1))
        above = range(1, len(self.sizes))
        self.rises = nn.ModuleList(_layers(hidden, hidden) for _ in above)
        self.votes = nn.ModuleList(glorot(nn.Linear(hidden, 2 * size)) for size in self.sizes)
        self.priors = nn.ModuleList(
            nn.Sequential(*_layers(self.sizes[level], hidden), glorot(nn.Linear(hidden, 2 * self.sizes[level - 1])))
            for level in above
        )
        self.prior = NormalPrior(sum(self.sizes))
        self.parts = {"z": slice(0, sum(self.sizes))}

    def game(self) -> list[Phase]:
        """One player, who raises the bound."""
        parts = [self.encoder, self.settle, self.rises, self.votes, self.priors, self.decoder]
        return [Phase("autoencoder", player("autoencoder", *parts, descent=self.descent), self.loss)]

    def ballot(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return μ̂ and log σ̂² (N, d) of each level, from the image up, of images (N, C, H, W)."""
        features, found = self.settle(self.encoder(images)), []
        for place, vote in enumerate(self.votes):
            if place:
                features = self.rises[place - 1](features)
            found.append(moments(vote(features)))
        return found

    def prior_moments(self, level: int, above: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ_p and log σ_p² (N, d) of a level below the highest, given the code above it."""
        return moments(self.priors[level](above))

    def descend(self, ballot: list[tuple[Tensor, Tensor]], draw: Callable[[Tensor], Tensor]) -> list[Level]:
        """Return every level, the highest first; `draw` makes the noise of a code, like it in shape."""
        found: list[Level] = []
        for level in reversed(range(len(self.sizes))):
            mean, log_variance = ballot[level]
            prior = (torch.zeros_like(mean), torch.zeros_like(mean))
            if found:
                prior = self.prior_moments(level, found[-1].code)
                mean, log_variance = combined(mean, log_variance, *prior)
            noise = draw(mean)
            found.append(Level(reparameterised(mean, log_variance, noise), noise, mean, log_variance, *prior))
        return found

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The two halves of the bound, of one draw of all codes an image, and what each level costs."""
        charge, images = self.charge, self.likelihood.target(batch["image"])
        levels = self.descend(self.ballot(images), torch.randn_like)
        error = -self.likelihood.log_probability(self.decoder(levels[-1].code), images).mean()
        costs = [
            divergence(*(moment.unsqueeze(2) for moment in level[2:])).mean(0)  # (d,)
            for level in levels
        ]
        each = torch.cat(costs)
        weight = charge.beta * (self.progress / charge.warm_up).clamp_max(1) if charge.warm_up else charge.beta
        notes = {"elbo": -error - each.sum(), "active": (each > ACTIVE).to(torch.float32).sum()}
        notes |= {f"level_{place + 1}": cost.sum() for place, cost in enumerate(reversed(costs))}
        return {"reconstruction": error, "divergence": weight * each.clamp_min(charge.free_bits).sum()}, notes

    def log_weights(self, images: Tensor, count: int) -> Tensor:
        """Return log p(x, z) − log q(z | x) for `count` draws of all codes of images as modelled: (count, N)."""
        ballot = [(mean.repeat(count, 1), spread.repeat(count, 1)) for mean, spread in self.ballot(images)]
        levels = self.descend(ballot, torch.randn_like)
        repeated = images.repeat(count, *[1] * (images.dim() - 1))
        total = self.likelihood.log_probability(self.decoder(levels[-1].code), repeated)
        for level in levels:  # log p(z_i | z_{i+1}) − log q(z_i | z_{i+1}, x): the constants cancel
            away = (level.code - level.prior_mean).square() * (-level.prior_log_variance).exp()
            ratio = level.noise.square() + level.log_variance - away - level.prior_log_variance
            total = total + 0.5 * ratio.sum(1)
        return total.unflatten(0, (count, -1))

    @torch.no_grad()
    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return log p(x, z) − log q(z | x) of the batch's images, (draws, N): one draw is the bound itself."""
        with evaluating(self):
            return self.log_weights(self.likelihood.target(batch["image"]), draws)

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return (self.likelihood.note,)

    @torch.no_grad()
    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw the noise of all levels (count, d), the highest first; `rng` is a generator on the CPU."""
        return self.prior.draw(count, self.device, rng or torch.default_generator)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return E[x | z_1] of the noise of all levels (N, d): (N, C, H, W) in [-1, 1]."""
        with evaluating(self):
            code, *below = latents.split(self.sizes[::-1], 1)
            for level, noise in zip(reversed(range(len(below))), below, strict=True):
                code = reparameterised(*self.prior_moments(level, code), noise)
            return self.likelihood.mean(self.decoder(code))

    @torch.no_grad()
    def sample(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Return E[x | z_1] of `count` fresh codes: (count, C, H, W) in [-1, 1]; `rng` is a generator on the CPU."""
        return self.decode(self.latents(count, rng=rng))

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the noise (N, d) that the mean codes of images (N, C, H, W) are made of: latents for `decode`."""
        with evaluating(self):
            levels = self.descend(self.ballot(examples), torch.zeros_like)
        return torch.cat([(i.code - i.prior_mean) * (-0.5 * i.prior_log_variance).exp() for i in levels], 1)

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return E[x | z_1] at the mean codes of images (N, C, H, W): (N, C, H, W) in [-1, 1]."""
        return self.decode(self.encode(examples))


def moments(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and log variance (N, d) of what a layer says, (N, 2d): the variance is the softplus of its half."""
    mean, spread = numbers.chunk(2, 1)
    return mean, torch.log(F.softplus(spread) + LEAST_VARIANCE)


def combined(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and log variance of the Gaussian that is the product of two, normalised; all of one shape."""
    weight = torch.sigmoid(other_log_variance - log_variance)  # of the first: its share of the precision
    return other_mean + weight * (mean - other_mean), -torch.logaddexp(-log_variance, -other_log_variance)


def _layers(inputs: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, width):
        layers += [glorot(nn.Linear(before, width, bias=False)), nn.BatchNorm1d(width), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers)


@recipe(
    "ladder-vae",
    family="autoencoders",
    paper="Sønderby et al. 2016, arXiv:1602.02282",
    needs={"image": Image},
    steps=24_500,
    batch_size=100,
)
def ladder_vae(
    spec: Spec,
    *,
    upper: tuple[int, ...] = (32, 16, 8, 4),
    hidden: int = 256,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(),
    charge: Charge = Charge(warm_up=0.1),
    descent: Descent = Descent(),
) -> LadderVAE:
    """A variational autoencoder with several levels of codes; what lies above is used in finding what lies below.

    minimised   −E log p(x | z_1) + β Σ_i E KL(q(z_i | z_{i+1}, x) ‖ p(z_i | z_{i+1})),     p(z_L) = N(0, I)

    The code next to the image has --latent-dim numbers.

    Args:
        upper: numbers of each code above the one next to the image; none gives one level.
        hidden: units of the layers between levels.
    """
    if min((*upper, hidden)) < 1:
        raise UsageError("--upper and --hidden count from 1")
    likelihood = likelihood_of(pixels)
    return LadderVAE(spec, networks, likelihood, upper=upper, hidden=hidden, descent=descent, charge=charge)
