"""Looking around in a run's latent space: `kallima explore`. Importing it does not import torch."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kallima.arguments import coerce, from_signature
from kallima.errors import UsageError, did_you_mean
from kallima.exploring.mapping import map_codes
from kallima.exploring.nearest import neighbours
from kallima.exploring.projecting import project
from kallima.exploring.rebuilding import reconstructions
from kallima.exploring.sums import arithmetic
from kallima.exploring.ways import grid, interpolate, traverse, truncate
from kallima.training.run import Run

if TYPE_CHECKING:
    from kallima.exploring.exploration import Exploration

EXPLORATIONS: dict[str, "Callable[..., Exploration]"] = {
    "interpolate": interpolate,
    "traverse": traverse,
    "grid": grid,
    "map": map_codes,
    "arithmetic": arithmetic,
    "project": project,
    "reconstructions": reconstructions,
    "neighbours": neighbours,
    "truncate": truncate,
}
"""What can be done, by name; the arguments of each function are its options."""


def explore(run: str | Path | Run, what: str, *, out: str | Path | None = None, **options: Any) -> "Exploration":
    """Explore the latent space of a run: rows of examples, scores where the truth is known, and a picture.

    Args:
        run: the run directory.
        what: interpolate, traverse, grid, map, arithmetic, project, reconstructions, neighbours or truncate.
        out: also write the picture there.
        options: the arguments of that function of `kallima.exploring`; `kallima explore RUN WHAT --help` lists them.

    Raises:
        UsageError: an unknown name or option, or the system lacks what this takes.
    """
    function = find(what)
    hints = {parameter.name: parameter.hint for parameter in from_signature(function)}
    for name in options:
        if name not in hints:
            raise UsageError(f"{what} has no option '{name}'{did_you_mean(name, hints)}")
    given = {name: coerce(hints[name], value, name) for name, value in options.items()}
    found = function(run, **given)
    if out is not None:
        from kallima.reporting.grid import save_picture

        Path(out).parent.mkdir(parents=True, exist_ok=True)
        save_picture(Path(out), found.picture)
    return found


def find(what: str) -> "Callable[..., Exploration]":
    """Return the function of that name.

    Raises:
        UsageError: there is none.
    """
    if what not in EXPLORATIONS:
        near = did_you_mean(what, EXPLORATIONS) or f"; there is {', '.join(EXPLORATIONS)}"
        raise UsageError(f"a run cannot be explored by '{what}'{near}")
    return EXPLORATIONS[what]
