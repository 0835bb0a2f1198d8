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
# By the marker of the model: style and width.
_STYLES: dict[str, tuple[Any, float]] = {"s": ("--", 1.8), "D": ("-", 3.0), "^": (":", 1.8)}


def draw_roc_pr(
    path: str | os.PathLike[str], panels: Mapping[str, Curves], ratio: float, title: str
) -> None:
    """Draw ROC (above) and precision-recall (below), one column of panels per class of pairs.

    The five best models of a class are drawn, and named below the panel in the order of quality;
    the others are counted.  Of equal curves each shows between the dashes of the next.

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
    figure = new_figure(3.9 * len(panels), 9.8)
    axes = make_panels(figure, 2, len(panels))
    for column, (name, curves) in enumerate(panels.items()):
        draw_roc(axes[0, column], curves)
        draw_precision_recall(axes[1, column], curves, ratio)
        axes[0, column].set_title(name)
    figure.suptitle(title)
    save(figure, path)


def draw_roc(axis: Axes, curves: Curves) -> None:
    """Draw the ROC curves of the best models, and of chance."""
    value = {model: auroc(labels, scores) for model, (labels, scores) in curves.items()}
    lines = {model: roc_curve(*curves[model])[:2] for model in _best(value)}
    for model, style in _styles(lines).items():
        axis.plot(*lines[model], label=f"{model}  {value[model]:.3f}", **style)
    axis.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, zorder=0)
    axis.set(xlabel="false positive rate", ylabel="true positive rate")
    _names(axis, "AUROC", len(value) - len(lines))


def draw_precision_recall(axis: Axes, curves: Curves, ratio: float) -> None:
    """Draw the best models' curves, with precision for `ratio` negatives per positive."""
    value = {
        model: average_precision(labels, scores, ratio)
        for model, (labels, scores) in curves.items()
    }
    lines = {}
    for model in _best(value):
        labels, scores = curves[model]
        label = np.asarray(labels, bool)
        weight = np.where(label, 1.0, ratio * label.sum() / (~label).sum())
        precision, recall, _ = precision_recall_curve(label, scores, sample_weight=weight)
        lines[model] = (recall, precision)
    for model, style in _styles(lines).items():
        # Steps: between two thresholds no precision in between can be had.
        name = f"{model}  {value[model]:.3f}"
        axis.step(*lines[model], where="post", label=name, **style)
    axis.axhline(1 / (1 + ratio), color="0.8", linewidth=0.8, zorder=0)
    axis.set(xlabel="recall", ylabel=f"precision at 1 : {ratio:g}", ylim=(0, 1.02))
    _names(axis, f"AP 1 : {ratio:g}", len(value) - len(lines))


def _best(value: Mapping[str, float]) -> list[str]:
    return sorted(value, key=lambda model: -value[model])[:_SHOWN]


def _styles(lines: Mapping[str, tuple[Any, Any]]) -> dict[str, dict[str, Any]]:
    """Choose the style of each line, the best first; of equal lines each shows through."""
    styles: dict[str, dict[str, Any]] = {}
    for place, model in enumerate(lines):
        earlier = list(lines)[:place]
        below = sum(_equal(lines[model], lines[other]) for other in earlier)
        style, width = _STYLES.get(look(model)["marker"], ("-", 1.8))
        colour = look(model)["color"]
        if below:  # dashes with room for each of those below, which begin where theirs do not
            style = (4.0 * below, (4.0, 4.0 * below))
        elif any(styles[o]["color"] == colour and styles[o]["linestyle"] == style for o in earlier):
            style = (0, (1, 1))
        # The best lies on top, but for what would then hide an equal one.
        order = 3.0 + 0.01 * place if below else 2.0 - 0.01 * place
        styles[model] = {"color": colour, "linestyle": style, "linewidth": width, "zorder": order}
    return styles


def _equal(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _names(axis: Axes, what: str, left_out: int) -> None:
    """Name the lines below the panel, best first, where no curve passes."""
    if left_out:
        axis.plot([], [], color="none", label=f"({left_out} weaker not drawn)")
    axis.legend(
        title=what, loc="upper left", bbox_to_anchor=(0, -0.16), alignment="left", fontsize=8,
        title_fontsize=8, frameon=False, borderaxespad=0, handlelength=3,
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
