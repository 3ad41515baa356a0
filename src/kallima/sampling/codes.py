"""What a latent is made of: its parts, what kind each is, and what can be walked along."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kallima.data.spec import Label
from kallima.errors import UsageError, did_you_mean
from kallima.sampling.interpolation import NOISE
from kallima.system import Conditional, Decodes

Kind = Literal["category", "switch", "number"]

FIRST = 8
"""How many coordinates of the noise are walked along where a latent has nothing else."""

_DRAWS = 256  # latents that are looked at to see of what kind a part is


@dataclass(frozen=True)
class Code:
    """One thing in a latent that can be changed by itself, at `place`.

    A category is one-hot over `classes`, a switch 0 or 1, a number anything.
    """

    name: str
    place: slice
    kind: Kind
    classes: tuple[str, ...] = ()

    def values(self, steps: int, span: float) -> Tensor:
        """Return what it goes through, (S, width): each class, 0 to 1, or −span to span in so many steps."""
        if self.kind == "category":
            return torch.eye(len(self.classes))
        start, end = (0.0, 1.0) if self.kind == "switch" else (-span, span)
        return torch.linspace(start, end, steps)[:, None]

    def say(self, span: float) -> str:
        """Say what it goes through."""
        if self.kind == "category":
            return f"{self.name}: {self.classes[0]} … {self.classes[-1]}"
        return f"{self.name}: 0 … 1" if self.kind == "switch" else f"{self.name}: −{span:g} … {span:g}"


def codes_of(system: Decodes) -> list[Code]:
    """Return all that is in a system's latents but the noise; numbers in one part are `name[0]`, `name[1]`, ….

    The kind of a part shows in what the prior draws of it.
    """
    draws = system.latents(_DRAWS, rng=torch.Generator().manual_seed(0)).cpu()
    found: list[Code] = []
    for name, place in system.parts.items():
        if name != NOISE:
            found += _codes(name, place, draws[:, place], _classes(system, name))
    return found


def chosen(system: Decodes, along: Sequence[str] | None) -> list[Code]:
    """Return what to walk along: names of parts, or numbers of coordinates, from 0.

    By default all that is not noise, and of noise alone the first coordinates.

    Raises:
        UsageError: nothing of that name is in a latent.
    """
    codes = codes_of(system)
    size = max(place.stop for place in system.parts.values())
    if along is None:
        noise = system.parts.get(NOISE, slice(0, size))
        return codes or [_coordinate(index) for index in range(noise.start, min(noise.stop, noise.start + FIRST))]
    found: list[Code] = []
    for name in along:
        own = [code for code in codes if code.name == name or re.fullmatch(re.escape(name) + r"\[\d+\]", code.name)]
        if own:
            found += own
        elif name.isdecimal() and int(name) < size:
            found.append(_coordinate(int(name)))
        else:
            names = [code.name for code in codes]
            there = f"there is {', '.join(names)}, or" if names else "there are"
            near = did_you_mean(name, names) or f"; {there} the coordinates 0 to {size - 1}"
            raise UsageError(f"nothing called '{name}' is in a latent{near}")
    return found


def held(system: Decodes) -> Tensor:
    """Return which places of a latent are no numbers, (d,): classes and switches, which cannot be slid along."""
    mask = torch.zeros(max(place.stop for place in system.parts.values()), dtype=torch.bool)
    for code in codes_of(system):
        mask[code.place] = code.kind != "number"
    if isinstance(system, Conditional):
        for name in system.conditions.parts:
            mask[system.parts[name]] = True
    return mask


def _codes(name: str, place: slice, draws: Tensor, classes: tuple[str, ...]) -> list[Code]:
    binary = bool(((draws == 0) | (draws == 1)).all())
    width = place.stop - place.start
    if width == 1:
        return [Code(name, place, "switch" if binary else "number")]
    if binary and bool((draws.sum(1) == 1).all()):
        return [Code(name, place, "category", classes or tuple(map(str, range(width))))]
    return [Code(f"{name}[{i}]", slice(place.start + i, place.start + i + 1), "number") for i in range(width)]


def _classes(system: Decodes, name: str) -> tuple[str, ...]:
    part = system.conditions.parts.get(name) if isinstance(system, Conditional) else None
    return part.field.classes if part is not None and isinstance(part.field, Label) else ()


def _coordinate(index: int) -> Code:
    return Code(str(index), slice(index, index + 1), "number")
