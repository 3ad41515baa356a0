"""Flow matching (Lipman et al. 2023; Liu et al. 2023): noise carried to data along the mean of straight paths."""

import math
from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Attributes, Image, Label, Points, Spec, Values
from kallima.errors import UsageError
from kallima.layers.latent import NormalPrior
from kallima.layers.modes import evaluating
from kallima.networks.unet import UNet
from kallima.networks.velocity import DenseVelocity
from kallima.objectives.flow import guided, on_path, velocity_error
from kallima.recipe import recipe
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.descent import Descent, player
from kallima.systems.flows.ode import SOLVERS, Field, integrate, log_density_change, rk4
from kallima.systems.flows.settings import Integration, Velocity

LIKELIHOOD_STEPS = 32
"""Steps of order 4 along which a likelihood is found, whatever samples are made with."""


class Flow(System):
    """The ground of both models: the path, the equation, latents, likelihoods.

    A latent is the noise x₀ that an example comes from, as one vector, and the condition after it where there is one.
    Of points the likelihood is known.
    """

    def __init__(
        self,
        spec: Spec,
        network: Velocity,
        integration: Integration,
        *,
        descent: Descent,
        conditions: Conditions | None = None,
    ):
        super().__init__()
        self.spec, self.field = spec, "points" if "points" in spec else "image"
        self.times, self.integration, self.descent = network.times, integration, descent
        self.shape = spec[self.field].shape  # type: ignore[attr-defined]  # of points or images
        self.prior = NormalPrior(math.prod(self.shape))
        if self.field == "points":  # without this it scores no likelihood: a divergence takes a pass a number
            steps = f"{LIKELIHOOD_STEPS} steps of rk4"
            self.exact_likelihood = True  # and no bound on it
            self.likelihood_notes = (f"a density in the data's units, by the change of variables along {steps}",)
        size = 0 if conditions is None else conditions.size + 1
        self.velocity = build_velocity(spec, network, condition_size=size)

    def matching_error(self, examples: Tensor, told: Tensor | None) -> Tensor:
        """Return the error of the velocity on the way to examples (N, …), each from its own noise at its own time."""
        noise = torch.randn_like(examples)
        time = torch.rand(len(examples), device=examples.device)
        if self.times == "logit-normal":
            time = torch.randn_like(time).sigmoid()
        return velocity_error(self.velocity(on_path(noise, examples, time), time, told), noise, examples)

    def following(self, told: Tensor | None) -> Field:
        """Return the learned field, of what the network is told of each example (N, K)."""
        return lambda x, time: self.velocity(x, x.new_full((len(x),), time), told)

    @abstractmethod
    def course(self, condition: Tensor) -> Field:
        """Return the field that examples are made along, under conditions (N, K); K is 0 where there are none."""

    @abstractmethod
    def told_of(self, batch: Batch) -> Tensor | None:
        """Return what the network is told of a batch's examples (N, K)."""

    def solve(self, field: Field, x: Tensor, *, start: float, end: float) -> Tensor:
        """Follow a field from x (N, …) at `start` to `end`, as the user chose."""
        own = self.integration
        return integrate(field, x, start=start, end=end, steps=own.steps, step=SOLVERS[own.solver])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the examples of latents (N, d): images (N, C, H, W) in [-1, 1], points (N, D)."""
        noise, condition = latents[:, : self.prior.dimensions], latents[:, self.prior.dimensions :]
        with evaluating(self):
            made = self.solve(self.course(condition), noise.unflatten(1, self.shape), start=0.0, end=1.0)
        return made.clamp(-1, 1) if self.field == "image" else made

    @torch.no_grad()
    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return log p(x) of a batch's points in the data's units, nats (1, N): exact but for the solver's steps.

        There is one row, whatever `draws` says.
        """
        points = self.spec["points"]
        assert isinstance(points, Points)
        with evaluating(self):
            noise, change = log_density_change(
                self.following(self.told_of(batch)),
                batch["points"],
                start=1.0,
                end=0.0,
                steps=LIKELIHOOD_STEPS,
                step=rk4,
            )
        log_prior = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(1)
        return (log_prior + change - sum(map(math.log, points.scale or ())))[None]


class FlowMatching(Flow):
    """A field of velocities that carries noise to data; learned by regression, one network, no adversary.

    Lipman et al. 2023, "Flow matching for generative modeling", arXiv:2210.02747; the same path as "rectified flow",
    Liu et al. 2023, arXiv:2209.03003.

        path         x_t = (1 − t) x₀ + t x₁,     x₀ ~ N(0, I),  x₁ ~ data,  t ~ U[0, 1]
        minimised    E ‖v(x_t, t) − (x₁ − x₀)‖²
        samples      dx/dt = v(x, t) from x₀ ~ N(0, I) at t = 0 to x₁ at t = 1

    Symbols: x₁ an example, x₀ noise, t the time, v the network. The best v is the mean E[x₁ − x₀ | x_t]: through every
    place pass many straight paths, and the field goes their average way. Its flow has, at every time, the distribution
    of x_t: noise at 0, data at 1. So there is one loss to go down, no game, no collapse; what it costs is that a sample
    takes `evaluations` passes through the network, where a GAN takes one.

    Backwards the same equation finds the noise of an example: encode, and reconstruct = decode(encode(x)), exact but
    for the steps. Along the way the density changes as d log p/dt = −div v (Chen et al. 2018, arXiv:1806.07366), which
    gives log p(x) of points: `kallima evaluate RUN --metrics nll`. Images go without: div v takes a pass a pixel.

    What to watch: the loss has a floor far above 0, the spread of x₁ − x₀ where paths cross, so its level says little;
    it falls fast at first and slowly for very long, and samples go on getting better while it hardly moves. More
    `evaluations` help a trained model with fine structure; they cannot mend an untrained one.

    Where we deviate: σ_min is 0 (Lipman et al.: 10⁻⁵), as in rectified flow; its reflow and couplings other than at
    random are left out. The loss is a mean over numbers, not a sum. The U-Net is small, and folds 2 × 2 pixels into
    channels unless `--full-size`. Samples come from a moving average of the weights. `--times logit-normal` draws
    t = sigmoid(N(0, 1)) (Esser et al. 2024, arXiv:2403.03206).
    """

    def __init__(self, spec: Spec, network: Velocity, integration: Integration, *, descent: Descent):
        super().__init__(spec, network, integration, descent=descent)
        self.parts: Mapping[str, slice] = {"z": slice(0, self.prior.dimensions)}

    def game(self) -> list[Phase]:
        """One player, who learns where to go."""
        return [Phase("flow", player("flow", self.velocity, descent=self.descent), self.loss)]

    def loss(self, batch: Batch) -> Terms:
        """The error of the velocity at one moment of each example's path."""
        return {"velocity": self.matching_error(batch[self.field], None)}

    def course(self, condition: Tensor) -> Field:
        """Return the learned field."""
        return self.following(None)

    def told_of(self, batch: Batch) -> None:
        """Nothing."""
        return

    @torch.no_grad()
    def sample(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` new examples: images (count, C, H, W) in [-1, 1], points (count, D); as for `latents`."""
        return self.decode(self.latents(count, rng=rng))

    @torch.no_grad()
    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw noise (count, d); `rng` is a generator on the CPU, None torch's default one."""
        return self.prior.draw(count, self.device, rng or torch.default_generator)

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the noise (N, d) that examples (N, …) come from."""
        with evaluating(self):
            return self.solve(self.following(None), examples, start=1.0, end=0.0).flatten(1)

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return what the noise of examples (N, …) is carried to: themselves, but for the steps of the solver."""
        return self.decode(self.encode(examples))


class ConditionalFlowMatching(Flow):
    """A field of velocities that is told what it carries the noise to, and sometimes is not: classifier-free guidance.

    Lipman et al. 2023, arXiv:2210.02747; guidance of Ho & Salimans 2022, arXiv:2207.12598, in flows Zheng et al. 2023,
    arXiv:2311.13443.

        path         x_t = (1 − t) x₀ + t x₁,     x₀ ~ N(0, I),  (x₁, c) ~ data,  t ~ U[0, 1]
        minimised    E ‖v(x_t, t, c′) − (x₁ − x₀)‖²,     c′ = c, but ∅ with probability `drop`
        samples      dx/dt = v(x, t, ∅) + w (v(x, t, c) − v(x, t, ∅))

    Symbols: x₁ an example, c its condition (label, attributes, values), x₀ noise, t the time, v the network, w the
    `guidance`. At w = 1 the samples are those of p(x | c), at w = 0 those of p(x), whatever is asked for; above 1 they
    are more of c and less like one another, which looks better up to about 3 and is no longer the data's distribution.
    Any w but 0 and 1 asks the network twice an evaluation.

    ∅ is a switch beside the condition, not a condition of zeros, which is one that data can have. Latents are the noise
    x₀ and then c. The likelihood is log p(x | c), at w = 1 whatever the guidance. To trace an example back is to know
    its condition, so this model encodes no example alone. Otherwise as `flow-matching`, deviations included.
    """

    def __init__(
        self,
        spec: Spec,
        network: Velocity,
        integration: Integration,
        conditions: Conditions,
        *,
        descent: Descent,
        guidance: float,
        drop: float,
    ):
        if not 0 <= drop < 1:
            raise UsageError(f"--drop is a share of the examples from 0 to below 1, not {drop:g}")
        if drop == 0 and guidance != 1:
            raise UsageError(
                f"--guidance {guidance:g} needs a model that knows examples of nothing told: give --drop 0.1"
            )
        super().__init__(spec, network, integration, descent=descent, conditions=conditions)
        self.conditions, self.guidance, self.drop = conditions, guidance, drop
        noise = self.prior.dimensions
        places = {part.name: part.place for part in conditions.parts.values()}
        self.parts: Mapping[str, slice] = {
            "z": slice(0, noise),
            **{name: slice(noise + place.start, noise + place.stop) for name, place in places.items()},
        }

    def game(self) -> list[Phase]:
        """One player, who learns where to go."""
        both = player("flow", self.velocity, self.conditions, descent=self.descent)
        return [Phase("flow", both, self.loss, after=self.learn)]

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The error of the velocity at one moment of each example's path; some examples are of nothing told."""
        condition = self.conditions.vectors(batch)
        kept = (torch.rand(len(condition), 1, device=condition.device) >= self.drop).to(condition)
        error = self.matching_error(batch[self.field], kept * said(condition))
        return {"velocity": error}, {"condition": condition}

    def learn(self, notes: Mapping[str, Tensor]) -> None:
        """Remember the conditions of the data."""
        self.conditions.remember(notes["condition"])

    def course(self, condition: Tensor) -> Field:
        """Return the guided field under conditions (N, K)."""
        told = said(condition)
        if self.guidance in (0.0, 1.0):
            return self.following(self.guidance * told)
        both = self.following(torch.cat([told, torch.zeros_like(told)]))

        def steered(x: Tensor, time: float) -> Tensor:
            under, without = both(torch.cat([x, x]), time).chunk(2)
            return guided(under, without, self.guidance)

        return steered

    def told_of(self, batch: Batch) -> Tensor:
        """Return the batch's own conditions (N, K + 1)."""
        return said(self.conditions.vectors(batch))

    @torch.no_grad()
    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` new examples: images (count, C, H, W) in [-1, 1], points (count, D); as for `latents`."""
        return self.decode(self.latents(count, condition=condition, rng=rng))

    @torch.no_grad()
    def latents(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw noise and put the condition after it (count, d).

        `condition` (count, K) is what is asked for, by default what the data asks for; `rng` is a generator on the CPU,
        None torch's default one.
        """
        rng = rng or torch.default_generator
        noise = self.prior.draw(count, self.device, rng)
        if condition is None:
            condition = self.conditions.draw(count, rng)
        return torch.cat([noise, condition.to(noise)], 1)


def said(condition: Tensor) -> Tensor:
    """Put a 1 after conditions (N, K): (N, K + 1), of which 0 times as much is nothing told."""
    return torch.cat([condition, torch.ones_like(condition[:, :1])], 1)


def build_velocity(spec: Spec, network: Velocity, *, condition_size: int) -> nn.Module:
    """Build the network: (N, …), times (N,) and what is told (N, condition_size) to velocities (N, …)."""
    if "points" in spec:
        points, size = spec["points"], {"width": network.width or 256, "depth": network.depth or 4}
        assert isinstance(points, Points)
        return DenseVelocity(points.dimensions, **size, condition_size=condition_size)
    image, size = spec["image"], {"width": network.width or 32, "depth": network.depth or 2}
    assert isinstance(image, Image)
    return UNet(image, **size, full_size=network.full_size, condition_size=condition_size)


@recipe(
    "flow-matching",
    family="flows",
    paper="Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003",
    needs=({"points": Points}, {"image": Image}),
    steps=20_000,
    batch_size=64,
)
def flow_matching(
    spec: Spec,
    *,
    network: Velocity = Velocity(),
    integration: Integration = Integration(),
    descent: Descent = Descent(schedule="cosine", clip=1.0, average=0.999),
) -> FlowMatching:
    """Noise carried to data along the mean of straight paths: one network, one loss to go down, no adversary.

        path         x_t = (1 − t) x₀ + t x₁,     x₀ ~ N(0, I)
        minimised    E ‖v(x_t, t) − (x₁ − x₀)‖²
        samples      dx/dt = v(x, t), from noise at t = 0 to data at t = 1

    The default U-Net is one that learns on a processor; with a GPU give `--width 128 --full-size`. Points want
    `--evaluations 64` where they are fine: asking a dense network is cheap.
    """
    return FlowMatching(spec, network, integration, descent=descent)


@recipe(
    "conditional-flow-matching",
    family="flows",
    paper="Lipman et al. 2023, arXiv:2210.02747; Ho & Salimans 2022, arXiv:2207.12598",
    needs=(
        {"image": Image, "label": Label},
        {"image": Image, "attributes": Attributes},
        {"image": Image, "values": Values},
        {"points": Points, "label": Label},
    ),
    steps=20_000,
    batch_size=64,
)
def conditional_flow_matching(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    guidance: float = 1.0,
    drop: float = 0.1,
    network: Velocity = Velocity(),
    integration: Integration = Integration(),
    descent: Descent = Descent(schedule="cosine", clip=1.0, average=0.999),
) -> ConditionalFlowMatching:
    """Flow matching that is told label, attributes and values, with classifier-free guidance to make more of them.

    minimised    E ‖v(x_t, t, c′) − (x₁ − x₀)‖²,     c′ = c, or ∅ for a share `drop` of the examples

    Args:
        condition_on: which of label, attributes, values and domain to condition on; by default all that the data has.
        guidance: w, how much is made of what is asked for: 1 as the data has it, above 1 more, 0 nothing.
        drop: share of the examples of which nothing is told, so that guidance has something to go by.
    """
    conditions = Conditions(spec, condition_on)
    return ConditionalFlowMatching(
        spec, network, integration, conditions, descent=descent, guidance=guidance, drop=drop
    )
