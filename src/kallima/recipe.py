"""Recipes: named, documented ways to build a system for a spec, and the registry that reads them without torch.

A recipe is a function below `@recipe(…)` in a file under `systems/`. Listing them all reads those chunks of source;
one recipe's arguments are evaluated from its signature alone; only building a system imports the file, and torch.
"""

import ast
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from kallima.arguments import (
    REQUIRED,
    Parameter,
    coerce,
    from_options,
    from_signature,
    in_words,
    spell,
    split_docstring,
)
from kallima.data.spec import Field, Spec, remedy_of
from kallima.errors import DataError, UsageError, did_you_mean
from kallima.static import class_docstring, stub

if TYPE_CHECKING:
    from kallima.system import System

Needs = Mapping[str, type[Field]]
"""The fields that the data must have, by name."""

Builder = TypeVar("Builder", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """What `@recipe` says: name, family, paper, the fields it needs (several: any of them will do), and its length."""

    name: str
    family: str
    paper: str
    needs: Needs | tuple[Needs, ...]
    steps: int
    batch_size: int
    view: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alternatives(self) -> tuple[Needs, ...]:
        """Each set of fields that will do."""
        return self.needs if isinstance(self.needs, tuple) else (self.needs,)


def recipe(
    name: str,
    *,
    family: str,
    paper: str,
    needs: Needs | tuple[Needs, ...],
    steps: int,
    batch_size: int,
    view: Mapping[str, Any] = MappingProxyType({}),
) -> Callable[[Builder], Builder]:
    """Declare a recipe: `function(spec, *, typed arguments with defaults) -> System`, which is returned unchanged.

    Everything is written out where it stands, for it is read from the source; the declaration is kept on the function
    as `function.declaration`.

    Args:
        name: what the command line calls it.
        family: the folder of `systems/` that its file lies in.
        paper: where it comes from, with year and identifier.
        needs: the fields that the data must have, by name; a tuple of such mappings where any of them will do.
        steps: how long it trains by default.
        batch_size: how many examples a step by default.
        view: how it looks at data where the user does not say, by the name of the option: {"tokens": "word"}.
    """

    def declare(function: Builder) -> Builder:
        vars(function)["declaration"] = Declaration(name, family, paper, needs, steps, batch_size, view)
        return function

    return declare


@dataclass(frozen=True)
class Recipe:
    """A recipe as it stands in its file: what it is, what data it needs, what it can be told, and how to build it."""

    declaration: Declaration
    function: str
    docstring: str
    returns: str  # the class it builds
    file: Path
    module: str

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return self.declaration.name

    @property
    def family(self) -> str:
        """The kind of model, such as `adversarial`."""
        return self.declaration.family

    @property
    def paper(self) -> str:
        """Authors, year and identifier."""
        return self.declaration.paper

    @property
    def needs(self) -> tuple[Needs, ...]:
        """The fields that the data must have, by name: any one of these mappings will do."""
        return self.declaration.alternatives

    @property
    def steps(self) -> int:
        """How long it trains by default."""
        return self.declaration.steps

    @property
    def batch_size(self) -> int:
        """How many examples a step by default."""
        return self.declaration.batch_size

    @property
    def view(self) -> Mapping[str, Any]:
        """How it looks at data by default, by the name of the option."""
        return self.declaration.view

    @property
    def description(self) -> str:
        """The recipe's own text, without its arguments."""
        return split_docstring(self.docstring)[0]

    @property
    def summary(self) -> str:
        """The first paragraph of its text as one line, without the full stop."""
        return " ".join(self.description.split("\n\n")[0].split()).rstrip(".")

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The arguments, in order, with types, defaults and texts; evaluated without importing torch.

        An argument that is a dataclass stands for its fields: what several recipes can be told is written once.

        Raises:
            TypeError: the signature is not one that a recipe may have.
        """
        flat = []
        for parameter in self._signature:
            if parameter.name in self._groups:
                defaults = parameter.default
                flat += [replace(p, default=getattr(defaults, p.name)) for p in from_options(parameter.hint)]
            else:
                flat.append(parameter)
        for parameter in flat:
            in_words(parameter.hint)
        return flat

    @cached_property
    def _groups(self) -> dict[str, type]:
        return {p.name: p.hint for p in self._signature if is_dataclass(p.hint) and isinstance(p.hint, type)}

    @cached_property
    def _signature(self) -> list[Parameter]:
        function = stub(self.file, self.function)
        if function.__code__.co_varnames[: function.__code__.co_argcount] != ("spec",):
            raise TypeError(f"{self.file}: {self.function} must take (spec, *, arguments)")
        parameters = from_signature(function)
        for parameter in parameters[1:]:
            if parameter.default is REQUIRED or parameter.hint is REQUIRED:
                raise TypeError(f"{self.file}: {self.function}: '{parameter.name}' needs a type and a default")
        return parameters[1:]

    @cached_property
    def card(self) -> str:
        """The docstring of the class that it builds: paper, equations, symbols, deviations."""
        return class_docstring(self.file, self.returns)

    def check(self, spec: Spec) -> None:
        """Refuse data that lacks what the recipe needs.

        Raises:
            DataError: a needed field is absent; the message says what would give it.
        """
        if len(self.needs) == 1:
            spec.demand(self.needs[0], self.name)
            return
        lacking = [
            [name for name, kind in needs.items() if not isinstance(spec.get(name), kind)] for needs in self.needs
        ]
        least = min(map(len, lacking))
        if least:
            near = [(needs, names) for needs, names in zip(self.needs, lacking, strict=True) if len(names) == least]
            wanted = " or ".join(describe(needs) for needs, _ in near)
            remedies = dict.fromkeys(remedy_of(name, needs[name]) for needs, names in near for name in names)
            raise DataError(f"{self.name} needs {wanted}, but the data has only {spec}: {'; or '.join(remedies)}")

    def resolve(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return every argument of the recipe: those given, as their types, and the defaults of the others.

        Raises:
            UsageError: an unknown argument, or a value of another type.
        """
        parameters = {parameter.name: parameter for parameter in self.parameters}
        for name in arguments:
            if name not in parameters:
                raise UsageError(f"{self.name} has no argument '{name}'{did_you_mean(name, parameters)}")
        return {
            name: coerce(parameter.hint, arguments[name], name) if name in arguments else parameter.default
            for name, parameter in parameters.items()
        }

    def build(self, spec: Spec, **arguments: Any) -> "System":
        """Build the system for a spec.

        Raises:
            DataError: the data lacks what the recipe needs.
            UsageError: an unknown argument, or a value of another type.
        """
        self.check(spec)
        resolved = self.resolve(arguments)
        for name, group in self._groups.items():
            resolved[name] = group(**{field.name: resolved.pop(field.name) for field in fields(group)})
        system = getattr(importlib.import_module(self.module), self.function)(spec, **resolved)
        system.spec = spec
        return system

    def to_json(self) -> dict[str, Any]:
        """Return what a list of recipes shows, as a JSON object."""
        return {
            "name": self.name,
            "family": self.family,
            "paper": self.paper,
            "summary": self.summary,
            "needs": [{name: kind.__name__ for name, kind in needs.items()} for needs in self.needs],
            "steps": self.steps,
            "batch_size": self.batch_size,
        }

    def arguments_to_json(self) -> list[dict[str, Any]]:
        """Return the arguments as JSON objects with name, type, default and help."""
        return [{"name": p.name, "type": spell(p.hint), "default": p.default, "help": p.help} for p in self.parameters]


def describe(needs: Needs) -> str:
    """Name the needed fields: `'image' (Image) and 'label' (Label)`."""
    return " and ".join(f"'{name}' ({kind.__name__})" for name, kind in needs.items())


def recipes() -> dict[str, Recipe]:
    """Return every recipe by name, sorted."""
    return dict(_builtin())


def get_recipe(name: str) -> Recipe:
    """Return one recipe.

    Raises:
        UsageError: there is none of that name.
    """
    known = _builtin()
    if name not in known:
        raise UsageError(f"no recipe '{name}'{did_you_mean(name, known) or '; see kallima recipes'}")
    return known[name]


@cache
def _builtin() -> dict[str, Recipe]:
    return read_recipes(Path(__file__).parent / "systems", "kallima.systems")


def read_recipes(folder: Path, package: str) -> dict[str, Recipe]:
    """Read the recipes of all files below a folder, which is the package `package`, and sort them by name.

    Raises:
        ValueError: two recipes have one name.
        TypeError: a declaration cannot be read; the message names the file.
    """
    found: dict[str, Recipe] = {}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        for one in _read_file(file, ".".join((package, *parts))):
            if one.name in found:
                raise ValueError(f"two recipes are called '{one.name}': in {found[one.name].file} and in {file}")
            found[one.name] = one
    return dict(sorted(found.items()))


# From a decorator at the start of a line to the first line after its `def` that starts something else.
_CHUNK = re.compile(r"^@recipe\(.*?^def .*?(?=^[^\s)]|\Z)", re.DOTALL | re.MULTILINE)


def _read_file(file: Path, module: str) -> Iterator[Recipe]:
    text = file.read_text(encoding="utf-8")
    for chunk in _CHUNK.finditer(text):
        where = f"{file}:{text.count(chr(10), 0, chunk.start()) + 1}"
        function = ast.parse(chunk.group()).body[0]
        if not isinstance(function, ast.FunctionDef) or not isinstance(function.returns, ast.Name):
            raise TypeError(f"{where}: a recipe is a function that names the class it returns")
        call = function.decorator_list[0]
        assert isinstance(call, ast.Call)
        yield Recipe(
            declaration=_declaration(call, where),
            function=function.name,
            docstring=ast.get_docstring(function) or "",
            returns=function.returns.id,
            file=file,
            module=module,
        )


def _declaration(call: ast.Call, where: str) -> Declaration:
    try:
        values: dict[str, Any] = {
            str(k.arg): _needs(k.value) if k.arg == "needs" else ast.literal_eval(k.value) for k in call.keywords
        }
        return Declaration(*map(ast.literal_eval, call.args), **values)
    except (TypeError, ValueError, KeyError) as error:
        raise TypeError(f"{where}: cannot read this @recipe ({error}); its values are written out in place") from error


def _needs(node: ast.expr) -> Needs | tuple[Needs, ...]:
    if isinstance(node, ast.Tuple):
        return tuple(_one_need(choice) for choice in node.elts)
    return _one_need(node)


def _one_need(node: ast.expr) -> Needs:
    if not isinstance(node, ast.Dict) or not all(isinstance(kind, ast.Name) for kind in node.values):
        raise ValueError("needs must be a dict of fields, or a tuple of such dicts")
    kinds = {kind.__name__: kind for kind in Field.kinds.values()}
    return {
        ast.literal_eval(name): kinds[kind.id]
        for name, kind in zip(node.keys, node.values, strict=True)
        if name is not None and isinstance(kind, ast.Name)
    }
