"""Typed arguments: read from a signature or a class of options, and made of what a user or a file gave. No torch."""

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from kallima.errors import UsageError, did_you_mean

REQUIRED: Any = inspect.Parameter.empty
"""The default of an argument that has none."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a recipe or a command: `hint` is its type, `help` its text, `positional` if it has no name."""

    name: str
    hint: Any
    default: Any
    help: str
    positional: bool = False

    @property
    def flag(self) -> str:
        """How the command line calls it."""
        return self.name if self.positional else "--" + self.name.replace("_", "-")


def split_docstring(docstring: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into what stands before its sections, and the texts of its `Args:` by name."""
    text = inspect.cleandoc(docstring)
    sections = re.split(r"^(Args|Returns|Raises|Yields):\n", text, flags=re.MULTILINE)
    helps: dict[str, str] = {}
    for title, section in zip(sections[1::2], sections[2::2], strict=True):
        if title == "Args":
            entries = re.split(r"^(\w+): ", textwrap.dedent(section), flags=re.MULTILINE)[1:]
            helps = {name: " ".join(entry.split()) for name, entry in zip(entries[::2], entries[1::2], strict=True)}
    return sections[0].strip(), helps


def from_signature(function: Callable[..., Any]) -> list[Parameter]:
    """Read a function's arguments, with the texts of its docstring; `**options` and the like are left out."""
    helps = split_docstring(function.__doc__ or "")[1]
    return [
        Parameter(
            parameter.name,
            parameter.annotation,
            parameter.default,
            helps.get(parameter.name, ""),
            positional=parameter.kind is not parameter.KEYWORD_ONLY and parameter.default is REQUIRED,
        )
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]


@cache
def from_options(options: type) -> tuple[Parameter, ...]:
    """Read the fields of a dataclass, each with the string that stands below it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(options)))
    body = cast(ast.ClassDef, tree.body[0]).body
    helps = {}
    for above, below in itertools.pairwise(body):
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name) and isinstance(below, ast.Expr):
            helps[above.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    hints = get_type_hints(options)
    return tuple(
        Parameter(
            field.name,
            hints[field.name],
            REQUIRED if field.default is dataclasses.MISSING else field.default,
            helps.get(field.name, ""),
        )
        for field in dataclasses.fields(options)
    )


def choices(hint: Any) -> tuple[Any, ...]:
    """Return the values that a `Literal`, alone or in a union, lists."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return sum((choices(member) for member in members(hint)), ()) if is_union(hint) else ()


def is_union(hint: Any) -> bool:
    """Say whether a type is `A | B`."""
    return get_origin(hint) in (Union, types.UnionType)


def members(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union but None, or the type itself."""
    return tuple(member for member in get_args(hint) if member is not type(None)) if is_union(hint) else (hint,)


def element(hint: Any) -> tuple[Any, int | None] | None:
    """Return the type of what a tuple or sequence holds and how many of them (None: any number), or None."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Sequence, list) or (origin is tuple and len(inner) == 2 and inner[1] is Ellipsis):
        return inner[0], None
    if origin is tuple and inner and all(other == inner[0] for other in inner):
        return inner[0], len(inner)
    return None


def spell(hint: Any) -> str:
    """Write a type as the source does: `int | None`."""
    return inspect.formatannotation(hint).replace("typing.", "").replace("collections.abc.", "")


_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a path",
}


def in_words(hint: Any) -> str:
    """Describe the values of a type: `a whole number`, `centre, random or none`.

    Raises:
        TypeError: arguments of this type are not known.
    """
    if is_union(hint):
        return " or ".join(map(in_words, members(hint)))
    if listed := choices(hint):
        *most, last = map(str, listed)
        return f"{', '.join(most)} or {last}" if most else last
    if of := element(hint):
        return f"{of[1] or 'several'} of {in_words(of[0])}"
    if hint in _WORDS:
        return _WORDS[hint]
    raise TypeError(f"arguments cannot be of type {spell(hint)}")


def coerce(hint: Any, value: Any, name: str) -> Any:
    """Make a value of type `hint` of what a command line, a JSON file or a caller gave for the argument `name`.

    Whole numbers may be written 1e5, lists become tuples, and a text such as `64,128` is a list where one is wanted.

    Raises:
        UsageError: the value is of another type.
    """
    try:
        return _convert(hint, value)
    except ValueError:
        near = did_you_mean(str(value), map(str, choices(hint)))
        raise UsageError(f"{name} must be {in_words(hint)}, not {value!r}{near}") from None


def _convert(hint: Any, value: Any) -> Any:
    if is_union(hint):
        optional = type(None) in get_args(hint)
        if value is None and optional:
            return None
        for member in members(hint):
            try:
                return _convert(member, value)
            except ValueError:
                continue
        if optional and value == "none":
            return None
        raise ValueError
    if listed := choices(hint):
        for choice in listed:
            if str(choice) == str(value):
                return choice
        raise ValueError
    if of := element(hint):
        return _convert_all(*of, value)
    if isinstance(value, bool) is not (hint is bool):
        raise ValueError
    if hint is int:
        return _whole(value)
    if hint is float and isinstance(value, Real | str):
        return float(value)
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if isinstance(value, hint):
        return value
    raise ValueError


def _convert_all(hint: Any, count: int | None, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")] if value else []
    if not isinstance(value, Sequence) or count not in (None, len(value)):
        raise ValueError
    return tuple(_convert(hint, part) for part in value)


def _whole(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return _whole(float(value))
    if isinstance(value, Integral) or (isinstance(value, Real) and float(value).is_integer()):
        return int(cast(int, value))
    raise ValueError
