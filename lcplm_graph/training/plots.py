"""Curves of a training run as PNG files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lcplm_graph.figures import COLOURS, label_ends, new_figure, panels, save
from lcplm_graph.training.manifest import METRICS
from lcplm_graph.training.metrics import CHANCE, read_metrics

_SMOOTHING = 0.05
_COLUMNS = 3


def draw_loss(folder: Path, floors: Mapping[str, float] | None = None) -> Path:
    """Draw loss.png from metrics.csv: every quantity that was measured, training and held out.

    Parameters
    ----------
    folder : Path
        Of the run.
    floors : mapping of str to float, optional
        Losses per masked residue that need no model, by name; drawn as dashed lines.

    Returns
    -------
    Path
        Of the picture.
    """
    rows = read_metrics(folder / METRICS)
    quantities = [
        ("residues", "residue_loss", "loss, nats per masked residue"),
        ("relation markers", "relation_loss", "loss, nats per masked marker"),
        ("relation markers", "relation_auroc", "AUROC, held-out walks"),
        ("pairs", "pair_loss", "loss, nats per pair"),
        ("pairs", "pair_auroc", "AUROC, held-out pairs"),
        ("homologous pairs", "contrastive_loss", "InfoNCE, nats per protein"),
        ("homologous pairs", "contrastive_accuracy", "partner found in the batch"),
    ]
    shown = [p for p in quantities if _has(rows, p[1]) or _has(rows, f"valid_{p[1]}")]
    figure, axes = _panels(len(shown))
    for axis, (title, column, label) in zip(axes, shown, strict=True):
        _curve(axis, rows, column)
        # Stage 1 measures residues alone, and calls what it trains on the loss.
        held_out = "valid_loss" if _has(rows, "valid_loss") else "valid_residue_loss"
        measured = held_out if column == "residue_loss" else f"valid_{column}"
        steps, values = series(rows, measured)
        if steps:
            axis.plot(steps, values, "o-", color=COLOURS[1], markersize=4, label="held out")
        for name, level in (floors or {}).items() if column == "residue_loss" else ():
            axis.axhline(level, color=_grey(name), linestyle="--", label=f"{name} floor")
        if column in CHANCE:
            axis.axhline(CHANCE[column], color="0.6", linestyle=":", label="chance")
        if column == "relation_auroc":
            # A narrower axis would make a trend of sampling noise.
            low, high = axis.get_ylim()
            axis.set_ylim(min(low, 0.4), max(high, 0.6))
        axis.set(title=title, xlabel="optimiser step", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        label_ends(axis)
    return _save(figure, folder / "loss.png")


def draw_by_length(
    path: Path,
    edges: Sequence[int],
    curves: dict[str, dict[str, Sequence[float]]],
    proteins: Sequence[int],
) -> Path:
    """Draw loss against protein length.

    Parameters
    ----------
    path : Path
        Of the picture.
    edges : sequence of int
        Upper ends of the length bins.
    curves : dict of dict
        Panel title -> curve name -> a value per bin.  Names with "floor" are drawn dashed.
    proteins : sequence of int
        Of each bin: the loss of three proteins says little.
    """
    figure, axes = _panels(len(curves))
    for axis, (title, named) in zip(axes, curves.items(), strict=True):
        colours = iter(COLOURS)
        for name, values in named.items():
            style = (
                {"linestyle": "--", "color": _grey(name), "marker": "_"}
                if "floor" in name
                else {"marker": "o", "markersize": 4, "color": next(colours)}
            )
            axis.plot(edges, values, label=name, **style)
        axis.set_xscale("log", base=2)
        names = [f"{e:,}\n{n:,}" for e, n in zip(edges, proteins, strict=True)]
        axis.set_xticks(edges, names, fontsize=8)
        axis.minorticks_off()
        axis.set(
            title=title, xlabel="protein length, up to (below: number of proteins)",
            ylabel="nats per masked residue",
        )  # fmt: skip
        label_ends(axis)
    return _save(figure, path)


def _grey(name: str) -> str:
    return "0.7" if "unigram" in name else "0.4"


def _curve(axis: Any, rows: list[dict[str, float]], column: str) -> None:
    """Points of training, and through many of them a moving average."""
    steps, values = series(rows, column)
    if not steps:
        return
    width = max(1, round(_SMOOTHING * len(values)))
    name = "training" if width == 1 else "_"
    axis.plot(steps, values, color=COLOURS[0], alpha=0.35, linewidth=0.8, label=name)
    if width > 1:
        means = [
            sum(values[max(0, i - width + 1) : i + 1]) / min(i + 1, width)
            for i in range(len(values))
        ]
        axis.plot(steps, means, color=COLOURS[0], label=f"training, mean of {width}")


def series(rows: list[dict[str, float]], column: str) -> tuple[list[float], list[float]]:
    """Return steps and values of the rows of metrics.csv that have a value of the column."""
    points = [(r["step"], r[column]) for r in rows if not math.isnan(r.get(column, math.nan))]
    return [p[0] for p in points], [p[1] for p in points]


def _has(rows: list[dict[str, float]], column: str) -> bool:
    return bool(series(rows, column)[0])


def _panels(count: int) -> tuple[Figure, list[Any]]:
    columns = min(max(count, 1), _COLUMNS)
    rows = -(-max(count, 1) // columns)
    figure = new_figure(5.6 * columns, 3.8 * rows)
    axes = list(panels(figure, rows, columns).flat)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def _save(figure: Figure, path: Path) -> Path:
    save(figure, path)
    return path
