"""The ground of models of text: where a text begins and ends, what is never drawn, and the search for the likeliest."""

from abc import abstractmethod
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Spec, Text
from kallima.data.tokens import END, UNKNOWN
from kallima.decoding import PLAIN, Decoding
from kallima.layers.modes import evaluating
from kallima.layers.vocabulary import Vocabulary
from kallima.systems.autoregressive.ground import Autoregressive, Progress
from kallima.systems.autoregressive.text_settings import Layers
from kallima.systems.descent import Descent

GLANCE = 16  # places between looks at whether all texts have ended, for each look waits for the device


class Steps(Protocol):
    """A network on its way through N texts, which keeps what it has computed."""

    def next(self, codes: Tensor) -> Tensor:
        """Take one more code of each text, int64 (N,), and return the logits of the one that follows, (N, K)."""
        ...

    def select(self, rows: Tensor) -> None:
        """Go on with these of the texts, int64 (M,), any of them as often as it is named."""
        ...


class TextModel(Autoregressive):
    """log p(x | c) = Σᵢ log p(xᵢ | x₁, …, xᵢ₋₁, c) over the tokens of a text up to its end, and the end itself.

    `END` stands before the first token too, as the border between texts. After the end nothing is left to chance:
    every further code is `END` and costs nothing. A text that fills its whole length has no end within it. The code of
    an unknown token has a probability like any other, and is never drawn.

    A model below this one gives the logits twice: `logits_of` all places at once, and `steps`, one place after another.
    The `vocabulary` embeds codes and weighs what comes out; what a condition says is added to every embedding.
    `deviation` is that of the embedding at the start.
    """

    end: Tensor

    def __init__(
        self, spec: Spec, layers: Layers, *, deviation: float, descent: Descent, conditions: Conditions | None = None
    ):
        field = spec["text"]
        assert isinstance(field, Text)
        super().__init__(spec, count=field.shape[0], descent=descent, conditions=conditions)
        self.codes, self.tokens, self.dropout = field.codes, field.tokens, layers.dropout
        self.vocabulary = Vocabulary(field.codes, layers.width, deviation=deviation)
        self.told = nn.Linear(conditions.size, layers.width, bias=False) if conditions is not None else None
        end = torch.full((field.codes,), -torch.inf)
        end[END] = 0.0
        self.register_buffer("end", end, persistent=False)  # the logits where nothing is left to chance

    @abstractmethod
    def logits_of(self, before: Tensor, condition: Tensor | None) -> Tensor:
        """Return the logits (N, T, K) at each place, of codes int64 (N, T) of which each stands before its place."""

    @abstractmethod
    def steps(self, count: int, condition: Tensor | None) -> Steps:
        """Start on the way through `count` texts."""

    def hint(self, condition: Tensor | None) -> Tensor | None:
        """Return what a condition (N, C) adds to each embedding of its text: (N, 1, width)."""
        return None if self.told is None or condition is None else self.told(condition)[:, None]

    def components_of(self, examples: Tensor) -> Tensor:
        """Return texts as they are: their codes (N, T) are the components."""
        return examples

    def examples_of(self, components: Tensor) -> Tensor:
        """Return codes (N, T) as they are."""
        return components

    def parameters_of(self, components: Tensor, condition: Tensor | None) -> Tensor:
        """Return the logits of every code given those before it: (N, T, K)."""
        before = F.pad(components[:, :-1], (1, 0), value=END)
        over = F.pad(((components == END).cumsum(1) > 0)[:, :-1], (1, 0))
        return torch.where(over[..., None], self.end, self.logits_of(before, condition))

    def walk(self, count: int, condition: Tensor | None) -> "TextWalk":
        """Start a way through the codes of `count` texts."""
        return TextWalk(self, count, condition)

    def choose(self, parameters: Tensor, decoding: Decoding, rng: torch.Generator) -> Tensor:
        """Draw a code int64 (N,) of its logits (N, K), but never `UNKNOWN`."""
        return decoding.draw(_known_only(parameters), rng)

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return (
            f"exact, of texts in {self.codes - 2:,} {self.tokens}s, their end and the unknown, which is one code; "
            f"the end counts, and what lies beyond {self.count:,} codes is cut off",
        )

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
        """Return texts (N, T) with what is not `known`, bool (N, T), drawn anew, or searched for with beams.

        The beams hold the likeliest beginnings, as many of each text; what comes back is the whole with the highest
        log p(x | c) of those found: not divided by its length, so that short texts have an advantage, as they do in the
        model. With as many beams as there are beginnings it is the likeliest of all.
        """
        if decoding.beams == 1:
            return super().complete(examples, known, condition=condition, rng=rng, decoding=decoding, progress=progress)
        if self.conditional and condition is None:
            condition = self.conditions.draw(len(examples), rng or torch.default_generator)
        with evaluating(self), torch.inference_mode():
            condition = None if condition is None else condition.to(self.device)
            found = self._search(examples, known, condition, decoding.beams, progress)
        return found.clone()  # a tensor like any other again

    def _search(
        self, given: Tensor, fixed: Tensor, condition: Tensor | None, beams: int, progress: Progress | None
    ) -> Tensor:
        """Return the likeliest texts (N, T) that `beams` beginnings of each lead to."""
        texts, total = given.shape
        walk = self.walk(texts * beams, None if condition is None else condition.repeat_interleave(beams, 0))
        made = given.new_zeros(texts * beams, total)
        scores = torch.full((texts, beams), -torch.inf, device=given.device)
        scores[:, 0] = 0.0  # all beams begin alike: one stands for them
        first = torch.arange(texts, device=given.device)[:, None] * beams  # where the beams of each text lie
        for place in range(total):
            gains = walk.parameters().float().log_softmax(-1).view(texts, beams, self.codes)
            asked = given[:, place, None, None].expand(-1, beams, 1)
            forced = torch.full_like(gains, -torch.inf).scatter(2, asked, gains.gather(2, asked))
            gains = torch.where(fixed[:, place, None, None], forced, _known_only(gains))
            scores, best = (scores[..., None] + gains).flatten(1).topk(beams, 1)
            rows, codes = (first + best // self.codes).flatten(), best % self.codes
            codes = torch.where(
                fixed[:, place, None], given[:, place, None], codes
            ).flatten()  # even where it cannot be
            made = made[rows]
            made[:, place] = codes
            walk.select(rows)
            walk.take(codes)
            if progress is not None:
                progress(place + 1, total)
        return made.view(texts, beams, total)[:, 0]  # the best comes first


class TextWalk:
    """The way through texts that leaves nothing to chance after their end, and no work to the network."""

    def __init__(self, model: TextModel, count: int, condition: Tensor | None):
        self.end = model.end
        self._steps = model.steps(count, condition)
        self._last = torch.full((count,), END, dtype=torch.int64, device=model.device)
        self._over = torch.zeros(count, dtype=torch.bool, device=model.device)
        self._all_over, self._place = False, 0
        self._logits: Tensor | None = None

    def parameters(self) -> Tensor:
        """Return the logits of the next code: (N, K)."""
        if self._logits is None:
            if self._all_over:
                self._logits = self.end.expand(len(self._last), -1)
            else:
                self._logits = torch.where(self._over[:, None], self.end, self._steps.next(self._last))
        return self._logits

    def take(self, components: Tensor) -> None:
        """Go on by one code, int64 (N,)."""
        self.parameters()  # what was not asked for has to be seen nonetheless
        self._last, self._logits = components, None
        self._over = self._over | (components == END)
        self._place += 1
        if self._place % GLANCE == 0 and not self._all_over:
            self._all_over = bool(self._over.all())

    def select(self, rows: Tensor) -> None:
        """Go on with these of the texts, int64 (M,)."""
        self._steps.select(rows)
        self._last, self._over = self._last[rows], self._over[rows]
        self._logits = None if self._logits is None else self._logits[rows]


def _known_only(logits: Tensor) -> Tensor:
    """Return logits (..., K) under which the unknown is never drawn."""
    barred = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    barred[UNKNOWN] = True
    return logits.masked_fill(barred, -torch.inf)
