"""Pictures of a fine-tuning run: loss and metric over steps, predicted against true."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.evaluation.metrics import auroc
from lcplm_graph.figures import COLOURS, label_ends, new_figure, panels, save
from lcplm_graph.finetuning.metrics import HEADINGS, known_only
from lcplm_graph.finetuning.target import Array, Target
from lcplm_graph.training.manifest import METRICS
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.plots import series

_MOST_CLASSES = 25


def draw_training(folder: Path, metric: str, best_step: int) -> None:
    """Draw training.png from metrics.csv: losses, and the metric that the best is chosen by."""
    rows = read_metrics(folder / METRICS)
    figure = new_figure(10.4, 3.8)
    left, right = panels(figure, 1, 2)[0]
    steps, losses = series(rows, "loss")
    left.plot(steps, losses, color=COLOURS[0], alpha=0.8, label="training")
    left.plot(*series(rows, "valid_loss"), "o-", color=COLOURS[1], markersize=4, label="valid")
    left.set(xlabel="optimiser step", ylabel="loss", ylim=(0, None))
    right.plot(
        *series(rows, f"valid_{metric}"), "o-", color=COLOURS[1], markersize=4, label="valid"
    )
    right.set(xlabel="optimiser step", ylabel=f"{HEADINGS[metric]} on valid")
    for axis in (left, right):
        label_ends(axis)
        axis.axvline(best_step, color="0.7", linewidth=0.8, zorder=0)
        axis.annotate(
            "kept", (best_step, 1.01), xycoords=("data", "axes fraction"), color="0.5",
            fontsize=8, ha="center",
        )  # fmt: skip
    save(figure, folder / "training.png")


def draw_predictions(
    path: str | os.PathLike[str], target: Target, labels: Any, answers: Array | list[Array],
    title: str,
) -> None:  # fmt: skip
    """Draw predicted against true.

    Numbers as points, two classes as distributions of the probability, more as a confusion matrix,
    many labels as the AUROC of each by how often it occurs.

    Parameters
    ----------
    path : path-like
        PNG or SVG.
    target : Target
    labels, answers
        As in `lcplm_graph.finetuning.metrics.measure`.
    title : str
    """
    labels, answers = known_only(labels, answers)
    draw = {
        "regression": _scatter,
        "binary": _two,
        "multilabel": _many,
        "multiclass": _confusion,
        "residue": _confusion,
    }[target.kind]
    figure = new_figure(5.4, 4.8)
    axis = panels(figure, 1, 1)[0, 0]
    draw(figure, axis, target, labels, answers)
    axis.set_title(title)
    save(figure, path)


def _scatter(_: Any, axis: Any, target: Target, labels: Array, answers: Array) -> None:
    low, high = float(min(labels.min(), answers.min())), float(max(labels.max(), answers.max()))
    axis.plot([low, high], [low, high], color="0.8", linewidth=0.8, zorder=0)
    axis.plot(labels, answers, ".", color=COLOURS[0], alpha=max(0.15, min(0.8, 200 / len(labels))))
    axis.set(xlabel=f"{target.names[0]}, true", ylabel=f"{target.names[0]}, predicted")
    axis.set_aspect("equal", adjustable="datalim")


def _two(_: Any, axis: Any, target: Target, labels: Array, answers: Array) -> None:
    bins = np.linspace(0, 1, 26)
    for value, name in enumerate(target.names):
        chosen = answers[labels == value]
        if len(chosen):
            axis.hist(
                chosen, bins, density=True, histtype="stepfilled", alpha=0.45,
                color=COLOURS[1 - value], label=f"truly {name} ({len(chosen):,})",
            )  # fmt: skip
    axis.set(xlabel=f"predicted probability of {target.names[1]}", ylabel="density", xlim=(0, 1))
    axis.legend(frameon=False, fontsize=8)


def _confusion(figure: Any, axis: Any, target: Target, labels: Array, answers: Array) -> None:
    size = len(target.names)
    counts = np.zeros((size, size))
    np.add.at(counts, (labels, answers.argmax(1)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if size <= _MOST_CLASSES:
        names = [name[:24] for name in target.names]
        axis.set_xticks(range(size), names, rotation=45, ha="right", parse_math=False)
        axis.set_yticks(range(size), names, parse_math=False)
    if size <= 10:
        for i, j in np.ndindex(size, size):
            axis.text(
                j, i, f"{shares[i, j]:.2f}", ha="center", va="center", fontsize=8,
                color="white" if shares[i, j] > 0.6 else "black",
            )  # fmt: skip
    axis.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axis, shrink=0.8).set_label("share of the true class")


def _many(_: Any, axis: Any, target: Target, labels: Array, answers: Array) -> None:
    counts = labels.sum(axis=0)
    shown = [i for i in range(len(counts)) if 0 < counts[i] < len(labels)]
    values = [auroc(labels[:, i], answers[:, i]) for i in shown]
    axis.plot(counts[shown], values, ".", color=COLOURS[0], alpha=0.7)
    axis.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    axis.set(xscale="log" if shown else "linear", xlabel="proteins with the label",
             ylabel="AUROC of the label", ylim=(min([0.4, *values]), 1.01))  # fmt: skip
