"""What every system is: players, and phases in which one of them moves. Capabilities say how to use the result."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.batch import Batch
from kallima.data.portion import Portion
from kallima.data.spec import Spec
from kallima.decoding import PLAIN, Decoding
from kallima.figures import Figure, LogDensity

Terms = dict[str, Tensor]
"""The named terms of a loss, each a scalar; what a player minimises is their sum."""

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""parameters, **engine options -> optimizer; `kallima.optimizers` makes them."""

Schedule = Callable[[float], float]
"""progress in [0, 1] -> multiplier of the learning rate; pure, so there is nothing to save."""


class Player:
    """The modules that one optimiser moves.

    A parameter reached twice (tied weights, Q sharing the discriminator's trunk) counts once.
    `constraint` runs without gradients after each step (weight clipping), `clip` bounds the L2 norm of the gradient.
    `average` is the decay of an exponential moving average of the weights, 0 for none: what is averaged is what
    sampling uses.
    """

    def __init__(
        self,
        name: str,
        *modules: nn.Module,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        constraint: Callable[[], None] | None = None,
        clip: float | None = None,
        average: float = 0.0,
    ):
        self.name, self.modules, self.optimizer, self.schedule = name, modules, optimizer, schedule
        self.constraint, self.clip, self.average = constraint, clip, average

    def parameters(self) -> list[nn.Parameter]:
        """Return each parameter once, in the order of the modules."""
        return list(dict.fromkeys(p for module in self.modules for p in module.parameters()))


class Phase:
    """One turn of the game: `player` takes `repeats` steps down the sum of `loss(*batches)`'s terms.

    `reads` names the data stream of each batch; each repeat draws fresh ones. The phase has its turn in every
    `every`-th step, and only while progress lies in `during` (start included, end excluded but for 1).
    A loss may return `(terms, notes)`: `after(notes)` then runs without gradients after the step (adaptive weights,
    image pools). Notes that are scalars are logged, and averaged over micro-batches and ranks; batches are joined.
    """

    def __init__(
        self,
        name: str,
        player: Player,
        loss: Callable[..., Terms | tuple[Terms, Mapping[str, Tensor]]],
        *,
        reads: Sequence[str] = ("data",),
        repeats: int = 1,
        every: int = 1,
        during: tuple[float, float] = (0.0, 1.0),
        after: Callable[[Mapping[str, Tensor]], None] | None = None,
    ):
        self.name, self.player, self.loss, self.reads = name, player, loss, tuple(reads)
        self.repeats, self.every, self.during, self.after = repeats, every, during, after

    def has_turn(self, step: int, progress: float) -> bool:
        """Say whether the phase is played at this step (counted from 0)."""
        start, end = self.during
        return step % self.every == 0 and start <= progress and (progress < end or end == 1.0)


class System(nn.Module, ABC):
    """Players, phases, and what can be done with the result.

    `simultaneous` systems take all gradients of a step before any player moves. `frozen` modules belong to no player
    (feature networks): they stay in evaluation mode. `spec` is what the system was built for. `streams` says what part
    of the data each stream holds that its phases read.
    The trainer fills the buffers `progress` (in [0, 1]) and `step`, which annealed losses may read.
    """

    simultaneous: bool = False
    frozen: tuple[nn.Module, ...] = ()
    streams: Mapping[str, Portion] = MappingProxyType({"data": Portion()})
    spec: Spec
    progress: Tensor
    step: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.zeros(()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def game(self) -> list[Phase]:
        """Return the phases in the order in which they are played; pure, called once."""

    @property
    def device(self) -> torch.device:
        """Where the system lives."""
        return self.progress.device


@runtime_checkable
class Samples(Protocol):
    """Draws new examples."""

    def sample(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` examples on the system's device, as in a batch: images (count, C, H, W) in [-1, 1], points
        (count, D), sounds (count, T) in [-1, 1], texts as codes (count, L), videos (count, T, C, H, W) in [-1, 1].

        `rng` is a generator on the CPU (draws are the same on every device); None uses the default one.
        """
        ...


@runtime_checkable
class Decodes(Protocol):
    """Makes examples of latents.

    A latent is one vector with everything that an example is made of. `parts` names its stretches, noise first: "z",
    then what is asked for ("label", "bold") or found ("category", "c1"); a category is one-hot.
    """

    parts: Mapping[str, slice]

    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` latents (count, d) from the prior; `rng` as for `Samples`."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return the examples of latents (N, d), as `Samples` gives them."""
        ...


@runtime_checkable
class Conditional(Protocol):
    """Draws new examples of what is asked for."""

    conditions: Conditions

    def sample(self, count: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` examples, as `Samples` does, under `condition` (count, conditions.size), or the data's own."""
        ...


@runtime_checkable
class Completes(Protocol):
    """Makes examples component by component, each with what came before in view, and so goes on from any beginning.

    Components are the places of an example in the order in which they are made: the pixels of images (H, W) row by row,
    of videos (T, H, W) frame by frame, the samples of sounds (T,), the codes of texts (L,).
    """

    def complete(
        self,
        examples: Tensor,
        known: Tensor,
        *,
        condition: Tensor | None = None,
        rng: torch.Generator | None = None,
        decoding: Decoding = PLAIN,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return examples (N, ...) whose components are those of `examples` where `known`, and drawn elsewhere.

        `known` is bool (N, *places), any set of places: those given after a place that is drawn have no say in it.
        `condition` is what a conditional system is told, (N, K), `rng` a generator on the CPU. `progress` is told how
        many of the components are done, of how many.
        """
        ...


@runtime_checkable
class Encodes(Protocol):
    """Describes examples by codes."""

    def encode(self, examples: Tensor) -> Tensor:
        """Return the codes (N, d) of examples (N, …): where they are random their means, so equal each time.

        Of a system that decodes too, they are latents that `decode` takes.
        """
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Makes examples again from what it keeps of them."""

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return what becomes of examples (N, …): (N, …) likewise."""
        ...


@runtime_checkable
class Compresses(Protocol):
    """Says an image in whole numbers, part after part, and before each part how likely its numbers are.

    Whoever writes and whoever reads asks the same of `expect`, in the same order, and it answers from whole numbers
    alone: so both see the same frequencies, wherever they are.
    """

    def tables(self) -> Sequence[tuple[int, Tensor]]:
        """Return the tables of frequencies: the smallest value, and int64 (n + 1,) of it and those that follow.

        The last frequency is that of all values that are not in the table; none is 0, and all tables have one sum.
        """
        ...

    def describe(self, image: Tensor) -> list[Tensor]:
        """Return the parts of one image (1, C, H, W) of any size, int64 tensors on the CPU."""
        ...

    def expect(self, said: Sequence[Tensor], height: int, width: int) -> Tensor | None:
        """Return which table each number of the next part comes from, int64 of its shape, given the parts so far.

        None after the last part of an image of this size.
        """
        ...

    def depict(self, said: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Return the image (1, C, H, W) in [-1, 1] that these parts describe."""
        ...


@runtime_checkable
class ScoresLikelihood(Protocol):
    """Says how likely it finds examples."""

    likelihood_notes: tuple[str, ...]
    """What its nats are of: pixels as stored, drawn black or white, densities."""

    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return `draws` estimates (draws, N) of the batch's examples, nats, the log of whose mean bounds log p(x).

        One row alone where log p(x) is known exactly. Draws come from the default generators.
        """
        ...


@runtime_checkable
class Classifies(Protocol):
    """Tells the classes of the data's labels apart."""

    def classify(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each class of `spec["label"]` for examples (N, …): (N, K)."""
        ...


@runtime_checkable
class Tags(Protocol):
    """Tells which of the data's attributes an example has, any number of them."""

    def tag(self, examples: Tensor) -> Tensor:
        """Return the probability of each of `spec["attributes"]` for examples (N, …): (N, K)."""
        ...


@runtime_checkable
class Clusters(Protocol):
    """Sorts examples into classes that it found without labels."""

    def cluster(self, examples: Tensor) -> Tensor:
        """Return the log-probability of each cluster for examples (N, …): (N, K)."""
        ...


@runtime_checkable
class Judges(Protocol):
    """Tells real examples from forged ones."""

    def judge(self, examples: Tensor) -> Tensor:
        """Return a score for each of the examples (N, …), judged alone: (N,), the higher the more real."""
        ...


@runtime_checkable
class KnowsItsBest(Judges, Protocol):
    """Knows what it forges so well that it can tell what the best discriminator would say of it."""

    def log_density(self, points: Tensor) -> Tensor:
        """Return log p_G at points (N, D), in nats: (N,)."""
        ...

    def best_score(self, log_p: Tensor, log_p_g: Tensor) -> Tensor:
        """Return the best discriminator's score where the data has log density (N,) and the model (N,)."""
        ...


@runtime_checkable
class Illustrates(Protocol):
    """Shows by itself what it is about."""

    def illustrate(self, log_density: LogDensity | None) -> Figure:
        """Return a figure of how things stand; `log_density` is that of the data, None where it is unknown."""
        ...


def capabilities(system: System) -> list[str]:
    """Name what can be done with a system: the protocols of this file that it satisfies."""
    return [kind.__name__ for kind in CAPABILITIES if isinstance(system, kind)]


CAPABILITIES: tuple[type, ...] = (
    *(Samples, Conditional, Completes, Decodes, Encodes, Reconstructs, Compresses, ScoresLikelihood),
    *(Classifies, Tags, Clusters, Judges, KnowsItsBest, Illustrates),
)


__all__ = [
    "Batch",
    "Classifies",
    "Clusters",
    "Completes",
    "Compresses",
    "Conditional",
    "Decodes",
    "Encodes",
    "Illustrates",
    "Judges",
    "KnowsItsBest",
    "Phase",
    "Player",
    "Portion",
    "Reconstructs",
    "Samples",
    "Schedule",
    "ScoresLikelihood",
    "System",
    "Tags",
    "Terms",
    "capabilities",
]
