"""One look for every figure: colours, markers, the forest plot, and how a figure is saved.

Colour says which features a model reads, the marker says what it does with them, so one model looks
the same in every figure.  Figures are drawn without a display.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from lcplm_graph.io import atomic_path

# Okabe & Ito's colours, told apart by all common kinds of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_FEATURES = (
    (" + interologs", "#D55E00"),
    ("interologs", "#8E7CC3"),
    ("lcplm-g", "#009E73"),
    ("LC-PLM-G", "#009E73"),
    ("untrained", "#CC79A7"),
    ("random", "#CC79A7"),
    ("dipeptide", "#E69F00"),
    ("composition", "#56B4E9"),
    ("degree", "#BBBBBB"),
    ("common neighbours", "#8C8C8C"),
    ("Adamic", "#555555"),
    ("resource allocation", "#8B5A2B"),
    ("naive", "#BBBBBB"),
    ("most frequent", "#BBBBBB"),
    ("chance", "#BBBBBB"),
    ("guess", "#BBBBBB"),
    ("nearness", "#8C8C8C"),
    ("MMseqs2", "#555555"),
    ("built-in search", "#555555"),
    ("esm", "#000000"),
    ("ESM", "#000000"),
)
_METHODS = (
    ("1-NN", "^"),
    ("logistic", "o"),
    ("link model", "D"),
    (" + ", "s"),
    ("nearest", "^"),
    ("best hit", "v"),
    ("homologues", "v"),
    ("interologs", "v"),
    ("head", "o"),
)
_SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    # Hinted widths are not those of text with an outline, which would pass its margin.
    "text.hinting": "none",
}


def look(model: str) -> dict[str, Any]:
    """Return colour and marker of a model by its name in a table.

    Examples
    --------
    >>> look("composition")["color"], look("lcplm-1m")["color"]
    ('#56B4E9', '#0072B2')
    >>> look("lcplm-1m")["marker"], look("lcplm-1m + GraphSAGE")["marker"]
    ('o', 's')
    """
    plain = model.replace("composition + dipeptides", "dipeptides")
    colour = next((c for name, c in _FEATURES if name in plain), COLOURS[0])
    marker = next((m for name, m in _METHODS if name in plain), "o")
    return {"color": colour, "marker": marker}


def shades(count: int) -> tuple[str, ...]:
    """Return colours of a scale from low to high, by lightness, so that they do for any vision.

    Examples
    --------
    >>> shades(3)
    ('#fca636', '#d14e72', '#7e03a8')
    """
    return tuple(to_hex(colormaps["plasma"](share)) for share in np.linspace(0.8, 0.25, count))


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of this size in inches in the look of this project."""
    with rc_context(_SETTINGS):
        return Figure(figsize=(width, height), layout="constrained")


def panels(figure: Figure, rows: int, columns: int, **settings: Any) -> Any:
    """Return an array (rows, columns) of axes in the look of this project."""
    with rc_context(_SETTINGS):
        return figure.subplots(rows, columns, squeeze=False, **settings)


def label_ends(axis: Any, gap: float = 0.075) -> None:
    """Write the label of each line beside its last point, in its colour, and none over another.

    Parameters
    ----------
    axis : Axes
        With its final limits.
    gap : float
        Least distance of two labels, as a share of the height.
    """
    axis.autoscale_view()  # what is drawn so far decides the limits, which matplotlib does late
    to_axes = axis.transScale + axis.transLimits
    ends = []
    for line in axis.get_lines():
        y = np.asarray(line.get_ydata(), np.float64)
        y = y[np.isfinite(y)]
        if len(y) and not str(line.get_label()).startswith("_"):
            ends.append((to_axes.transform((1, y[-1]))[1], line))
    ends.sort(key=lambda end: end[0])
    up = [height for height, _ in ends]
    down = list(up)
    for i in range(1, len(ends)):
        up[i] = max(up[i], up[i - 1] + gap)
        down[-1 - i] = min(down[-1 - i], down[-i] - gap)
    below = 0.02 - gap
    for (_, line), high, low in zip(ends, up, down, strict=True):
        # Both have the gap everywhere, so their mean has it, too, and leans to neither side.
        below = max((high + low) / 2, below + gap)
        axis.annotate(
            line.get_label(), (1.0, below), xycoords="axes fraction", xytext=(4, 0),
            textcoords="offset points", color=line.get_color(), fontsize=8, va="center",
        )  # fmt: skip


def draw_forest(
    path: str | os.PathLike[str],
    parts: dict[str, dict[str, Any]],
    what: str,
    title: str,
    chance: float | None = None,
) -> None:
    """Draw a forest plot: one panel a class, one row a model, its value and its interval.

    Parameters
    ----------
    path : path-like
        PNG or SVG.
    parts : dict
        Class to model to a number, or to an object with `value`, `low` and `high`.
    what : str
        What is measured.
    title : str
    chance : float, optional
        Value of a guess, drawn as a line.
    """
    models = list(dict.fromkeys(model for row in parts.values() for model in row))
    figure = new_figure(2.4 * len(parts) + 2.4, 0.3 * len(models) + 1.3)
    axes = panels(figure, 1, len(parts), sharey=True, sharex=True)[0]
    for axis, (name, row) in zip(axes, parts.items(), strict=True):
        best = max((_value(v) for v in row.values()), default=np.nan)
        for place, model in enumerate(models):
            if model not in row:
                continue
            value, style = row[model], look(model)
            middle = _value(value)
            if hasattr(value, "low"):
                axis.plot([value.low, value.high], [place, place], color=style["color"])
            axis.plot(middle, place, linestyle="none", markersize=6, **style)
            axis.annotate(
                f"{middle:.3f}", (1.0, place), xycoords=("axes fraction", "data"), fontsize=8,
                va="center", ha="right", fontweight="bold" if middle == best else "normal",
            )  # fmt: skip
        if chance is not None:
            axis.axvline(chance, color="0.8", linewidth=0.8, zorder=0)
        axis.set(title=name, xlabel=what)
        axis.set_yticks(range(len(models)), models, parse_math=False)
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(left=False)
    low, high = axes[0].get_xlim()
    # Room for the numbers at the right.
    axes[0].set_xlim(low, high + 0.3 * (high - low))
    axes[0].set_ylim(len(models) - 0.5, -0.5)
    figure.suptitle(title)
    save(figure, path)


def _value(value: Any) -> float:
    return float(getattr(value, "value", value))


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, whole or not at all; the suffix says the format.

    What it says is printed as it is: names of proteins may hold dollar signs, which matplotlib
    takes for formulas.  Numbers along an axis, which may be powers of ten, stay formulas.
    """
    numbers = {
        label
        for axis in figure.axes
        for one in (axis.xaxis, axis.yaxis)
        for label in one.get_ticklabels(which="both")
    }
    for text in figure.findobj(Text):
        if text not in numbers:
            text.set_parse_math(False)
    with rc_context(_SETTINGS), atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
