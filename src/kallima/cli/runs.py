"""`kallima train`, `resume`, `sample`, `evaluate`, `report` and `compare`: the API's functions, told to a terminal."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import Any

from kallima import api
from kallima.arguments import REQUIRED, Parameter, from_options, from_signature
from kallima.choosing import AUTO
from kallima.cli.catalogue import listing
from kallima.cli.output import emit, emit_json, messages, tell
from kallima.cli.parsing import JSON, Command, command
from kallima.completing import complete
from kallima.data.spec import Spec
from kallima.errors import Interrupted, UsageError
from kallima.options import DataOptions, TrainingOptions
from kallima.recipe import describe, get_recipe
from kallima.training.run import Run

_EXPLANATION = (
    "Train a recipe on data. Each recipe has arguments of its own beside the common options; "
    "kallima train RECIPE --help tells both. The recipe auto is chosen by the data and the machine."
)

SAMPLED = {"audio": "-n 8 --out samples.wav", "video": "-n 8 --out samples.gif", "text": "-n 20 --out samples.txt"}
"""How a first look at samples is asked for that are no images."""

DRY_RUN = Parameter("dry_run", bool, False, "Print everything resolved, with what it would take, and stop.")


def train(words: Sequence[str]) -> Command:
    """Make the command that trains the recipe that `words` begin with.

    Raises:
        UsageError: they begin with none.
    """
    name, *own = (p for p in from_signature(api.train) if p.name in ("recipe", "out"))
    if words and words[0] in ("-h", "--help"):
        text = f"{_EXPLANATION}\n\n{indent(listing(), '  ')}"
        return Command("train", text, {"options": [name]}, lambda recipe: 0)
    if not words or words[0].startswith("-"):
        raise UsageError("name the recipe first: kallima train RECIPE --data SOURCE; kallima recipes lists them")
    common = {"data": from_options(DataOptions), "training": from_options(TrainingOptions)}
    if words[0] == AUTO:
        text = "Train what suits the data and this machine, and say why: the recipe, the size, the width."
        return Command("train auto", text, {**common, "the run": [*own, DRY_RUN, JSON]}, lambda **g: _train(AUTO, **g))
    recipe = get_recipe(words[0])
    lengths = {"steps": recipe.steps, "batch_size": recipe.batch_size}
    training = [replace(p, default=lengths.get(p.name, p.default)) for p in from_options(TrainingOptions)]
    needs = " or ".join(describe(alternative) for alternative in recipe.needs)
    return Command(
        f"train {recipe.name}",
        f"{recipe.summary} ({recipe.paper}). It needs {needs}. kallima show {recipe.name} tells more.",
        {
            f"arguments of {recipe.name}": recipe.parameters,
            **common,
            "training": training,
            "the run": [*own, DRY_RUN, JSON],
        },
        lambda **given: _train(recipe.name, **given),
    )


def _train(recipe: str, *, dry_run: bool = False, json: bool = False, **given: Any) -> int:
    if dry_run:
        given.pop("out", None)  # nothing is written
        plan = api.plan(recipe, **given)
        if json:
            emit_json(plan.to_json())
        else:
            emit(str(plan))
        return 0
    return _finish(lambda: api.train(recipe, **given), json=json)


def _resume(*, json: bool = False, **given: Any) -> int:
    return _finish(lambda: api.resume(**given), json=json)


def _finish(train: Callable[[], Run], *, json: bool) -> int:
    """Train, and say where the run is; the exit code tells whether a signal or the doctor ended it early."""
    try:
        run = train()
        code = 1 if run.status == "stopped" else 0
    except Interrupted as stop:
        run, code = Run(stop.run), 128 + stop.number
    report = run.path / "report.html"
    if json:
        found = str(report) if report.is_file() else None
        emit_json({"run": str(run), "status": run.status, "step": run.step, "report": found})
    else:
        emit(str(run))
        if run.status == "finished":
            if report.is_file():
                tell(f"report:   {report}")
            if "Samples" in run.manifest["capabilities"]:
                words = SAMPLED.get(Spec.from_json(run.manifest["spec"]).medium, "-n 64 --out grid.png")
                tell(f"samples:  kallima sample {run} {words}")
                tell(f"scores:   kallima evaluate {run}")
    return code


def _sample(*, run: str, out: str, **given: Any) -> int:
    api.sample(run, out=out, **given)
    emit(out)
    return 0


def _evaluate(*, json: bool = False, **given: Any) -> int:
    with messages():
        scores = api.evaluate(**given)

    from kallima.evaluation.score import table  # with torch, which a mistake in the words needs not wait for

    if json:
        emit_json({"scores": [score.to_json() for score in scores]})
    else:
        emit(table(scores))
    return 0


def _evaluate_command() -> Command:
    made = command("evaluate", api.evaluate, _evaluate, JSON)
    paths = ("run", "samples", "data")  # arrays come from Python only
    seen = [p for p in from_options(DataOptions) if p.name not in paths]
    own = [p for p in made.parameters if p.name not in [other.name for other in seen]]
    own = [replace(p, hint=str | None, positional=p.name == "run") if p.name in paths else p for p in own]
    return replace(made, groups={"options": own, "how images are seen": seen})


def _report(*, run: str) -> int:
    emit(str(api.report(run)))
    return 0


def _compare(*, runs: Sequence[str], force: bool = False, json: bool = False, **given: Any) -> int:
    """Rank the runs; the exit code is 1 if they have metrics in common and none of them may be compared."""
    from kallima.reporting.compare import comparison_table, ranking, ranking_text

    page = api.compare(runs, force=force, **given)
    table = comparison_table([Path(run) for run in runs], force=force)
    ranked = ranking(table, force=force)
    warnings = [metric["warning"] for metric in ranked if metric["warning"]]
    if json:
        emit_json({"runs": table, "ranking": ranked, "forced": force, "warnings": warnings, "page": str(page)})
    else:
        if ranked:
            emit(ranking_text(ranked))
        emit(str(page))
    refused = [metric["metric"] for metric in ranked if metric["refused"]]
    if refused:
        tell(
            f"{', '.join(refused)} cannot be compared: measure the runs alike with kallima evaluate, "
            "or rank them nonetheless with --force"
        )
    shared = [metric for metric in ranked if len(metric["runs"]) > 1]
    return 1 if shared and all(metric["refused"] for metric in shared) else 0


def _sample_command() -> Command:
    made = command("sample", api.sample, _sample)
    needed = [replace(p, default=REQUIRED) if p.name == "out" else p for p in made.parameters]
    needed = [replace(p, hint=str | None) if p.name == "condition" else p for p in needed]  # wishes come from Python
    return replace(made, groups={"options": needed})


def _complete(*, run: str, given: str, out: str | None = None, **options: Any) -> int:
    made = complete(run, given, out=out, **options)
    if out is not None:
        emit(out)
    elif made.dtype == object:
        emit("\n".join(map(str, made.reshape(-1))))
    else:
        raise UsageError("say where the completions go: --out completed.png")
    return 0


def _complete_command() -> Command:
    made = command("complete", complete, _complete)
    own = [replace(p, hint=str, positional=True) if p.name in ("run", "given") else p for p in made.parameters]
    own = [replace(p, hint=str | None) if p.name == "condition" else p for p in own if p.name != "known"]
    return replace(made, groups={"options": own})


COMMANDS: dict[str, Callable[[Sequence[str]], Command]] = {
    "train": train,
    "complete": lambda words: _complete_command(),
    "resume": lambda words: command("resume", api.resume, _resume, JSON),
    "sample": lambda words: _sample_command(),
    "evaluate": lambda words: _evaluate_command(),
    "report": lambda words: command("report", api.report, _report),
    "compare": lambda words: command("compare", api.compare, _compare, JSON),
}
