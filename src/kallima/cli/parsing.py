"""From words to arguments: a command's options come from typed parameters, and every mistake is one line."""

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from kallima.arguments import REQUIRED, Parameter, choices, coerce, element, from_signature, is_union, members
from kallima.errors import UsageError, did_you_mean

Groups = Mapping[str, Sequence[Parameter]]
"""The parameters of a command, under the titles that its help gives them."""

JSON = Parameter("json", bool, False, "Print the result as JSON.")

_SHORT = {"count": "-n"}
_METAVARS = {"data": "SOURCE", "samples": "SAMPLES", "out": "PATH", "runs": "RUN"}
_TYPES = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH", bool: ""}


@dataclass(frozen=True)
class Command:
    """One command: what it takes, and what it does with it. `run` returns the exit code."""

    name: str
    description: str
    groups: Groups
    run: Callable[..., int]

    @property
    def parameters(self) -> list[Parameter]:
        """All its parameters."""
        return [parameter for group in self.groups.values() for parameter in group]

    def flags(self) -> dict[str, Parameter | None]:
        """Return every word that names an option, in order."""
        named: dict[str, Parameter | None] = {}
        for parameter in self.parameters:
            if not parameter.positional:
                named |= dict.fromkeys(_flags(parameter), parameter)
        return named | {"--help": None, "-h": None, "--debug": None}

    def __call__(self, words: Sequence[str]) -> int:
        """Run it with the words that follow its name.

        Raises:
            UsageError: a word is not understood.
        """
        return self.run(**parse(self, words))


def command(name: str, function: Callable[..., Any], run: Callable[..., int], *more: Parameter) -> Command:
    """Make a command of a function's signature and docstring, and parameters besides."""
    description = (function.__doc__ or "").split("\n\n")[0]
    return Command(name, description, {"options": [*from_signature(function), *more]}, run)


def parse(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that were given, by name and as their types; those left out keep their defaults.

    Raises:
        UsageError: an unknown option, a missing or superfluous word, a value of another type.
    """
    words = list(_spelled(command, words))
    given = vars(_parser(command).parse_intermixed_args(words))
    parameters = {parameter.name: parameter for parameter in command.parameters}
    return {name: coerce(parameters[name].hint, value, parameters[name].flag) for name, value in given.items()}


def _spelled(command: Command, words: Sequence[str]) -> Iterator[str]:
    """Yield the words with options as we spell them (--batch_size is --batch-size), refusing unknown ones."""
    known = command.flags()
    for word in words:
        if not re.match(r"-+[A-Za-z]", word):
            yield word
            continue
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if name not in known and not (name[:2] in _SHORT.values() and not name.startswith("--")):
            raise UsageError(f"{command.name} has no option '{name}'{did_you_mean(name, known)}")
        yield name + equals + value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        message = message.replace("the following arguments are required:", "missing")
        raise UsageError(f"{message.replace('unrecognized arguments:', 'not understood:')} (see {self.prog} --help)")


def _parser(command: Command) -> _Parser:
    required = [p for p in command.parameters if p.default is REQUIRED]
    words = [metavar(p) + (" …" if element(p.hint) else "") for p in required if p.positional]
    words += [f"[{metavar(p)}]" for p in command.parameters if p.positional and p.default is not REQUIRED]
    words += [f"{p.flag} {metavar(p)}" for p in required if not p.positional]
    parser = _Parser(
        prog=f"kallima {command.name}",
        usage=" ".join(["%(prog)s", *words, "[options]"]),
        description=_wrapped(command.description),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32),
    )
    for title, parameters in command.groups.items():
        group = parser.add_argument_group(title)
        for parameter in parameters:
            _add(group, parameter)
    common = parser.add_argument_group("always")
    common.add_argument("-h", "--help", action="help", help="Show this text and stop.")
    common.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def _wrapped(text: str) -> str:
    """Fill the paragraphs of a text but those that are indented."""
    width = shutil.get_terminal_size().columns - 2
    paragraphs = (p if p.startswith(" ") else textwrap.fill(p, width) for p in text.split("\n\n"))
    return "\n\n".join(paragraphs).replace("%", "%%")


def _flags(parameter: Parameter) -> list[str]:
    flags = [parameter.flag]
    if parameter.name in _SHORT:
        flags.insert(0, _SHORT[parameter.name])
    if parameter.hint is bool:
        flags.append("--no-" + parameter.flag[2:])
    return flags


def _add(group: Any, parameter: Parameter) -> None:
    text = _help(parameter)
    if parameter.positional:
        many = {"nargs": "+"} if element(parameter.hint) else {} if parameter.default is REQUIRED else {"nargs": "?"}
        group.add_argument(parameter.name, metavar=metavar(parameter), help=text, **many)
    elif parameter.hint is not bool:
        required = parameter.default is REQUIRED
        flags = _flags(parameter)
        group.add_argument(*flags, dest=parameter.name, metavar=metavar(parameter), help=text, required=required)
    elif parameter.default:
        group.add_argument(parameter.flag, dest=parameter.name, action=argparse.BooleanOptionalAction, help=text)
    else:
        group.add_argument(parameter.flag, dest=parameter.name, action="store_true", help=text)
        off = _flags(parameter)[-1]
        group.add_argument(off, dest=parameter.name, action="store_false", help=argparse.SUPPRESS)


def _help(parameter: Parameter) -> str:
    default = parameter.default
    if default is REQUIRED:
        note = "" if parameter.positional else " (required)"
    elif default is None or default is False:
        note = ""
    elif default is True:
        note = " (default: yes)"
    else:
        written = ",".join(map(str, default)) if isinstance(default, tuple) else f"{default}"
        note = f" (default: {written})"
    text = parameter.help.rstrip(".") + note
    if re.match("[a-z]+ ", text):  # a sentence, not a list of values
        text = text[0].upper() + text[1:]
    return text.replace("%", "%%")


def metavar(parameter: Parameter) -> str:
    """Return what stands for the parameter's value in a help."""
    if parameter.name in _METAVARS:
        return _METAVARS[parameter.name]
    if parameter.positional:
        return parameter.name.upper()
    if listed := choices(parameter.hint):
        return "{" + ",".join(map(str, listed)) + "}"
    hint = members(parameter.hint)[-1] if is_union(parameter.hint) else parameter.hint
    if of := element(hint):
        word = _TYPES[of[0]]
        return ",".join([word] * of[1]) if of[1] else f"{word},…"
    return _TYPES[hint]
