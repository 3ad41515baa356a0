"""Points of one or two dimensions beside what the discriminator thinks of every place, and what theory says of it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kallima.figures import Curve, Dots, Field, Figure, Level, LogDensity, Mark, Panel

if TYPE_CHECKING:
    from torch import Tensor

    from kallima.system import Judges, KnowsItsBest

GRID = 96  # fields are judged at so many points a side
BINS = 64
HEADROOM = 2.2  # times the data's highest density: what is made of half of its modes is twice as high there
MARGIN = 0.15  # of the data's extent, on each side


def on_a_line(system: "Judges", samples: np.ndarray, reference: np.ndarray, density: LogDensity | None) -> Figure:
    """Show the densities of the data and of the model, and below D(x), with D*(x) where it is known.

    `samples` and `reference` are (N, 1), in the data's own units.
    """
    from kallima.system import KnowsItsBest

    low, high = _range(reference[:, 0])
    x = np.linspace(low, high, 512)
    data = _histogram(reference[:, 0], low, high, x) if density is None else np.exp(density(x[:, None]))
    densities = [
        Curve("data" + ("" if density else ", histogram"), x, data, "data", filled=True),
        Curve("samples, histogram", x, _histogram(samples[:, 0], low, high, x), "model", filled=True),
    ]
    verdicts = [Curve("D(x)", x, _verdicts(system, x[:, None]), "judge")]
    if isinstance(system, KnowsItsBest):
        own, best = _own_and_best(system, x[:, None], density)
        densities.append(Curve("$p_G$, exact", x, np.exp(own), "model"))
        if best is not None:
            verdicts.append(Curve("the best, D*(x)", x, best, "theory", dashed=True))
    ceiling = HEADROOM * float(data.max())
    across = (low, high)
    return Figure(
        [
            Panel("what is real and what is forged", "", "density", across, (0, ceiling), densities),
            Panel("what the discriminator thinks of it", "x", "taken for real", across, (0, 1), verdicts),
        ],
        stacked=True,
    )


def in_the_plane(system: "Judges", samples: np.ndarray, reference: np.ndarray, density: LogDensity | None) -> Figure:
    """Show data and samples (N, 2) over a map of D(x), with D = ½ and, where it is known, D* = ½ as lines."""
    from kallima.system import KnowsItsBest

    corners = [_range(reference[:, axis]) for axis in (0, 1)]
    half = max(high - low for low, high in corners) / 2  # one scale for both axes
    x_range, y_range = ((sum(pair) / 2 - half, sum(pair) / 2 + half) for pair in corners)
    x, y = np.meshgrid(np.linspace(*x_range, GRID), np.linspace(*y_range, GRID))
    places = np.stack([x, y], -1).reshape(-1, 2)
    verdict = _verdicts(system, places).reshape(GRID, GRID)
    marks: list[Mark] = [
        Field("D(x) near 1", verdict),
        Dots("data", reference, "data"),
        Dots("samples", samples, "model"),
        Level("D(x) = ½", verdict, 0.5, "judge"),
    ]
    if isinstance(system, KnowsItsBest):
        best = _own_and_best(system, places, density)[1]
        if best is not None:
            marks.append(Level("D*(x) = ½", best.reshape(GRID, GRID), 0.5, "theory", dashed=True))
    title = "samples, and what the discriminator takes for real"
    return Figure([Panel(title, "", "", x_range, y_range, marks, equal=True)])


def _verdicts(system: "Judges", places: np.ndarray) -> np.ndarray:
    """Ask the discriminator about places (N, D) in the data's own units: sigmoid of its score, (N,)."""
    return system.judge(_as_batch(system, places)).sigmoid().cpu().numpy()


def _own_and_best(
    system: "KnowsItsBest", places: np.ndarray, density: LogDensity | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return log p_G at places (N, D) in the data's own units, and D* there; None where p is unknown."""
    import torch

    own = system.log_density(_as_batch(system, places))
    best = None
    if density is not None:
        log_p = torch.from_numpy(density(places)).to(own)
        best = system.best_score(log_p, own).sigmoid().cpu().numpy()
    stretch = np.log(_units(system, places.shape[1])[1]).sum()
    return own.cpu().numpy() - stretch, best


def _as_batch(system: Any, places: np.ndarray) -> "Tensor":
    import torch

    offset, scale = _units(system, places.shape[1])
    return torch.from_numpy(((places - offset) / scale).astype(np.float32)).to(system.device)


def _units(system: Any, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return offset and scale (D,) of the points in a batch."""
    field = system.spec["points"]
    offset = np.zeros(dimensions) if field.offset is None else np.asarray(field.offset)
    return offset, np.ones(dimensions) if field.scale is None else np.asarray(field.scale)


def _histogram(values: np.ndarray, low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Return the density of a histogram of `BINS` bins at x."""
    edges = np.linspace(low, high, BINS + 1)
    share = np.histogram(values, edges)[0] / (max(1, len(values)) * (edges[1] - edges[0]))
    return share[np.minimum((x - low) / (high - low) * BINS, BINS - 1).astype(int)]


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    spare = MARGIN * ((high - low) or 1.0)
    return low - spare, high + spare
