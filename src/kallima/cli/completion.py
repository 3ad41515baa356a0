"""Completion of words in the shell: scripts for three shells, all of which ask the hidden command `__complete`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from kallima.arguments import choices
from kallima.cli.output import emit
from kallima.cli.parsing import Command, command
from kallima.errors import UsageError

Shell = Literal["bash", "zsh", "fish"]

# With nothing to offer, each falls back to file names.
_SCRIPTS = {
    "bash": """\
# kallima completion bash > ~/.local/share/bash-completion/completions/kallima
_kallima() {
    local IFS=$'\\n'
    COMPREPLY=($(kallima __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _kallima kallima
""",
    "zsh": """\
#compdef kallima
# kallima completion zsh > a file named _kallima in a folder of $fpath
_kallima() {
    local -a found
    found=("${(@f)$(kallima __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = "_kallima" ]; then _kallima "$@"; else compdef _kallima kallima; fi
""",
    "fish": """\
# kallima completion fish > ~/.config/fish/completions/kallima.fish
complete -c kallima -a '(kallima __complete (commandline -opc)[2..-1] (commandline -ct))'
""",
}


def completion(shell: Shell) -> int:
    """Print the script that teaches a shell to complete kallima's commands, options, recipes and sets.

    Args:
        shell: bash, zsh or fish.
    """
    emit(_SCRIPTS[shell].rstrip())
    return 0


def complete(words: Sequence[str]) -> list[str]:
    """Return what the last of `words` could become, in the place where it stands; nothing where that is a file."""
    *before, current = words or [""]
    return [candidate for candidate in _candidates(before, current) if candidate.startswith(current)]


def _candidates(before: list[str], current: str) -> Iterable[str]:
    from kallima.cli import COMMANDS, find
    from kallima.recipe import recipes

    if not before:
        return [*dict.fromkeys(name.split()[0] for name in COMMANDS), "--help", "--version"]
    if before == ["data"]:
        return [name.split()[1] for name in COMMANDS if name.startswith("data ")]
    if before in (["train"], ["show"]) and not current.startswith("-"):
        return recipes()
    if before[:1] == ["explore"] and len(before) == 2 and not current.startswith("-"):
        from kallima.exploring import EXPLORATIONS

        return EXPLORATIONS
    try:
        chosen = find(before)
    except UsageError:
        return []
    given = before[len(chosen.name.split()) :]
    flags = chosen.flags()
    if current.startswith("-"):
        # --no-x is worth offering only where x is the default
        return [flag for flag, p in flags.items() if p is None or p.default or not flag.startswith("--no-")]
    parameter = flags.get(given[-1]) if given else None
    if parameter is None or parameter.hint is bool:
        positional = [p for p in chosen.parameters if p.positional]
        parameter = positional[0] if positional else None
    if parameter is None:
        return []
    if parameter.name in ("data", "source"):
        from kallima.data.opening import EMBEDDED

        return EMBEDDED
    return [str(choice) for choice in choices(parameter.hint)]


COMMANDS: dict[str, Callable[[Sequence[str]], Command]] = {
    "completion": lambda words: command("completion", completion, completion),
}
