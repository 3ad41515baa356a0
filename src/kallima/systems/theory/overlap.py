"""Two parallel lines: why the original game has nothing to say where supports don't meet (Arjovsky et al. 2017)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from kallima import schedules
from kallima.data.spec import Points, Spec
from kallima.figures import Curve, Dots, Figure, LogDensity, Mark, Panel, Role
from kallima.networks.mlp import MLPDiscriminator
from kallima.objectives.adversarial import minimax, wasserstein
from kallima.optimizers import adam, sgd
from kallima.recipe import recipe
from kallima.system import Batch, Phase, Player, System, Terms

LOG_2 = float(np.log(2))


class Overlap(System):
    """The same generator in two games at once, side by side: the original one and Wasserstein's.

    Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875, Example 1 and figure 2.

        data  (0, u),   G(z) = (θ, z),   u, z ~ U(0, 1)

        JS(p, p_θ) = log 2 for θ ≠ 0 and 0 for θ = 0,    W₁(p, p_θ) = |θ|

    The lines never meet unless they are one, so JS has a slope of 0 almost everywhere; W₁ has one of ±1. Each game has
    a θ of its own and a judge that is linear in x:

        original       D = sigmoid(w·x + b);   D minimises −E log D(x) − E log(1 − D(G)),  θ minimises E log(1 − D(G))
        Wasserstein    s = w·x, ‖w‖ ≤ 1 and so 1-Lipschitz;   s minimises −E s(x) + E s(G),  θ minimises −E s(G)

    A linear D tells the lines apart as well as one likes, as w grows; a linear s with ‖w‖ ≤ 1 attains W₁. What the
    judges have found is in the notes: "js", the bound ½ (V + log 4) ≤ JS, and "wasserstein", E s(x) − E s(G) ≤ W₁.

    What to watch: once D is sure, the gradient on its θ is w·D(G) → 0 and θ stands still, far from the data. The critic
    pulls its θ with ‖∇‖ = 1 all the way to 0. Where we deviate: beyond two dimensions z is a cube's, not a line's.
    """

    def __init__(self, spec: Spec, *, start: float, learning_rate: float, judge_steps: int):
        super().__init__()
        field = spec["points"]
        assert isinstance(field, Points)
        self.start, self.learning_rate, self.judge_steps = start, learning_rate, judge_steps
        self.original, self.wasserstein = (Line(field.dimensions, start) for _ in range(2))
        self.discriminator, self.critic = (MLPDiscriminator(field.shape, depth=0) for _ in range(2))

    def game(self) -> list[Phase]:
        """Each game's judge, several times over, then its line."""
        cosine = schedules.by_name("cosine", 0.0)

        def line(name: str, module: nn.Module) -> Player:
            return Player(name, module, optimizer=sgd(self.learning_rate), schedule=cosine)

        discriminator = Player("discriminator", self.discriminator, optimizer=adam(0.1, betas=(0.0, 0.9)))
        critic = Player("critic", self.critic, optimizer=sgd(1.0), constraint=self.bound)
        repeats = self.judge_steps
        return [
            Phase("discriminator", discriminator, self.discriminator_loss, repeats=repeats),
            Phase("original", line("original", self.original), self.original_loss),
            Phase("critic", critic, self.critic_loss, repeats=repeats),
            Phase("wasserstein", line("wasserstein", self.wasserstein), self.wasserstein_loss),
        ]

    def discriminator_loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """−V; the notes are the bound of JS, and θ."""
        real = batch["points"]
        terms = minimax.discriminator(self.discriminator(real), self.discriminator(self.original(len(real))))
        js = LOG_2 - 0.5 * (terms["real"] + terms["fake"])
        return terms, {"js": js.detach(), "original_theta": self.original.theta.detach()[0]}

    def original_loss(self, batch: Batch) -> Terms:
        """E log(1 − D(G))."""
        return minimax.generator(None, self.discriminator(self.original(len(batch))))

    def critic_loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """−(E s(x) − E s(G)); the notes are the bound of W₁, and θ."""
        real = batch["points"]
        terms = wasserstein.discriminator(self.critic(real), self.critic(self.wasserstein(len(real))))
        gap = -(terms["real"] + terms["fake"])
        return terms, {"wasserstein": gap.detach(), "wasserstein_theta": self.wasserstein.theta.detach()[0]}

    def wasserstein_loss(self, batch: Batch) -> Terms:
        """−E s(G)."""
        return wasserstein.generator(None, self.critic(self.wasserstein(len(batch))))

    def bound(self) -> None:
        """After the critic's step: bring its slope back to at most 1."""
        weight = self.critic.head.get_parameter("weight")
        weight.div_(weight.norm().clamp_min(1.0))

    @torch.no_grad()
    def illustrate(self, log_density: LogDensity | None) -> Figure:
        """Show the lines, both distances as functions of θ with where each game is, and what the judges say."""
        theta = {name: float(line.theta[0]) for name, line in (("js", self.original), ("w", self.wasserstein))}
        span = 1.3 * abs(self.start)
        x_range, x = (-span, span), np.linspace(-span, span, 401)

        def line(label: str, place: float, role: Role) -> Curve:
            return Curve(label, np.full(2, place), np.array([0.0, 1.0]), role, dashed=role == "data")

        lines = [
            line(f"original, θ = {theta['js']:.2f}", theta["js"], "model"),
            line(f"Wasserstein, θ = {theta['w']:.2f}", theta["w"], "rival"),
            line("data, at 0", 0.0, "data"),
        ]
        distances: list[Mark] = [
            Curve("JS = log 2, but 0 at θ = 0", x, np.full_like(x, LOG_2), "model"),
            Curve("W₁ = |θ|", x, np.abs(x), "rival"),
            Dots("the original game now", np.array([[theta["js"], LOG_2 if theta["js"] else 0.0]]), "model", "dot"),
            Dots("Wasserstein's now", np.array([[theta["w"], abs(theta["w"])]]), "rival", "dot"),
        ]
        field = self.spec["points"]
        assert isinstance(field, Points)
        places = torch.full((len(x), field.dimensions), 0.5)
        places[:, 0] = torch.from_numpy(x)
        verdict, score = (judge(places.to(self.device)).cpu().numpy() for judge in (self.discriminator, self.critic))
        middle = score[len(x) // 2]
        judges = [
            Curve("D(x), original", x, 1 / (1 + np.exp(-verdict)), "model"),
            Curve("½ + s(x) − s(0), critic", x, 0.5 + score - middle, "rival"),
        ]
        top = max(1.1, 1.1 * span)
        return Figure(
            [
                Panel("the lines", "x₁", "x₂", x_range, (-0.1, 1.1), lines),
                Panel("how far from the data, by θ", "θ", "distance", x_range, (-0.05, top), distances),
                Panel("what the judges say along x₁", "x₁", "verdict", x_range, (-0.6, 1.6), judges),
            ]
        )


class Line(nn.Module):
    """Points (θ, z), z uniform in [0, 1] in each other direction."""

    def __init__(self, dimensions: int, start: float):
        super().__init__()
        self.theta = nn.Parameter(torch.full((1,), start))
        self.dimensions = dimensions

    def forward(self, count: int) -> Tensor:
        """Return (count, D)."""
        others = torch.rand(count, self.dimensions - 1, device=self.theta.device)
        return torch.cat([self.theta.expand(count, 1), others], 1)


@recipe(
    "overlap",
    family="theory",
    paper="Arjovsky et al. 2017, arXiv:1701.07875",
    needs={"points": Points},
    steps=200,
    batch_size=256,
)
def overlap(spec: Spec, *, start: float = 1.0, learning_rate: float = 0.01, judge_steps: int = 5) -> Overlap:
    """Two parallel lines: the original game stands still where Wasserstein's walks home.

        kallima train overlap --data segment --sample-every 10

        original       JS = log 2 whatever θ ≠ 0 is: no gradient
        Wasserstein    W₁ = |θ|: a gradient of 1 everywhere

    Args:
        start: the θ at which the lines of both games begin
        learning_rate: the size of the first step of θ along a gradient of 1; it falls to 0 along a cosine
        judge_steps: steps of each judge before a step of its line
    """
    return Overlap(spec, start=start, learning_rate=learning_rate, judge_steps=judge_steps)
