"""`kallima diagnose`: what is wrong with a run, or with the training whose log this is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kallima import examination
from kallima.arguments import Parameter
from kallima.cli.output import emit, emit_json, table
from kallima.cli.parsing import JSON, Command
from kallima.errors import UsageError

if TYPE_CHECKING:
    from kallima.diagnosis.finding import Finding

_EXPLANATION = (
    "Say what is wrong with a training: symptom, since when, how sure, on what evidence, what to try. It reads a run, "
    "or the log of any other program: JSON lines, or a table whose columns are a step, losses (d_loss, g_loss), scores "
    "named like a metric (fid), and what else is known. A run gets its findings in RUN/diagnosis.json too."
)
_PARAMETERS = (
    Parameter("run", str | None, None, "the run directory; or, instead of a run, --events.", positional=True),
    Parameter("events", str | None, None, "A log: events.jsonl, other JSON lines, or a table such as log.csv."),
    Parameter(
        "columns", Sequence[str] | None, None, "What a table's columns are, from left to right: step,d_loss,g_loss,fid."
    ),
    Parameter("samples", str | None, None, "Samples as they are now, to be held against the data."),
    Parameter("data", str | None, None, "What to hold the samples against; a run has its own."),
    JSON,
)


def _diagnose(
    *, run: str | None = None, events: str | None = None, json: bool = False, samples: Any = None, **given: Any
) -> int:
    if (run is None) == (events is None):
        raise UsageError(
            "give what is to be diagnosed: " + ("a run or --events" if run is None else "not both of them")
        )
    if run is not None and not Path(run).is_dir():
        raise UsageError(f"there is no run {run}; a log is told by --events {run}")
    if run is not None and samples is None and not given:
        found = examination.keep(examination.Run(run))
    else:
        found = examination.diagnose(run or events or "", samples, **given)
    if json:
        emit_json({"findings": [finding.to_json() for finding in found]})
    else:
        emit(_text(found))
    return 0


def _text(found: "Sequence[Finding]") -> str:
    """Lay findings out: a table of them, and below it of each the evidence and what to try, in order."""
    from kallima.diagnosis.finding import IN_WORDS

    if not found:
        return "nothing looks wrong"
    rows = [("symptom", "since step", "how sure")]
    rows += [(f.symptom, f"{f.since:,}", f"{f.confidence:.0%}".replace("%", " %")) for f in found]
    parts = [table(rows, indent="")]
    for finding in found:
        tried = [(f"{number}.", r.flags, r.advice) for number, r in enumerate(finding.remedies, 1)]
        parts.append(f"{finding.symptom}: {finding.evidence[IN_WORDS]}\n{table(tried)}")
    return "\n\n".join(parts)


COMMANDS: dict[str, Callable[[Sequence[str]], Command]] = {
    "diagnose": lambda words: Command("diagnose", _EXPLANATION, {"options": _PARAMETERS}, _diagnose),
}
