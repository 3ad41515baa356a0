"""Drawing a figure: panels of curves, points, arrows and fields, with axes and legends."""

import io
from typing import Literal

import numpy as np
from PIL import Image

from kallima.figures import Arrows, Curve, Dots, Field, Figure, Level, Mark, Panel

Style = Literal["-", "--"]
COLOURS = {"data": "#969696", "model": "#2668a8", "rival": "#2a8f6a", "judge": "#d9722e", "theory": "#1f2328"}
SOFT, LINE = "#6b7280", "#d7dbe0"
LOW, HIGH = "#bcd3e8", "#f6d3ba"  # of a field, pale enough for points to be seen on it
PIXELS = 110  # an inch
PANEL = (4.9, 5.0)  # inches, of a panel beside others
ROW = (9.0, 2.6)  # and of one above others


def draw_figure(figure: Figure, title: str) -> Image.Image:
    """Draw the panels under a title; equal figures give equal pictures."""
    # matplotlib takes a while to import, and only pictures of points need it
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    count = len(figure.panels)
    width, height = (ROW[0], ROW[1] * count) if figure.stacked else (PANEL[0] * count, PANEL[1])
    with rc_context(
        {"font.size": 9, "font.family": "DejaVu Sans", "axes.titlesize": 10, "mathtext.default": "regular"}
    ):
        sheet = Sheet(figsize=(width, height + 0.3), dpi=PIXELS, facecolor="white", layout="constrained")
        canvas = FigureCanvasAgg(sheet)
        sheet.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=COLOURS["theory"])
        rows, columns = (count, 1) if figure.stacked else (1, count)
        axes = sheet.subplots(rows, columns, squeeze=False, sharex=figure.stacked).ravel()
        for axis, panel in zip(axes, figure.panels, strict=True):
            _draw(axis, panel, stacked=figure.stacked)
        if figure.stacked:
            for axis in axes[:-1]:
                axis.set_xlabel("")
        buffer = io.BytesIO()
        canvas.print_png(buffer, metadata={"Software": None})
    buffer.seek(0)
    with Image.open(buffer) as picture:
        return picture.convert("RGB")


def _draw(axis, panel: Panel, *, stacked: bool) -> None:  # type: ignore[no-untyped-def]  # matplotlib's Axes has no types
    axis.set(xlim=panel.x_range, ylim=panel.y_range)
    axis.set_title(panel.title, loc="left", color=SOFT)
    axis.set_xlabel(panel.x_label, color=SOFT)
    axis.set_ylabel(panel.y_label, color=SOFT)
    axis.tick_params(colors=SOFT, labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(LINE)
    if panel.equal:
        axis.set_aspect("equal")
    keys = [key for mark in panel.marks if (key := _mark(axis, panel, mark)) is not None]
    place = ("upper left", (1.01, 1.04)) if stacked else ("upper center", (0.5, -0.12))  # never over what is drawn
    if keys:
        axis.legend(
            handles=keys,
            loc=place[0],
            bbox_to_anchor=place[1],
            ncols=1 if stacked else 2 if len(keys) == 4 else 3,
            fontsize=8,
            frameon=False,
            labelcolor=SOFT,
            handlelength=1.4,
            columnspacing=1.2,
        )


def _mark(axis, panel: Panel, mark: Mark):  # type: ignore[no-untyped-def]
    """Draw one thing and return its key for the legend, None where it has none."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    match mark:
        case Curve():
            colour = COLOURS[mark.role]
            style: Style = "--" if mark.dashed else "-"
            if mark.filled:
                axis.fill_between(mark.x, mark.y, color=colour, alpha=0.3, linewidth=0)
                return Patch(color=colour, alpha=0.4, label=mark.label)
            axis.plot(mark.x, mark.y, style, color=colour, linewidth=1.6)
            return Line2D([], [], linestyle=style, color=colour, label=mark.label)
        case Dots():
            colour = COLOURS[mark.role]
            marker, size = {"cloud": (".", 14), "dot": ("o", 60), "cross": ("x", 70)}[mark.marker]
            faint = max(0.3, min(1.0, 300 / max(1, len(mark.points)))) if mark.marker == "cloud" else 1.0
            edge = 0 if mark.marker == "cloud" else 1.8 if mark.marker == "cross" else 0.8
            rim = {} if mark.marker == "cross" else {"edgecolors": "white"}
            axis.scatter(
                *mark.points.T, marker=marker, s=size, color=colour, alpha=faint, linewidths=edge, zorder=3, **rim
            )
            key_size = 7 if mark.marker != "cloud" else 6
            shape = "o" if marker == "." else marker
            return Line2D([], [], linestyle="", marker=shape, markersize=key_size, color=colour, label=mark.label)
        case Arrows():
            lengths = np.maximum(np.linalg.norm(mark.directions, axis=1, keepdims=True), 1e-12)
            axis.quiver(*mark.points.T, *(mark.directions / lengths).T, color=LINE, pivot="mid", scale=28, width=0.004)
            return None
        case Field():
            colours = LinearSegmentedColormap.from_list("", [LOW, "#ffffff", HIGH])
            where = (*panel.x_range, *panel.y_range)
            axis.imshow(
                mark.values, extent=where, origin="lower", cmap=colours, vmin=0, vmax=1, aspect="auto", zorder=0
            )
            if panel.equal:
                axis.set_aspect("equal")
            return Patch(color=HIGH, label=mark.label)
        case Level():
            if mark.values.min() < mark.level < mark.values.max():
                height, width = mark.values.shape
                x, y = np.linspace(*panel.x_range, width), np.linspace(*panel.y_range, height)
                style = "--" if mark.dashed else "-"
                axis.contour(
                    x, y, mark.values, [mark.level], colors=COLOURS[mark.role], linestyles=style, linewidths=1.4
                )
            return Line2D(
                [],
                [],
                linestyle="--" if mark.dashed else "-",
                color=COLOURS[mark.role],
                label=mark.label,
                linewidth=1.4,
            )
