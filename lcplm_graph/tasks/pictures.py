"""Pictures of scores: heat maps of substitutions, maps of contacts."""

from __future__ import annotations

import os

import numpy as np

from lcplm_graph.figures import new_figure, panels, save
from lcplm_graph.numeric import Float32Array
from lcplm_graph.tokens.vocabulary import STANDARD_RESIDUES

LETTERS = "GPAVLIMFWYCHSTNQDEKR"
"""The 20 residues, similar ones beside each other."""

_PER_ROW, _ROWS = 100, 12


def draw_heat_map(
    path: str | os.PathLike[str], sequence: str, scores: Float32Array, title: str
) -> None:
    """Draw scores of single substitutions: residues upwards, positions to the right.

    Parameters
    ----------
    path : path-like
        PNG or SVG.
    sequence : str
        The wild type; its residues are marked where there is room.
    scores : ndarray, shape=(L, 20)
        Columns in the order of `STANDARD_RESIDUES`; NaN is drawn grey.
    title : str
    """
    length = len(sequence)
    width = max(_PER_ROW, -(-length // _ROWS))
    rows = -(-length // width)
    grid = scores[:, [STANDARD_RESIDUES.index(letter) for letter in LETTERS]].T
    known = np.abs(grid[np.isfinite(grid)])
    limit = float(np.quantile(known, 0.99)) if len(known) else 1.0
    # Short proteins, too, have room for the title and for what the axis is.
    figure = new_figure(max(2.0 + 11.0 * min(length, width) / width, 6.0), 0.6 + 1.75 * rows)
    axes = panels(figure, rows, 1)[:, 0]
    for row, axis in enumerate(axes):
        start, stop = row * width, min((row + 1) * width, length)
        axis.axvspan(start + 0.5, stop + 0.5, color="0.85", zorder=0, linewidth=0)
        image = axis.imshow(
            grid[:, start:stop], aspect="auto", cmap="RdBu", vmin=-limit or -1, vmax=limit or 1,
            extent=(start + 0.5, stop + 0.5, len(LETTERS) - 0.5, -0.5),
        )  # fmt: skip
        axis.set_xlim(start + 0.5, start + 0.5 + (width if rows > 1 else stop - start))
        axis.set_xticks([tick for tick in axis.get_xticks() if start < tick <= stop])
        axis.set_yticks(range(len(LETTERS)), list(LETTERS), fontsize=6, family="monospace")
        axis.tick_params(length=2)
        if width == _PER_ROW:
            marks = [(i + 1, LETTERS.index(c)) for i, c in enumerate(sequence) if c in LETTERS]
            inside = np.array([mark for mark in marks if start < mark[0] <= stop]).reshape(-1, 2)
            axis.plot(inside[:, 0], inside[:, 1], ".", color="black", markersize=2.5)
    dots = " (a dot: the residue of the wild type)" if width == _PER_ROW else ""
    axes[-1].set_xlabel(f"position{dots}")
    bar = figure.colorbar(image, ax=axes.tolist(), shrink=min(1.0, 3.0 / (1.75 * rows)), aspect=15)
    bar.set_label("score (0: like the wild type)")
    figure.suptitle(title, fontsize=10)
    save(figure, path)


def draw_map(
    path: str | os.PathLike[str],
    scores: Float32Array,
    title: str,
    labels: tuple[str, str],
    known: Float32Array | None = None,
    *,
    between: bool = False,
) -> None:
    """Draw contact scores as a map; of one protein, from six residues apart on.

    Parameters
    ----------
    path : path-like
        PNG or SVG.
    scores : ndarray, shape=(n, m)
    title : str
    labels : (str, str)
        What the vertical and the horizontal axis are.
    known : ndarray, shape=(n, m), optional
        1 where residues touch in a structure; drawn as points, for one protein above the
        diagonal only.
    between : bool
        The scores are between two proteins.
    """
    figure = new_figure(6.4, 5.6)
    axis = panels(figure, 1, 1)[0, 0]
    n, m = scores.shape
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(m))) >= 6 if not between else True
    shown = np.where(apart, scores, np.nan)
    low, high = np.nanquantile(shown, [0.5, 0.998]) if np.isfinite(shown).any() else (0, 1)
    image = axis.imshow(
        shown, cmap="Greys", vmin=low, vmax=max(high, low + 1e-9), origin="lower",
        extent=(0.5, m + 0.5, 0.5, n + 0.5), aspect="auto" if between else "equal",
    )  # fmt: skip
    if known is not None:
        rows, columns = np.nonzero((known == 1) & apart)
        lower = rows > columns if not between else np.ones(len(rows), bool)
        axis.plot(
            columns[lower] + 1, rows[lower] + 1, ".", color="#D55E00", markersize=2,
            label="contact in the structure",
        )  # fmt: skip
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.1), fontsize=8, frameon=False)
    axis.set(title=title, ylabel=labels[0], xlabel=labels[1])
    axis.locator_params(integer=True)  # there is no position one and a half
    figure.colorbar(image, ax=axis, shrink=0.8).set_label("score after APC")
    save(figure, path)
