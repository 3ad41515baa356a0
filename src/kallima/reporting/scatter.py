"""Drawing many points in a plane, coloured by what they are: classes with their names among them, or numbers."""

import colorsys
import io

import numpy as np
from PIL import Image

from kallima.reporting.figure import COLOURS, LINE, PIXELS, SOFT

# That neighbours in the list differ in hue and in lightness, on white: for eyes that see no red or green too.
CLASSES = (
    *("#2668a8", "#e08a2e", "#2a8f6a", "#b8324a", "#7a55b0", "#7f5a3f"),
    *("#dc74b0", "#8d98a8", "#a3a01e", "#27a9c4", "#1f3b6b", "#8fc46b"),
)
SIDE = 5.6  # inches of the plane
LISTED = 20  # classes in the legend; of more the names among the points must do
_SHORT = 3  # characters of a name that stands among the points where there is a legend


def draw_scatter(
    points: np.ndarray,
    title: str,
    *,
    classes: np.ndarray | None = None,
    names: tuple[str, ...] = (),
    numbers: np.ndarray | None = None,
    unit: str = "",
    axes: tuple[str, str] | None = None,
) -> Image.Image:
    """Draw points (N, 2) in colours: `classes` (N,), indices of `names`, or `numbers` (N,), which `unit` names.

    `axes` name the two axes; without them the plane has no numbers, because they would say nothing. Equal points give
    equal pictures.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    shown = [] if classes is None else [place for place in range(len(names)) if (classes == place).any()]
    beside = 0.15 if not shown or len(shown) > LISTED else 0.55 + 0.085 * max(len(names[place]) for place in shown)
    with rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        sheet = Sheet(
            figsize=(SIDE + min(2.5, 1.0 if numbers is not None else beside), SIDE + 0.3),
            dpi=PIXELS,
            facecolor="white",
            layout="constrained",
        )
        canvas = FigureCanvasAgg(sheet)
        sheet.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=COLOURS["theory"])
        axis = sheet.subplots()
        _frame(axis, points, axes)
        x, y = points.T
        size, faint = 60 / max(1.0, (len(points) / 300) ** 0.6), 0.85 if len(points) <= 3_000 else 0.6
        if numbers is not None:
            drawn = axis.scatter(x, y, c=numbers, cmap="viridis", s=size, alpha=faint, linewidths=0)
            bar = sheet.colorbar(drawn, ax=axis, shrink=0.7, pad=0.02)
            bar.outline.set_visible(False)
            bar.set_label(unit, color=SOFT)
            bar.ax.tick_params(colors=SOFT, labelsize=8, length=0)
        elif shown:
            _classes(axis, points, classes, names, shown, size=size, faint=faint)
        else:
            axis.scatter(x, y, s=size, alpha=faint, linewidths=0, color=COLOURS["model"])
        buffer = io.BytesIO()
        canvas.print_png(buffer, metadata={"Software": None})
    buffer.seek(0)
    with Image.open(buffer) as picture:
        return picture.convert("RGB")


def colours_of(count: int) -> list[str]:
    """Return a colour for each of `count` classes: hand-picked for a dozen, then hues as far apart as may be."""
    if count <= len(CLASSES):
        return list(CLASSES[:count])
    found = []
    for place in range(count):
        rgb = colorsys.hls_to_rgb(place * 0.618034 % 1, (0.40, 0.56, 0.30)[place % 3], 0.62)
        found.append("#" + "".join(f"{round(255 * part):02x}" for part in rgb))
    return found


def _frame(axis, points: np.ndarray, axes: tuple[str, str] | None) -> None:  # type: ignore[no-untyped-def]
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(LINE)
    axis.tick_params(colors=SOFT, labelsize=8)
    if axes is None:
        axis.set(xticks=[], yticks=[])
    else:
        axis.set_xlabel(axes[0], color=SOFT)
        axis.set_ylabel(axes[1], color=SOFT)
    low, high = points.min(0), points.max(0)
    room = 0.03 * np.maximum(high - low, 1e-6)
    axis.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))


def _classes(  # type: ignore[no-untyped-def]  # matplotlib's Axes has no types
    axis,
    points: np.ndarray,
    classes: np.ndarray | None,
    names: tuple[str, ...],
    shown: list[int],
    *,
    size: float,
    faint: float,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    colours = colours_of(len(names))
    # all at once, in the order of the points: no class lies on top of the others
    axis.scatter(points[:, 0], points[:, 1], c=[colours[place] for place in classes], s=size, alpha=faint, linewidths=0)  # type: ignore[union-attr]
    listed = len(shown) <= LISTED
    named = not listed or max(len(names[place]) for place in shown) <= _SHORT
    for place in shown if named else ():
        own = points[classes == place]
        middle = own[np.square(own - np.median(own, 0)).sum(1).argmin()]  # one of its points, for a mean may be empty
        axis.annotate(
            names[place],
            middle,
            ha="center",
            va="center",
            fontsize=12 if listed else 10,
            fontweight="bold",
            color=colours[place],
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=4,
        )
    if listed:
        keys = [
            Line2D([], [], linestyle="", marker="o", markersize=6, color=colours[place], label=names[place])
            for place in shown
        ]
        axis.legend(
            handles=keys,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            fontsize=9,
            frameon=False,
            labelcolor=SOFT,
            handletextpad=0.2,
        )
