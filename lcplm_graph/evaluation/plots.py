"""Pictures of results, drawn without a display."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from sklearn.metrics import precision_recall_curve, roc_curve

from lcplm_graph.evaluation.metrics import auroc, average_precision
from lcplm_graph.evaluation.report import Report
from lcplm_graph.figures import draw_forest, look, new_figure, save
from lcplm_graph.figures import panels as make_panels

Curves = Mapping[str, tuple[Any, Any]]

_SHOWN = 5


def draw_roc_pr(
    path: str | os.PathLike[str], panels: Mapping[str, Curves], ratio: float, title: str
) -> None:
    """Draw ROC (above) and precision-recall (below), one column of panels per class of pairs.

    The five best models of a class are drawn, named beside their curves in the order of quality;
    the others are counted.

    Parameters
    ----------
    path : path-like
        PNG.
    panels : mapping
        Class name to curves; a curve is (labels, scores) by model.
    ratio : float
        Negatives per positive that precision is stated for.
    title : str
    """
    figure = new_figure(3.9 * len(panels), 7.6)
    axes = make_panels(figure, 2, len(panels))
    for column, (name, curves) in enumerate(panels.items()):
        _roc(axes[0, column], curves)
        _precision_recall(axes[1, column], curves, ratio)
        axes[0, column].set_title(name)
    figure.suptitle(title)
    save(figure, path)


def _roc(axis: Axes, curves: Curves) -> None:
    value = {model: auroc(labels, scores) for model, (labels, scores) in curves.items()}
    for model in _best(value):
        fpr, tpr, _ = roc_curve(*curves[model])
        axis.plot(fpr, tpr, **_line(model))
    axis.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, zorder=0)
    axis.set(xlabel="false positive rate", ylabel="true positive rate")
    _names(axis, value, "AUROC", bottom=True)


def _precision_recall(axis: Axes, curves: Curves, ratio: float) -> None:
    value = {
        model: average_precision(labels, scores, ratio)
        for model, (labels, scores) in curves.items()
    }
    for model in _best(value):
        labels, scores = curves[model]
        label = np.asarray(labels, bool)
        weight = np.where(label, 1.0, ratio * label.sum() / (~label).sum())
        precision, recall, _ = precision_recall_curve(label, scores, sample_weight=weight)
        # Steps: between two thresholds no precision in between can be had.
        axis.step(recall, precision, where="post", **_line(model))
    axis.axhline(1 / (1 + ratio), color="0.8", linewidth=0.8, zorder=0)
    axis.set(xlabel="recall", ylabel=f"precision at 1 : {ratio:g}", ylim=(0, 1.02))
    left = _room_at_the_left(axis)
    _names(axis, value, f"AP 1 : {ratio:g}", bottom=left, left=left)


def _room_at_the_left(axis: Axes) -> bool:
    """Whether fewer curves pass the lower left corner than the upper right one."""
    axis.autoscale_view()
    to_axes = axis.transData + axis.transAxes.inverted()
    even = np.linspace(0, 1, 200)
    left = right = 0
    for line in axis.get_lines():
        places = to_axes.transform(np.column_stack(line.get_data()))
        along = np.linspace(0, 1, len(places))
        x, y = (np.interp(even, along, column) for column in places.T)
        left += int(((x < 0.55) & (y > 0.11) & (y < 0.5)).sum())  # names stand above chance
        right += int(((x > 0.45) & (y > 0.6)).sum())
    return left < right


def _best(value: Mapping[str, float]) -> list[str]:
    return sorted(value, key=lambda model: -value[model])[:_SHOWN]


def _line(model: str) -> dict[str, Any]:
    style, width = {"s": ("--", 1.8), "D": ("-", 3.0), "^": (":", 1.8)}.get(
        look(model)["marker"], ("-", 1.8)
    )
    return {"color": look(model)["color"], "linestyle": style, "linewidth": width}


def _names(
    axis: Axes, value: Mapping[str, float], what: str, bottom: bool, left: bool = False
) -> None:
    """Write the models that are drawn in their colours, best first, where no curve passes."""
    best = _best(value)
    lines = [(what, "0.3"), *((f"{m}  {value[m]:.3f}", look(m)["color"]) for m in best)]
    if len(value) > len(best):
        lines.append((f"({len(value) - len(best)} weaker ones not drawn)", "0.5"))
    step = 0.062
    # Above the line of chance, if that is at the bottom too.
    low = 0.12 if left else 0.03
    top = low + step * (len(lines) - 1) if bottom else 0.98
    for number, (text, colour) in enumerate(lines):
        axis.annotate(
            text, (0.01 if left else 0.99, top - number * step), xycoords="axes fraction",
            ha="left" if left else "right", va="bottom" if bottom else "top",
            color=colour, fontsize=8,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip


def draw_auroc(path: str | os.PathLike[str], report: Report, title: str) -> None:
    """Draw the AUROC of every row of a link table with its interval, one panel per class."""
    parts: dict[str, dict[str, Any]] = {}
    for row in report.rows:
        parts.setdefault(row["class"], {})[row["model"]] = row["auroc"]
    draw_forest(path, parts, "AUROC", title, chance=0.5)


def draw_reliability(
    path: str | os.PathLike[str],
    panels: Mapping[str, tuple[str, Sequence[tuple[float, float, int]]]],
    title: str,
) -> None:
    """Draw how often pairs of a predicted probability are positive, with the pairs of each bin.

    Parameters
    ----------
    path : path-like
        PNG.
    panels : mapping
        Class of pairs to a model and its `reliability_bins`.
    title : str
    """
    figure = new_figure(3.2 * len(panels) + 0.5, 3.9)
    axes = make_panels(figure, 1, len(panels), sharey=True)[0]
    for axis, (name, (model, bins)) in zip(axes, panels.items(), strict=True):
        predicted, share, count = (np.array(column) for column in zip(*bins, strict=True))
        axis.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, zorder=0)
        # The more pairs, the larger the mark: a bin of three pairs says little.
        axis.plot(predicted, share, color=look(model)["color"], linewidth=1)
        axis.scatter(predicted, share, s=12 + 140 * count / count.max(), color=look(model)["color"])
        for x, y, n in zip(predicted, share, count, strict=True):
            axis.annotate(
                f"{n:,}", (x, y), xytext=(0, 9 if y < 0.9 else -16), textcoords="offset points",
                ha="center", fontsize=7, color="0.35",
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )  # fmt: skip
        axis.set(
            xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xlabel="predicted probability",
            title=f"{name}: {model}",
        )  # fmt: skip
    axes[0].set_ylabel("share of positives")
    figure.suptitle(title)
    save(figure, path)
