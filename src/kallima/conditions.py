"""What a system can be asked for: fields of the data as one vector an example, and the wishes of a user."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kallima.data.batch import Batch
from kallima.data.spec import Attributes, Audio, Field, Label, Spec, Values
from kallima.errors import UsageError, did_you_mean
from kallima.layers.memory import Memory
from kallima.senses import SENSES, Hearing, Sense, Sound

KINDS: dict[str, type[Field]] = {"label": Label, "attributes": Attributes, "values": Values, "domain": Label}
"""The fields that a system can be conditioned on, in the order in which they lie in the vector; then those of SENSES,
where the system can read or hear."""

REMEMBERED = 4096
"""How many of the latest conditions a system knows, to draw from as the data does; of those that are long fewer."""
_REMEMBERED_NUMBERS = 1 << 20

Wishes = Mapping[str, str | float | bool]
"""What is asked for, by name: of a label the class, of an attribute true or false, of a value the number, of a text its
words, of a sound its file, and "gain", by how many decibels it is to be louder."""

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

    A label is one of its classes (one-hot), each attribute 0 or 1, each value standardised; of `senses` it is what
    `Sense` makes of a text or a sound. `memory` (REMEMBERED, size) holds the conditions of the latest training
    examples: what is not asked for is drawn from there, jointly, so that unconditional samples have the data's own
    mixture of conditions. Before training it holds every class in turn, fair coins and normal numbers.

    Args:
        spec: what the data is.
        fields: which fields; by default all of KINDS that the data has.
        sensed: whether the system reads texts and hears sounds; by default those are refused.
        hearing: what is kept of a sound.
    """

    def __init__(self, spec: Spec, fields: Sequence[str] = (), *, sensed: bool = False, hearing: Hearing = "log-mel"):
        super().__init__()
        self.fields = tuple(fields) or tuple(name for name in KINDS if isinstance(spec.get(name), KINDS[name]))
        known = KINDS | ({name: kind for name, (kind, _) in SENSES.items()} if sensed else {})
        for name in self.fields:
            if name not in known:
                raise UsageError(
                    f"cannot condition on '{name}'{did_you_mean(name, known) or '; only on'} {', '.join(known)}"
                )
        spec.demand({name: known[name] for name in self.fields}, "this condition")
        self.kinds = {name: spec[name] for name in self.fields}
        self.senses = nn.ModuleDict()
        for name in (name for name in self.fields if name in SENSES):
            kind, sense = self.kinds[name], SENSES[name][1]
            self.senses[name] = Sound(kind, hearing) if isinstance(kind, Audio) else sense(kind)
        self.parts: dict[str, Part] = {}
        self.size = 0
        for name, kind in self.kinds.items():
            for part, width in [(name, self._sense(name).size)] if name in self.senses else _parts(name, kind):
                if part in self.parts:
                    raise UsageError(f"two conditions are called '{part}': rename a column, or choose one field")
                self.parts[part] = Part(part, kind, slice(self.size, self.size + width))
                self.size += width
        self.memory = Memory(self._first())

    def vectors(self, batch: Batch) -> Tensor:
        """Return the conditions of a batch's examples (N, size)."""
        columns = []
        for name, kind in self.kinds.items():
            if name in self.senses:
                columns.append(self._sense(name).vectors(batch))
                continue
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
            DataError: a sound cannot be used.
        """
        wanted, places = torch.zeros(self.size), torch.zeros(self.size, dtype=torch.bool)
        for name, value in self._own(wishes).items():
            part = self._part(name)
            if name in self.senses:
                sense = self._sense(name)
                beside = {other: str(wishes[other]) for other in sense.other if other in wishes}
                found = sense.encoded(str(value), beside).cpu()
            else:
                found = _encoded(part, value)
            wanted[part.place], places[part.place] = found, True
        memory = self.memory.rows.cpu()
        near = (memory[:, places] - wanted[places]).abs().amax(1) < 1e-4 if wishes else torch.ones(len(memory)) > 0
        pool = memory[near] if near.any() else memory
        drawn = pool[torch.randint(len(pool), (count,), generator=rng)].clone()
        drawn[:, places] = wanted[places]
        return drawn.to(self.memory.rows.device)

    def read(self, text: str) -> list[dict[str, str]]:
        """Read wishes such as `label=G, bold=true; label=A` (a row each); `label=*` stands for every class.

        A name or class with a comma, a semicolon or an equals sign goes into double quotes: label=",". Of a system that
        reads or hears, what is without a name is the text or the sound's file: `blue hair, red eyes`, or
        `three.wav, gain=6; four.wav`.

        Raises:
            UsageError: it cannot be read, or nothing of that name can be asked for.
        """
        rows: list[dict[str, str]] = []
        written = re.findall(r'(?:"[^"]*"|[^;])+', text)
        for row in [row for row in written if row.strip()] or [""]:
            wishes: dict[str, str] = {}
            row = self._named(row)
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
        shown = []
        for name, part in list(self.parts.items())[:2]:
            example = self._sense(name).example() if name in self.senses else _example(part)
            shown.append(f"{_quoted(name)}={example}")
        return ",".join(shown)

    def shown(self, most: int = 10) -> list[dict[str, str]]:
        """Return rows of wishes that show what can be asked for: `most` classes, or each property without and with."""
        first = next(iter(self.parts.values()))
        if first.name in self.senses:
            return [{}]
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

    def _sense(self, name: str) -> Sense:
        sense = self.senses[name]
        assert isinstance(sense, Sense)
        return sense

    def _own(self, wishes: Wishes) -> Wishes:
        """Return the wishes without what only says how another is meant.

        Raises:
            UsageError: that other one is missing.
        """
        others = {other: name for name in self.senses for other in self._sense(name).other}
        for other, name in others.items():
            if other in wishes and name not in wishes:
                raise UsageError(f"'{other}' goes with '{name}': give both, as {self.example()},{other}=6")
        return {name: value for name, value in wishes.items() if name not in others}

    def _named(self, row: str) -> str:
        """Give a name to what is to be read or heard where it has none: all before the first name, or all."""
        if len(self.senses) != 1 or not row.strip():
            return row
        name = next(iter(self.senses))
        plain, named = row, ""
        if "=" in row:
            plain, comma, named = row.partition(",")
            if "=" in plain:
                return row
            named = comma + named
        return f'{name}="{plain.strip().strip(chr(34))}"{named}'

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
        rows = min(REMEMBERED, max(64, _REMEMBERED_NUMBERS // self.size))
        columns, turn = [], torch.arange(rows)
        for name, kind in self.kinds.items():
            if name in self.senses:
                columns.append(self._sense(name).first(rows))
            elif isinstance(kind, Label):
                columns.append(torch.eye(len(kind.classes))[turn % len(kind.classes)])
                turn = turn // len(kind.classes)  # so that each class meets each of a second label's
            elif isinstance(kind, Attributes):
                columns.append(torch.randint(2, (rows, len(kind.names)), generator=rng).float())
            elif isinstance(kind, Values):
                columns.append(torch.randn(rows, len(kind.names), generator=rng))
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
