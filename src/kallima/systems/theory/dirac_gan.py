"""Dirac-GAN (Mescheder et al. 2018): one number against another, on which the stability of training can be computed."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from kallima.data.spec import Points, Spec
from kallima.figures import Arrows, Curve, Dots, Figure, LogDensity, Panel
from kallima.objectives.adversarial import AdversarialObjective, minimax, non_saturating, wasserstein
from kallima.objectives.consensus import half_squared_gradients
from kallima.objectives.penalties import zero_centred_penalty
from kallima.optimizers import sgd
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Player, System, Terms
from kallima.systems.theory.optimistic import optimistic

TRAIL = 5_000  # positions that are kept
VIEW = 2.2  # how far the plane of both players is shown
Dynamics = Literal["simultaneous", "alternating", "optimistic"]


class DiracGAN(System):
    """A generator that is one point θ, a discriminator that is one slope ψ, data that is one point, 0.

    Mescheder et al. 2018, "Which training methods for GANs do actually converge?", arXiv:1801.04406, section 2.

        s(x) = ψ·x,   G(z) = θ,   L(θ, ψ) = f(ψ·θ) + E_x f(−ψ·x)
        discriminator  minimises −L + (γ/2) E‖∇s(x)‖²,   generator  minimises L (or its non-saturating form)

    f(t) = −log(1 + exp(−t)) is the original game up to signs, f(t) = t Wasserstein's and the bilinear game
    min_θ max_ψ θ·ψ. The equilibrium is θ = ψ = 0. Both players follow their gradients: v is the field of both
    directions, J its Jacobian there. With R1 of weight γ its eigenvalues are (Mescheder et al., theorem 4.1)

        λ = −γ/2 ± √(γ²/4 − f'(0)²)

    and with a consensus regulariser of weight c (Mescheder et al. 2017, arXiv:1705.10461), whose Jacobian there is
    J − c JᵀJ, they are τ/2 ± √(τ²/4 − δ), τ = −γ − c(2 f'² + γ²), δ = f'²(1 + cγ + c²f'²). f'(0) is ½ for the original
    game and 1 for Wasserstein's. An eigenvalue left of the imaginary axis means that small enough steps converge.

    What to watch. With γ = 0 the eigenvalues are ± i f'(0): the field only turns. Steps of size η taken at once then
    grow by √(1 + η² f'²) a step and spiral out, however small η is; taken in turns they stay on a closed curve.
    Optimistic steps, R1 and consensus lead to the equilibrium. "distance" (in the notes) says how far it is.

    Symbols: x the data, D numbers each, and so are θ and ψ; the pictures show the first of each. Where we deviate: the
    data is read from the source as in any game; only for `dirac` is it the point 0 of the theory.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        objective: AdversarialObjective,
        slope: float,
        dynamics: Dynamics,
        learning_rate: float,
        start: tuple[float, float],
        r1: float = 0.0,
        consensus: float = 0.0,
    ):
        super().__init__()
        field = spec["points"]
        assert isinstance(field, Points)
        self.objective, self.slope, self.dynamics, self.learning_rate = objective, slope, dynamics, learning_rate
        self.r1, self.consensus = r1, consensus
        self.simultaneous = dynamics != "alternating"
        self.generator, self.discriminator = (Vector(field.dimensions, value) for value in start)
        self.trail = Trail(*start)

    def game(self) -> list[Phase]:
        """Each player's step; at once or one after the other."""
        step = (optimistic if self.dynamics == "optimistic" else sgd)(self.learning_rate)
        discriminator = Player("discriminator", self.discriminator, optimizer=step)
        generator = Player("generator", self.generator, self.trail, optimizer=step, constraint=self.remember)
        return [
            Phase("discriminator", discriminator, self.discriminator_loss),
            Phase("generator", generator, self.generator_loss),
        ]

    def losses(self, slope: Tensor, point: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return what discriminator ψ (D,) and generator θ (D,) minimise, given real points (N, D)."""

        def critic(x: Tensor) -> Tensor:
            return x @ slope

        scores = critic(real), critic(point[None])
        of_discriminator = torch.stack(list(self.objective.discriminator(*scores).values())).sum()
        if self.r1:
            of_discriminator = of_discriminator + self.r1 * zero_centred_penalty(critic, real)
        return of_discriminator, torch.stack(list(self.objective.generator(*scores).values())).sum()

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """−L, and the penalty; the note is how far both are from the equilibrium."""
        slope, point = self.discriminator.value, self.generator.value
        terms = {"adversarial": self.losses(slope, point, batch["points"])[0]} | self.agreement(batch)
        return terms, {"distance": (slope.square().sum() + point.square().sum()).sqrt().detach()}

    def generator_loss(self, batch: Batch) -> Terms:
        """L, or its non-saturating form."""
        loss = self.losses(self.discriminator.value, self.generator.value, batch["points"])[1]
        return {"adversarial": loss} | self.agreement(batch)

    def agreement(self, batch: Batch) -> Terms:
        """Return c/2 ‖v‖², where that is wanted."""
        if not self.consensus:
            return {}

        def losses(slope: Mapping[str, Tensor], point: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
            return self.losses(slope["value"], point["value"], batch["points"])

        weights = dict(self.discriminator.named_parameters()), dict(self.generator.named_parameters())
        return {"consensus": self.consensus * half_squared_gradients(losses, *weights)}

    def remember(self) -> None:
        """After the generator's step, the last of a turn: note where both are."""
        self.trail.add(self.generator.value, self.discriminator.value)

    def field(self, place: Tensor) -> Tensor:
        """Return v at (θ, ψ), both (2 D,), for data at 0; with the consensus regulariser, v − c ∇½‖v‖²."""
        dimensions = len(place) // 2

        def plain(place: Tensor) -> Tensor:
            point, slope = place[:dimensions], place[dimensions:]
            real = torch.zeros_like(point)[None]
            of_slope = torch.func.grad(lambda other: self.losses(other, point, real)[0])(slope)
            of_point = torch.func.grad(lambda other: self.losses(slope, other, real)[1])(point)
            return -torch.cat([of_point, of_slope])

        v = plain(place)
        if self.consensus:
            v = v - self.consensus * torch.func.grad(lambda other: 0.5 * plain(other).square().sum())(place)
        return v

    def eigenvalues(self) -> np.ndarray:
        """Return those of the field's Jacobian at the equilibrium, by automatic differentiation: complex (2 D,)."""
        place = torch.zeros(2 * len(self.generator.value), dtype=torch.float64, device=self.device)
        return torch.linalg.eigvals(torch.func.jacrev(self.field)(place)).cpu().numpy()

    def theory(self) -> np.ndarray:
        """Return the two eigenvalues that the card's formula gives."""
        square, gamma, c = self.slope**2, self.r1, self.consensus
        trace, determinant = -gamma - c * (2 * square + gamma**2), square * (1 + c * gamma + c**2 * square)
        root = np.sqrt(complex(trace**2 / 4 - determinant))
        return np.array([trace / 2 + root, trace / 2 - root])

    def illustrate(self, log_density: LogDensity | None) -> Figure:
        """Show where both players have been, over the field, and the eigenvalues beside the theory's."""
        path = self.trail.path().cpu().numpy()  # (N, 2)
        ticks = np.linspace(-VIEW, VIEW, 17)
        grid = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
        rest = torch.zeros(len(self.generator.value), dtype=torch.float64, device=self.device)
        places = rest.repeat(len(grid), 2)  # all but the first of each are at 0
        places[:, [0, len(rest)]] = torch.from_numpy(grid).to(places)
        directions = torch.func.vmap(self.field)(places)[:, [0, len(rest)]].cpu().numpy()
        helped = f"R1 {self.r1:g}, consensus {self.consensus:g}"
        plane = Panel(
            f"both players, {self.dynamics} steps of {self.learning_rate:g}\n{helped}",
            "generator θ",
            "discriminator ψ",
            (-VIEW, VIEW),
            (-VIEW, VIEW),
            [
                Arrows(grid, directions),
                Curve("the way so far", path[:, 0], path[:, 1], "model"),
                Dots("start", path[:1], "data", "dot"),
                Dots("now", path[-1:], "model", "dot"),
                Dots("equilibrium", np.zeros((1, 2)), "theory", "cross"),
            ],
            equal=True,
        )
        found, expected = self.eigenvalues(), self.theory()
        reach = 1.4 * max(1.0, float(np.abs(expected).max()))
        spectrum = Panel(
            f"eigenvalues at the equilibrium: {in_words(found)}\ntheory: {in_words(expected)}",
            "real part: converges left of 0",
            "imaginary part",
            (-reach, reach),
            (-reach, reach),
            [
                Curve("neither way", np.zeros(2), np.array([-reach, reach]), "data", dashed=True),
                Dots("by differentiation", np.stack([found.real, found.imag], -1), "model", "dot"),
                Dots("theory", np.stack([expected.real, expected.imag], -1), "theory", "cross"),
            ],
            equal=True,
        )
        return Figure([plane, spectrum])


def in_words(eigenvalues: np.ndarray) -> str:
    """Write a conjugate or a real pair: −0.5 ± 0.25i."""
    first, last = sorted(eigenvalues, key=lambda value: (value.real, value.imag))[:: len(eigenvalues) - 1]
    if abs(last.imag) < 1e-9:
        return f"{first.real:.4g} and {last.real + 0.0:.4g}"
    return f"{last.real + 0.0:.4g} ± {abs(last.imag):.4g}i"


class Vector(nn.Module):
    """A player: D numbers, all of them `start` at first."""

    def __init__(self, dimensions: int, start: float):
        super().__init__()
        self.value = nn.Parameter(torch.full((dimensions,), start))


class Trail(nn.Module):
    """The last places that both players have been at, the first number of each; it starts with `start`."""

    places: Tensor
    count: Tensor

    def __init__(self, *start: float):
        super().__init__()
        self.register_buffer("places", torch.tensor(start).repeat(TRAIL, 1))
        self.register_buffer("count", torch.ones((), dtype=torch.int64))

    def add(self, *values: Tensor) -> None:
        """Note the first of each of the values."""
        self.places[self.count % TRAIL] = torch.stack([value[0] for value in values])
        self.count += 1

    def path(self) -> Tensor:
        """Return the places in order: (N, 2)."""
        count = int(self.count)
        if count <= TRAIL:
            return self.places[:count]
        return self.places.roll(-(count % TRAIL), 0)


@recipe(
    "dirac-gan",
    family="theory",
    paper="Mescheder et al. 2018, arXiv:1801.04406",
    needs={"points": Points},
    steps=500,
    batch_size=16,
)
def dirac_gan(
    spec: Spec,
    *,
    r1: float = 0.0,
    objective: Literal["minimax", "non-saturating"] = "minimax",
    dynamics: Dynamics = "simultaneous",
    consensus: float = 0.0,
    learning_rate: float = 0.1,
    start: tuple[float, float] = (1.0, 1.0),
) -> DiracGAN:
    """The smallest adversarial network, which never converges without R1: trajectory and eigenvalues.

        kallima train dirac-gan --data dirac --sample-every 20              spirals out, eigenvalues ± ½ i
        kallima train dirac-gan --data dirac --sample-every 20 --r1 1       converges, eigenvalues −½

        discriminator   minimises  log(1 + exp(−ψ·x)) + log(1 + exp(ψ·θ)) + (γ/2) ‖ψ‖²
        generator       minimises  −log(1 + exp(ψ·θ))

    Args:
        r1: the weight γ of the zero-centred gradient penalty on real points
        objective: what the generator follows
        dynamics: both steps at once, in turns, or at once and optimistic
        consensus: the weight c of half the squared norm of both gradients, minimised by both
        learning_rate: the size η of the steps of plain gradient descent
        start: where θ and ψ begin
    """
    return DiracGAN(
        spec,
        objective={"minimax": minimax, "non-saturating": non_saturating}[objective],
        slope=0.5,
        dynamics=dynamics,
        learning_rate=learning_rate,
        start=start,
        r1=r1,
        consensus=consensus,
    )


@recipe(
    "bilinear-game",
    family="theory",
    paper="Mescheder et al. 2017, arXiv:1705.10461; Daskalakis et al. 2018, arXiv:1711.00141",
    needs={"points": Points},
    steps=500,
    batch_size=16,
)
def bilinear_game(
    spec: Spec,
    *,
    dynamics: Dynamics = "simultaneous",
    consensus: float = 0.0,
    learning_rate: float = 0.07,
    start: tuple[float, float] = (0.4, 0.4),
) -> DiracGAN:
    """min max x·y: simultaneous steps spiral out, alternating ones circle, optimism and consensus converge.

        kallima train bilinear-game --data dirac --sample-every 20                           spirals out
        kallima train bilinear-game --data dirac --sample-every 20 --dynamics alternating    circles
        kallima train bilinear-game --data dirac --sample-every 20 --dynamics optimistic     converges
        kallima train bilinear-game --data dirac --sample-every 20 --consensus 0.5           converges

        discriminator   minimises  −E ψ·x + ψ·θ
        generator       minimises  −ψ·θ

    It is Dirac-GAN under Wasserstein's loss without a bound on the critic's slope. Steps of size η taken at once
    multiply the distance from the equilibrium by √(1 + η²), those with consensus by √((1 − ηc)² + η²).

    Args:
        dynamics: both steps at once, in turns, or at once and optimistic
        consensus: the weight c of half the squared norm of both gradients, minimised by both
        learning_rate: the size η of the steps of plain gradient descent
        start: where θ and ψ begin
    """
    return DiracGAN(
        spec,
        objective=wasserstein,
        slope=1.0,
        dynamics=dynamics,
        learning_rate=learning_rate,
        start=start,
        consensus=consensus,
    )
