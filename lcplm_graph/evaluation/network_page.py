"""Predicted pairs as a page: the surest ones, and how probabilities and uncertainties lie."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.evaluation.page import write_page
from lcplm_graph.evaluation.report import Report
from lcplm_graph.figures import COLOURS, new_figure, panels, save
from lcplm_graph.files.networks import Network

_SHOWN = 200
_BINS = 20
_SYMBOLS = {"partner": "symbol", "protein1": "symbol1", "protein2": "symbol2"}
_NOTES = [
    "Probabilities hold where one pair that does not interact comes with each that does; among all "
    "pairs of a proteome, pairs that interact are far rarer.",
    "Uncertainty: standard deviation of the probabilities of models of different seeds.",
]


def write_network_page(
    path: str | os.PathLike[str], network: Network, title: str, facts: Mapping[str, Any]
) -> Path:
    """Write predicted pairs as one HTML file.

    Parameters
    ----------
    path : path-like
        FILE.html.
    network : Network
        With the columns `probability` and `uncertainty`.
    title : str
    facts : mapping
        For the section on data.

    Returns
    -------
    Path
        Of the page.
    """
    at = {name: number for number, name in enumerate(network.columns)}
    probability = np.array([row[at["probability"]] for row in network.rows], float)
    order = np.argsort(-probability, kind="stable")[:_SHOWN]
    rows = [dict(zip(network.columns, network.rows[i], strict=True)) for i in order]
    rows = [row | {"rank": str(row["rank"])} if "rank" in row else row for row in rows]
    heading = {name: name.replace("_", " ") for name in network.columns}
    notes = list(_NOTES)
    if len(network.rows) > len(rows):
        notes.insert(0, f"The {len(rows):,} surest of {len(network.rows):,} pairs are shown.")
    report = Report(title, heading, rows, dict(facts), notes)
    with tempfile.TemporaryDirectory() as folder:
        if len(network.rows) > 1:
            picture = Path(folder) / "probability.png"
            spread = np.array([row[at["uncertainty"]] for row in network.rows], float)
            _draw(picture, probability, spread)
            report.figures["How probabilities lie, and how far the models agree"] = picture
        return write_page(path, report, headline=_headline(network, probability))


def _headline(network: Network, probability: np.ndarray) -> str:
    if not len(probability):
        return "There is no pair."
    best = network.rows[int(np.argmax(probability))]
    # A reader knows genes, not STRING's numbers.
    shown = [_SYMBOLS.get(end, end) for end in network.ends]
    columns = [
        name if name in network.columns else end
        for name, end in zip(shown, network.ends, strict=True)
    ]
    names = [str(best[network.columns.index(column)]) for column in columns]
    sure = int((probability >= 0.5).sum())
    surest = f"{names[0]} and {names[1]}, {probability.max():.3f}"
    if len(probability) == 1:
        verdict = "probably interact" if sure else "probably do not interact"
        return f"{names[0]} and {names[1]} {verdict}: probability {probability[0]:.3f}."
    count = f"{sure:,} of {len(probability):,} pairs"
    return f"{count} have a probability of 0.5 or more; the surest: {surest}."


def _draw(path: Path, probability: np.ndarray, spread: np.ndarray) -> None:
    figure = new_figure(8.4, 3.0)
    left, right = panels(figure, 1, 2)[0]
    left.hist(probability, bins=np.linspace(0, 1, _BINS + 1), color=COLOURS[0])
    left.axvline(0.5, color="0.6", linewidth=0.8)
    left.set(xlabel="probability", ylabel="pairs", xlim=(0, 1))
    right.scatter(probability, spread, s=8, color=COLOURS[0], alpha=0.5, linewidths=0)
    right.set(xlabel="probability", ylabel="uncertainty", xlim=(0, 1), ylim=(0, None))
    save(figure, path)
