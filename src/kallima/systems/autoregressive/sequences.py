"""The ground of models that read an image as one long sequence of components."""

from abc import abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from kallima.data.spec import Spec
from kallima.systems.autoregressive.ground import Walk
from kallima.systems.autoregressive.pixels import ImageModel
from kallima.systems.descent import Descent


class Reader(Protocol):
    """A network on its way through a sequence, that keeps what it needs of what it has read."""

    def read(self, vectors: Tensor) -> Tensor:
        """Take one more place (N, width) in and return what the network makes of it (N, width)."""
        ...


class Sequence(ImageModel):
    """A network that reads a vector for each component, red's, green's and blue's their own, and says what comes next.

    A model is a network: `reads` of all places at once, and a `reader` through them.
    """

    def __init__(self, spec: Spec, *, levels: int | None, width: int, descent: Descent):
        super().__init__(spec, levels=levels, descent=descent)
        self.vectors = nn.Embedding(1 + self.parts * self.alphabet.choices, width)  # the first is of the beginning
        self.logits = nn.Linear(width, self.alphabet.choices)
        first = 1 + self.alphabet.choices * (torch.arange(self.count) % self.parts)
        self.register_buffer("codes_before", first, persistent=False)

    codes_before: Tensor
    """How many vectors come before those of a place's part, (T,)."""

    @abstractmethod
    def reads(self, vectors: Tensor) -> Tensor:
        """Return what the network makes of each place and those before it, (N, T, width) of the same shape."""

    @abstractmethod
    def reader(self, count: int) -> Reader:
        """Start through `count` sequences."""

    def before(self, components: Tensor) -> Tensor:
        """Return the vector of the component that is before each of components (N, T), or of the beginning."""
        codes = (components + self.codes_before)[:, :-1]
        return self.vectors(torch.cat([torch.zeros_like(components[:, :1]), codes], 1))

    def says(self, before: Tensor, condition: Tensor | None) -> Tensor:
        """Return the logits (N, T, K) of each component, given the vectors before (N, T, width)."""
        return self.logits(self.reads(before))

    def parameters_of(self, components: Tensor, condition: Tensor | None) -> Tensor:
        """Return the distribution of every component given those before it: (N, T, K)."""
        return self.says(self.before(components), condition)

    def walk(self, count: int, condition: Tensor | None) -> Walk:
        """Start a way through the components of `count` images."""
        return SequenceWalk(self, count)


class SequenceWalk:
    """The way through a sequence: a `Walk` by a `Reader`."""

    def __init__(self, model: Sequence, count: int):
        self.model, self.reader, self.place = model, model.reader(count), 0
        self.codes = torch.zeros(count, dtype=torch.int64, device=model.device)

    def parameters(self) -> Tensor:
        """Return the distribution of the next component (N, K); to be asked once a place."""
        return self.model.logits(self.reader.read(self.model.vectors(self.codes)))

    def take(self, components: Tensor) -> None:
        """Go on by one component (N,)."""
        self.codes = components + self.model.codes_before[self.place]
        self.place += 1
