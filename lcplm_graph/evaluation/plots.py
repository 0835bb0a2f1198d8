"""Pictures of results, drawn without a display."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.metrics import precision_recall_curve, roc_curve

from lcplm_graph.evaluation.metrics import auroc, average_precision
from lcplm_graph.io import atomic_path

Curves = Mapping[str, tuple[Any, Any]]
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_STYLES = ("-", "--", "-.", ":")


def draw_roc_pr(
    path: str | os.PathLike[str], panels: Mapping[str, Curves], ratio: float, title: str
) -> None:
    """Draw ROC (above) and precision-recall (below), one column of panels per class of pairs.

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
    figure = Figure(figsize=(4.6 * len(panels), 11.5), layout="constrained")
    axes = figure.subplots(2, len(panels), squeeze=False)
    for column, (name, curves) in enumerate(panels.items()):
        for number, (model, (labels, scores)) in enumerate(curves.items()):
            look = {
                "color": _COLOURS[number % len(_COLOURS)],
                "linestyle": _STYLES[number % len(_STYLES)],
            }
            fpr, tpr, _ = roc_curve(labels, scores)
            axes[0, column].plot(fpr, tpr, label=f"{model}  {auroc(labels, scores):.3f}", **look)
            label = np.asarray(labels, bool)
            weight = np.where(label, 1.0, ratio * label.sum() / (~label).sum())
            precision, recall, _ = precision_recall_curve(label, scores, sample_weight=weight)
            ap = average_precision(labels, scores, ratio)
            # Steps: between two thresholds no precision in between can be had.
            axes[1, column].step(
                recall, precision, where="post", label=f"{model}  {ap:.3f}", **look
            )
        axes[0, column].plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
        axes[1, column].axhline(1 / (1 + ratio), color="0.7", linewidth=0.8)
        axes[0, column].set(title=name, xlabel="false positive rate", ylabel="true positive rate")
        axes[1, column].set(xlabel="recall", ylabel=f"precision at 1 : {ratio:g}", ylim=(0, 1.02))
        for axis, metric in ((axes[0, column], "AUROC"), (axes[1, column], f"AP 1 : {ratio:g}")):
            axis.legend(
                fontsize=7, title=metric, title_fontsize=7,
                loc="upper center", bbox_to_anchor=(0.5, -0.14),
            )  # fmt: skip
    figure.suptitle(title)
    _save(figure, path)


def draw_reliability(
    path: str | os.PathLike[str], curves: Mapping[str, tuple[Any, Any]], title: str
) -> None:
    """Draw how often pairs of a predicted probability are positive, in ten equal-count bins.

    Parameters
    ----------
    path : path-like
        PNG.
    curves : mapping
        (labels, probabilities) by model.
    title : str
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    for number, (model, (labels, probabilities)) in enumerate(curves.items()):
        order = np.argsort(probabilities, kind="stable")
        bins = np.array_split(order, 10)
        x = [np.asarray(probabilities)[b].mean() for b in bins if len(b)]
        y = [np.asarray(labels, float)[b].mean() for b in bins if len(b)]
        axis.plot(x, y, marker="o", color=_COLOURS[number % len(_COLOURS)], label=model)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="share of positives")
    axis.set_title(title)
    axis.legend(fontsize=8)
    _save(figure, path)


def draw_embeddings(
    path: str | os.PathLike[str], features: Any, groups: Sequence[str | None], title: str
) -> None:
    """Draw the first two principal components, coloured by the most frequent groups.

    Parameters
    ----------
    path : path-like
        PNG.
    features : array_like, shape=(n, d)
    groups : sequence of str or None
        Family, fold or term of each protein; None and rare groups are grey.
    title : str
    """
    x = np.asarray(features, np.float64)
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
    pca = PCA(2, random_state=0)
    place = pca.fit_transform(x)
    names, counts = np.unique([g for g in groups if g is not None], return_counts=True)
    frequent = names[np.argsort(-counts, kind="stable")][: len(_COLOURS) - 1]
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    axis = figure.subplots()
    group = np.array(["" if g is None else g for g in groups])
    rest = ~np.isin(group, frequent)
    axis.scatter(place[rest, 0], place[rest, 1], s=3, color="0.85", linewidths=0)
    for number, name in enumerate(frequent):
        chosen = group == name
        label = f"{name} ({int(chosen.sum())})"
        axis.scatter(
            place[chosen, 0],
            place[chosen, 1],
            s=7,
            color=_COLOURS[number],
            label=label,
            linewidths=0,
        )
    for axis_name, part in zip(("x", "y"), pca.explained_variance_ratio_, strict=True):
        number = 1 if axis_name == "x" else 2
        axis.set(**{f"{axis_name}label": f"component {number} ({part:.0%} of variance)"})
    # A few outliers would push everything else into a corner.
    for setter, values in ((axis.set_xlim, place[:, 0]), (axis.set_ylim, place[:, 1])):
        low, high = np.quantile(values, [0.005, 0.995])
        setter(low - 0.1 * (high - low), high + 0.1 * (high - low))
    if len(frequent):
        axis.legend(fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_title(title)
    _save(figure, path)


def draw_bars(
    path: str | os.PathLike[str], panels: Mapping[str, Mapping[str, Any]], title: str, what: str
) -> None:
    """Draw one group of horizontal bars per panel, with intervals where values have them.

    Parameters
    ----------
    path : path-like
        PNG.
    panels : mapping
        Panel name to values (float or `Interval`) by model.
    title, what : str
        Title, and what the bars measure.
    """
    # One row per model in all panels, also where a panel lacks it.
    names = list(dict.fromkeys(name for bars in panels.values() for name in bars))
    place = np.arange(len(names))
    size = (3.2 * len(panels) + 3.5, max(3.0, 0.3 * len(names) + 1.4))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (title_of_panel, bars) in zip(axes, panels.items(), strict=True):
        values = [bars.get(name, np.nan) for name in names]
        lengths = [float(getattr(v, "value", v)) for v in values]
        ends = [float(getattr(v, "high", v)) for v in values]
        axis.barh(place, lengths, color=[_COLOURS[i % len(_COLOURS)] for i in place])
        for i, value in enumerate(values):
            if hasattr(value, "low"):
                axis.plot([value.low, value.high], [i, i], color="black", linewidth=1.2)
            text = "" if np.isnan(lengths[i]) else f" {lengths[i]:.3f}"
            axis.text(ends[i], i, text, va="center", fontsize=8)
        axis.set_yticks(place, names)
        # Room for the numbers at the ends of the bars.
        axis.set(title=title_of_panel, xlabel=what, xlim=(0, 1.25 * np.nanmax(ends)))
    axes[0].invert_yaxis()
    figure.suptitle(title)
    _save(figure, path)


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
