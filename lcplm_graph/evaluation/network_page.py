"""Predicted pairs as a page: the surest ones, and how probabilities and uncertainties lie."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.evaluation.page import MOST_SHOWN, write_page
from lcplm_graph.evaluation.report import Report
from lcplm_graph.figures import COLOURS, new_figure, panels, save
from lcplm_graph.files.networks import Network

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
    order = np.argsort(-probability, kind="stable")[:MOST_SHOWN]
    rows = [dict(zip(network.columns, network.rows[i], strict=True)) for i in order]
    rows = [row | {"rank": str(row["rank"])} if "rank" in row else row for row in rows]
    rows = [row | _symbols(network, row) for row in rows]
    rows = [row | {"probability": _shown(float(row["probability"]))} for row in rows]
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


def _shown(probability: float) -> str:
    """Return three digits; what they would round to 1 is not certain, and does not look so."""
    return "> 0.999" if 0.9995 <= probability < 1 else f"{probability:.3f}"


def _symbols(network: Network, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to show for ends that have a gene name, but no column for it."""
    without = [end for end in network.ends if _SYMBOLS.get(end) not in network.columns]
    return {end: _name(network, row, end) for end in without}


def _name(network: Network, row: Mapping[str, Any], end: str) -> str:
    """Return the gene name if there is one: a reader knows genes, not STRING's numbers."""
    symbol = row.get(_SYMBOLS.get(end, "")) or network.nodes.get(row[end], {}).get("symbol")
    return str(symbol or row[end])


def _headline(network: Network, probability: np.ndarray) -> str:
    """Say how many pairs are likely, and which one most; of those not known, where that is told."""
    rows = [dict(zip(network.columns, row, strict=True)) for row in network.rows]
    if not rows:
        return "There is no pair."
    if len(rows) == 1 and "known" not in rows[0]:
        names = " and ".join(_name(network, rows[0], end) for end in network.ends)
        if abs(probability[0] - 0.5) < float(rows[0]["uncertainty"]):
            verdict = "may or may not interact"  # some members of the model say so, some say no
        else:
            verdict = "probably interact" if probability[0] >= 0.5 else "probably do not interact"
        return f"{names} {verdict}: probability {_shown(probability[0])}."
    new = [i for i, row in enumerate(rows) if row.get("known", "no") == "no"]
    known = len(rows) - len(new)
    if not new:
        return f"All {known:,} pairs are known."
    best = max(new, key=lambda i: probability[i])
    surest = " and ".join(_name(network, rows[best], end) for end in network.ends)
    surest += f", {_shown(probability[best])}"
    sure = int((probability[new] >= 0.5).sum())
    if not known:
        count = f"{sure:,} of {len(rows):,} pairs"
        return f"{count} have a probability of 0.5 or more; the surest: {surest}."
    count = f"{known:,} of {len(rows):,} pairs are known"
    return f"{count}. New, with a probability of 0.5 or more: {sure:,}; the surest: {surest}."


def _draw(path: Path, probability: np.ndarray, spread: np.ndarray) -> None:
    figure = new_figure(8.4, 3.0)
    left, right = panels(figure, 1, 2)[0]
    left.hist(probability, bins=np.linspace(0, 1, _BINS + 1), color=COLOURS[0])
    left.axvline(0.5, color="0.6", linewidth=0.8)
    left.set(xlabel="probability", ylabel="pairs", xlim=(0, 1))
    right.scatter(probability, spread, s=8, color=COLOURS[0], alpha=0.5, linewidths=0)
    right.set(xlabel="probability", ylabel="uncertainty", xlim=(0, 1), ylim=(0, None))
    save(figure, path)
