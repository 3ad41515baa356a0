"""The command line. Only what a command needs is imported, once it is known which command that is."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

import kallima
from kallima.cli.output import emit
from kallima.errors import KallimaError, UsageError, did_you_mean

if TYPE_CHECKING:
    from kallima.cli.parsing import Command

INTERRUPTED = 130  # 128 + SIGINT, as shells count

# name: the module below this package that has it, and what it does
COMMANDS = {
    "recipes": ("catalogue", "list the recipes"),
    "show": ("catalogue", "tell all about a recipe: card, equations, needs, arguments"),
    "data list": ("data", "list the embedded sets"),
    "data check": ("data", "say what of some data will be used, what is broken and why"),
    "data show": ("data", "draw a picture of some examples"),
    "data prepare": ("data", "decode and cache the examples ahead of a training"),
    "data statistics": ("data", "write the reference statistics of images, to judge against"),
    "train": ("runs", "train a recipe on data"),
    "resume": ("runs", "go on with a run from its last checkpoint"),
    "sample": ("runs", "draw new examples from a trained run"),
    "complete": ("runs", "let a run go on from the beginnings of examples"),
    "compress": ("compressing", "compress an image to a file, by a run of an image codec"),
    "decompress": ("compressing", "turn such a file into the image again"),
    "explore": ("exploring", "walk, add and look around in a run's latent space"),
    "evaluate": ("runs", "judge a run with scores"),
    "label": ("labelling", "tell what is in images, by a run that knows labels or classes"),
    "diagnose": ("diagnosis", "say what is wrong with a training, and what to try"),
    "report": ("runs", "write a run's report.html"),
    "compare": ("runs", "hold runs against one another on one page"),
    "completion": ("completion", "print the script that completes words in your shell"),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that `words` (by default those of this process) spell, and return the exit code.

    0 is success, 1 a failure, 2 a mistake in the words, 128 + n the end by signal n.
    """
    # torch's threads spin while they wait for one another: beside any other busy process a step then takes 40 times as
    # long. This is read when torch is imported, so later calls of `main` in one process change nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = sys.argv[1:] if words is None else list(words)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = dispatch(words)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # --help
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:
        # whoever read our output has gone; nothing may be written when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        elif isinstance(error, KallimaError):
            _complain(str(error))
        elif isinstance(error, OSError) and error.filename is not None:
            _complain(f"{error.filename}: {error.strerror}")
        else:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            _complain(f"{what} (run it again with --debug for the traceback)")
        return error.exit_code if isinstance(error, KallimaError) else 1


def dispatch(words: Sequence[str]) -> int:
    """Find the command and run it.

    Raises:
        UsageError: there is none of that name.
    """
    if not words or words[0] in ("-h", "--help", "help"):
        emit(overview())
        return 0
    if words[0] in ("-V", "--version"):
        emit(f"kallima {kallima.__version__}")
        return 0
    if words[0] == "__complete":
        from kallima.cli.completion import complete

        emit("\n".join(complete(words[1:])))
        return 0
    if words[0] == "data" and (len(words) == 1 or words[1] in ("-h", "--help")):
        emit(overview("data "))
        return 0
    command = find(words)
    return command(words[len(command.name.split()) :])


def find(words: Sequence[str]) -> "Command":
    """Return the command that `words` begin with; its name is as many of them as belong to it.

    Raises:
        UsageError: there is none of that name.
    """
    length = 2 if words[0] == "data" else 1
    name = " ".join(words[:length])
    if name not in COMMANDS:
        raise UsageError(f"no command '{name}'{did_you_mean(name, COMMANDS) or '; see kallima --help'}")
    module = importlib.import_module(f"kallima.cli.{COMMANDS[name][0]}")
    return module.COMMANDS[name](words[length:])


def overview(prefix: str = "") -> str:
    """Return the help on all commands, or on those whose name starts with `prefix`."""
    chosen = {name: summary for name, (_, summary) in COMMANDS.items() if name.startswith(prefix)}
    width = max(map(len, chosen))
    lines = [f"  {name.ljust(width)}  {summary}" for name, summary in chosen.items()]
    return "\n".join(
        [
            f"usage: kallima {prefix}COMMAND …",
            "",
            *(
                ["Generative models, from a folder of your own data to a model you can trust.", ""]
                if not prefix
                else []
            ),
            *lines,
            "",
            "kallima COMMAND --help tells the options of a command; --debug shows the traceback of an error.",
        ]
    )


def _complain(message: str) -> None:
    rank = os.environ.get("RANK")
    where = f"[rank {rank}] " if rank not in (None, "0") else ""
    print(f"{where}error: {message}", file=sys.stderr, flush=True)
