"""What a system can be asked for: fields of the data as one vector an example, and the wishes of a user."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kallima.data.batch import Batch
from kallima.data.spec import Attributes, Field, Label, Spec, Values
from kallima.errors import UsageError, did_you_mean
from kallima.layers.memory import Memory

KINDS: dict[str, type[Field]] = {"label": Label, "attributes": Attributes, "values": Values, "domain": Label}
"""The fields that a system can be conditioned on, in the order in which they lie in the vector."""

REMEMBERED = 4096
"""How many of the latest conditions a system knows, to draw from as the data does."""

Wishes = Mapping[str, str | float | bool]
"""What is asked for, by name: of a label the class, of an attribute true or false, of a value the number."""

_YES = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0}
_WISH = re.compile(r'\s*("[^"]*"|[^=,;"]+?)\s*=\s*("[^"]*"|[^,;"]*?)\s*(?:,|$)')
_PLAIN = re.compile(r'[^\s=,;"]([^=,;"]*[^\s=,;"])?')  # what can be written without quotes


@dataclass(frozen=True)
class Part:
    """One thing that can be asked for: a field, or one of its attributes or values, at `place` of the vector."""

    name: str
    field: Field
    place: slice


class Conditions(nn.Module):
    """The conditions of a system: `size` numbers an example, and a memory of those that the data has.

    A label is one of its classes (one-hot), each attribute 0 or 1, each value standardised. `memory` (REMEMBERED, size)
    holds the conditions of the latest training examples: what is not asked for is drawn from there, jointly, so that
    unconditional samples have the data's own mixture of conditions. Before training it holds every class in turn,
    fair coins and normal numbers.
    """

    def __init__(self, spec: Spec, fields: Sequence[str] = ()):
        super().__init__()
        self.fields = tuple(fields) or tuple(name for name in KINDS if isinstance(spec.get(name), KINDS[name]))
        for name in self.fields:
            if name not in KINDS:
                raise UsageError(
                    f"cannot condition on '{name}'{did_you_mean(name, KINDS) or '; only on'} {', '.join(KINDS)}"
                )
        spec.demand({name: KINDS[name] for name in self.fields}, "this condition")
        self.kinds = {name: spec[name] for name in self.fields}
        self.parts: dict[str, Part] = {}
        self.size = 0
        for name, kind in self.kinds.items():
            for part, width in _parts(name, kind):
                if part in self.parts:
                    raise UsageError(f"two conditions are called '{part}': rename a column, or choose one field")
                self.parts[part] = Part(part, kind, slice(self.size, self.size + width))
                self.size += width
        self.memory = Memory(self._first())

    def vectors(self, batch: Batch) -> Tensor:
        """Return the conditions of a batch's examples (N, size)."""
        columns = []
        for name, kind in self.kinds.items():
            value = batch[name]
            if isinstance(kind, Label):
                value = nn.functional.one_hot(value, len(kind.classes))
            columns.append(value.to(torch.float32))
        return torch.cat(columns, 1)

    def remember(self, vectors: Tensor) -> None:
        """Take conditions (N, size) into the memory, in the place of the oldest."""
        self.memory.remember(vectors)

    def draw(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` conditions as the data has them, (count, size); `rng` is a generator on the CPU."""
        return self.memory.draw(count, rng)

    def meet(self, wishes: Wishes, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Return `count` conditions (count, size) that meet the wishes, by name: of a class its name.

        What is not wished for is drawn from what the data has together with it, or at all where it has that nowhere.

        Raises:
            UsageError: nothing of that name can be asked for, or not that.
        """
        wanted, places = torch.zeros(self.size), torch.zeros(self.size, dtype=torch.bool)
        for name, value in wishes.items():
            part = self._part(name)
            wanted[part.place], places[part.place] = _encoded(part, value), True
        memory = self.memory.rows.cpu()
        near = (memory[:, places] - wanted[places]).abs().amax(1) < 1e-4 if wishes else torch.ones(len(memory)) > 0
        pool = memory[near] if near.any() else memory
        drawn = pool[torch.randint(len(pool), (count,), generator=rng)].clone()
        drawn[:, places] = wanted[places]
        return drawn.to(self.memory.rows.device)

    def read(self, text: str) -> list[dict[str, str]]:
        """Read wishes such as `label=G, bold=true; label=A` (a row each); `label=*` stands for every class.

        A name or class with a comma, a semicolon or an equals sign goes into double quotes: label=",".

        Raises:
            UsageError: it cannot be read, or nothing of that name can be asked for.
        """
        rows: list[dict[str, str]] = []
        written = re.findall(r'(?:"[^"]*"|[^;])+', text)
        for row in [row for row in written if row.strip()] or [""]:
            wishes: dict[str, str] = {}
            end = 0
            while end < len(row.rstrip()):
                found = _WISH.match(row, end)
                if found is None:
                    raise UsageError(f"cannot read the condition '{row.strip()}': write it as {self.example()}")
                wishes[found[1].strip('"')] = found[2].strip('"')
                end = found.end()
            rows += self._every(wishes)
        return rows

    def example(self) -> str:
        """Show how a condition is written."""
        return ",".join(f"{_quoted(part.name)}={_example(part)}" for part in list(self.parts.values())[:2])

    def shown(self, most: int = 10) -> list[dict[str, str]]:
        """Return rows of wishes that show what can be asked for: `most` classes, or each property without and with."""
        first = next(iter(self.parts.values()))
        if isinstance(first.field, Label):
            classes = first.field.classes
            chosen = classes if len(classes) <= most else [classes[i * len(classes) // most] for i in range(most)]
            return [{first.name: each} for each in chosen]
        rows = []
        for part in self.parts.values():
            ends = ["false", "true"]
            if isinstance(part.field, Values):
                place = part.field.names.index(part.name)
                ends = [f"{part.field.offset[place] + end * part.field.scale[place]:.6g}" for end in (-1.5, 1.5)]
            rows += [{part.name: end} for end in ends]
        return rows[:most]

    def say(self, wishes: Wishes) -> str:
        """Write wishes as `read` reads them."""
        return ", ".join(f"{_quoted(name)}={_quoted(str(value))}" for name, value in wishes.items()) or "as in the data"

    def _every(self, wishes: dict[str, str]) -> list[dict[str, str]]:
        starred = [name for name, value in wishes.items() if value == "*"]
        if not starred:
            return [wishes]
        part = self._part(starred[0])
        choices = part.field.classes if isinstance(part.field, Label) else ("false", "true")
        if isinstance(part.field, Values):
            raise UsageError(f"'{part.name}' is a number and has no list of values: give one")
        return [row for choice in choices for row in self._every({**wishes, starred[0]: choice})]

    def _part(self, name: str) -> Part:
        if name not in self.parts:
            near = did_you_mean(name, self.parts) or f"; there is {', '.join(self.parts)}"
            raise UsageError(f"nothing called '{name}' can be asked for{near}")
        return self.parts[name]

    def _first(self) -> Tensor:
        rng = torch.Generator().manual_seed(0)
        columns, turn = [], torch.arange(REMEMBERED)
        for kind in self.kinds.values():
            if isinstance(kind, Label):
                columns.append(torch.eye(len(kind.classes))[turn % len(kind.classes)])
                turn = turn // len(kind.classes)  # so that each class meets each of a second label's
            elif isinstance(kind, Attributes):
                columns.append(torch.randint(2, (REMEMBERED, len(kind.names)), generator=rng).float())
            elif isinstance(kind, Values):
                columns.append(torch.randn(REMEMBERED, len(kind.names), generator=rng))
        return torch.cat(columns, 1)


def _parts(name: str, kind: Field) -> list[tuple[str, int]]:
    if isinstance(kind, Label):
        return [(name, len(kind.classes))]
    assert isinstance(kind, (Attributes, Values))
    return [(each, 1) for each in kind.names]


def _encoded(part: Part, value: str | float | bool) -> Tensor:
    """Return what a wish is in the vector."""
    if isinstance(part.field, Label):
        classes = part.field.classes
        if str(value) not in classes:
            near = did_you_mean(str(value), classes) or f"; there is {', '.join(classes)}"
            raise UsageError(f"{part.name} has no class '{value}'{near}")
        return torch.eye(len(classes))[classes.index(str(value))]
    if isinstance(part.field, Attributes):
        if str(value).lower() not in _YES:
            raise UsageError(f"{part.name} is true or false, not '{value}'")
        return torch.tensor([_YES[str(value).lower()]])
    assert isinstance(part.field, Values)
    place = part.field.names.index(part.name)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{part.name} is a number, not '{value}'")
    return torch.tensor([(number - part.field.offset[place]) / part.field.scale[place]])


def _example(part: Part) -> str:
    if isinstance(part.field, Label):
        return _quoted(part.field.classes[0])
    return "true" if isinstance(part.field, Attributes) else "1.5"


def _quoted(word: str) -> str:
    return word if _PLAIN.fullmatch(word) else f'"{word}"'
