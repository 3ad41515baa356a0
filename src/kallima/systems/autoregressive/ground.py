"""The ground of autoregressive models: exact likelihoods, and a way through the components that forgets nothing."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.spec import Spec
from kallima.decoding import PLAIN, Decoding
from kallima.layers.modes import evaluating
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.descent import Descent, player

Progress = Callable[[int, int], None]


class Walk(Protocol):
    """A way through the components of `count` examples, one after another, that keeps what it has computed."""

    def parameters(self) -> Tensor:
        """Return the distribution of the component that is next: (count, K) logits, or what else the model draws by."""
        ...

    def take(self, components: Tensor) -> None:
        """Go on by one component, int64 (count,)."""
        ...


class Autoregressive(System):
    """log p(x | c) = Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁, c), exactly; one player, who raises it.

    A model is a class below this one. It says what the `count` T components of an example are: `components_of` it,
    int64 (N, T), and `examples_of` them, with `parts` of them for each place (such as the channels of a pixel). It
    gives their distributions in two ways that must agree: `parameters_of`, all at once, for training, and `walk`, one
    by one, with no more work a component than that component needs.
    """

    def __init__(
        self, spec: Spec, *, count: int, parts: int = 1, descent: Descent, conditions: Conditions | None = None
    ):
        super().__init__()
        self.spec, self.descent, self.count, self.parts = spec, descent, count, parts
        self.conditional = conditions is not None
        if conditions is not None:
            self.conditions = conditions

    @abstractmethod
    def components_of(self, examples: Tensor) -> Tensor:
        """Return the components int64 (N, T) of examples as a batch holds them."""

    @abstractmethod
    def examples_of(self, components: Tensor) -> Tensor:
        """Return the examples, as a batch holds them, of components int64 (N, T)."""

    @abstractmethod
    def parameters_of(self, components: Tensor, condition: Tensor | None) -> Tensor:
        """Return the distribution of every component given those before it: (N, T, K), in parallel."""

    @abstractmethod
    def walk(self, count: int, condition: Tensor | None) -> Walk:
        """Start a way through the components of `count` examples."""

    def log_probabilities(self, components: Tensor, parameters: Tensor) -> Tensor:
        """Return log p of each component (N, T) under its distribution (N, T, K), in nats."""
        return -F.cross_entropy(parameters.flatten(0, 1), components.flatten(), reduction="none").view_as(components)

    def choose(self, parameters: Tensor, decoding: Decoding, rng: torch.Generator) -> Tensor:
        """Draw a component int64 (N,) of its distribution (N, K)."""
        return decoding.draw(parameters, rng)

    def game(self) -> list[Phase]:
        """One player, who raises the likelihood."""
        after = self.learn if self.conditional else None
        return [Phase("model", player("model", *self.children(), descent=self.descent), self.loss, after=after)]

    def learn(self, notes: Mapping[str, Tensor]) -> None:
        """Remember the conditions of the data."""
        self.conditions.remember(notes["condition"])

    def condition_of(self, batch: Batch) -> Tensor | None:
        """Return what the batch's examples are, for a model that is told (N, K)."""
        return self.conditions.vectors(batch) if self.conditional else None

    def log_likelihood(self, batch: Batch) -> Tensor:
        """Return log p(x | c) of the batch's examples: (N,), nats."""
        components = self.components_of(batch[self.spec.medium])
        parameters = self.parameters_of(components, self.condition_of(batch))
        return self.log_probabilities(components, parameters).flatten(1).sum(1)

    def loss(self, batch: Batch) -> Terms | tuple[Terms, dict[str, Tensor]]:
        """Return −log p(x | c), nats an example."""
        terms = {"likelihood": -self.log_likelihood(batch).mean()}
        condition = self.condition_of(batch)
        return terms if condition is None else (terms, {"condition": condition})

    @torch.no_grad()
    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return log p(x | c) of the batch's examples, exactly: (1, N), nats."""
        with evaluating(self):
            return self.log_likelihood(batch)[None]

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return ("exact, of the components as the model sees them",)

    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` examples, as a batch holds them, made component by component.

        `condition` (count, K) is what a conditional model is asked for, by default what the data asks for; `rng` is a
        generator on the CPU, None torch's default one.
        """
        blank = self.examples_of(torch.zeros(count, self.count, dtype=torch.int64, device=self.device))
        known = torch.zeros(count, self.count // self.parts, dtype=torch.bool, device=self.device)
        return self.complete(blank, known, condition=condition, rng=rng)

    @torch.no_grad()
    def complete(
        self,
        examples: Tensor,
        known: Tensor,
        *,
        condition: Tensor | None = None,
        rng: torch.Generator | None = None,
        decoding: Decoding = PLAIN,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return examples (N, …) with those of their places drawn anew that are not `known`, bool (N, *places)."""
        rng = rng or torch.default_generator
        if self.conditional and condition is None:
            condition = self.conditions.draw(len(examples), rng)
        with evaluating(self):
            given = self.components_of(examples)
            fixed = known.flatten(1).repeat_interleave(self.parts, 1)
            with torch.inference_mode():  # of thousands of small steps a sixth of the time
                walk = self.walk(len(examples), None if condition is None else condition.to(self.device))
                drawn = self.follow(walk, given, fixed, decoding, rng, progress)
            return self.examples_of(drawn.clone())  # a tensor like any other again

    def follow(
        self,
        walk: Walk,
        given: Tensor,
        fixed: Tensor,
        decoding: Decoding,
        rng: torch.Generator,
        progress: Progress | None = None,
    ) -> Tensor:
        """Walk through all components and return them (N, T): those `given` where they are `fixed`, drawn elsewhere."""
        total = given.shape[1]
        made = torch.empty_like(given)
        for place in range(total):
            component = self.choose(walk.parameters(), decoding, rng)
            made[:, place] = torch.where(fixed[:, place], given[:, place], component)
            walk.take(made[:, place])
            if progress is not None:
                progress(place + 1, total)
        return made


class NaiveWalk:
    """The way that computes everything again for each component: what a model's own `walk` is measured by."""

    def __init__(self, model: Autoregressive, count: int, condition: Tensor | None):
        self.model, self.condition, self.place = model, condition, 0
        self.components = torch.zeros(count, model.count, dtype=torch.int64, device=model.device)

    def parameters(self) -> Tensor:
        """Return the distribution of the next component."""
        return self.model.parameters_of(self.components, self.condition)[:, self.place]

    def take(self, components: Tensor) -> None:
        """Write a component down."""
        self.components[:, self.place] = components
        self.place += 1
