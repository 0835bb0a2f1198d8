"""Predicted pairs as a page: the surest ones, and how probabilities and uncertainties lie."""

from __future__ import annotations

import heapq
import os
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.evaluation.page import MOST_SHOWN, write_page
from lcplm_graph.evaluation.report import Report
from lcplm_graph.figures import COLOURS, new_figure, panels, save
from lcplm_graph.files.networks import Network
from lcplm_graph.numeric import FloatArray

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
    seen = SeenRows(network.columns, network.ends, network.nodes)
    for row in network.rows:
        seen.add(row)
    return write_page_of(path, seen, title, facts)


class SeenRows:
    """What a page shows of predicted pairs, row by row, so that not all need to be kept.

    Parameters
    ----------
    columns, ends, nodes
        As in `Network`.
    """

    def __init__(
        self,
        columns: Sequence[str],
        ends: tuple[str, str],
        nodes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.columns, self.ends, self.nodes = columns, ends, nodes or {}
        # Two numbers of each pair are drawn; arrays hold them in eight bytes.
        self._numbers = array("d"), array("d")
        self._at = [columns.index(name) for name in ("probability", "uncertainty")]
        self._known = columns.index("known") if "known" in columns else None
        self._surest: list[tuple[float, int, tuple[Any, ...]]] = []
        self._best_new: tuple[float, int, tuple[Any, ...]] | None = None
        self.new = self.sure = 0

    def add(self, row: tuple[Any, ...]) -> None:
        """Take the next row."""
        probability, spread = (float(row[place]) for place in self._at)
        # Of equal ones the first counts; no two have one number, so rows are not compared.
        one = probability, -len(self), row
        self._numbers[0].append(probability)
        self._numbers[1].append(spread)
        if len(self._surest) < MOST_SHOWN:
            heapq.heappush(self._surest, one)
        else:
            heapq.heappushpop(self._surest, one)
        if self._known is None or row[self._known] == "no":
            self.new += 1
            self.sure += probability >= 0.5
            self._best_new = one if self._best_new is None else max(self._best_new, one)

    def __len__(self) -> int:
        return len(self._numbers[0])

    @property
    def numbers(self) -> tuple[FloatArray, FloatArray]:
        """Probabilities and uncertainties of all rows."""
        probability, spread = (np.array(values, np.float64) for values in self._numbers)
        return probability, spread

    def surest(self) -> list[dict[str, Any]]:
        """Return the rows with the highest probabilities, best first."""
        return [self._named(one) for one in sorted(self._surest, reverse=True)]

    def best_new(self) -> dict[str, Any] | None:
        """Return the most likely row that is not known."""
        return None if self._best_new is None else self._named(self._best_new)

    def _named(self, one: tuple[float, int, tuple[Any, ...]]) -> dict[str, Any]:
        return dict(zip(self.columns, one[2], strict=True))


def write_page_of(
    path: str | os.PathLike[str], seen: SeenRows, title: str, facts: Mapping[str, Any]
) -> Path:
    """Write what `write_network_page` writes, of rows that were seen one by one."""
    rows = [row | {"rank": str(row["rank"])} if "rank" in row else row for row in seen.surest()]
    rows = [row | _symbols(seen, row) for row in rows]
    rows = [row | {"probability": _shown(float(row["probability"]))} for row in rows]
    heading = {name: name.replace("_", " ") for name in seen.columns}
    notes = list(_NOTES)
    if len(seen) > len(rows):
        notes.insert(0, f"The {len(rows):,} surest of {len(seen):,} pairs are shown.")
    report = Report(title, heading, rows, dict(facts), notes)
    with tempfile.TemporaryDirectory() as folder:
        if len(seen) > 1:
            picture = Path(folder) / "probability.png"
            _draw(picture, *seen.numbers)
            report.figures["How probabilities lie, and how far the models agree"] = picture
        return write_page(path, report, headline=_headline(seen))


def _shown(probability: float) -> str:
    """Return three digits; what they would round to 1 is not certain, and does not look so."""
    return "> 0.999" if 0.9995 <= probability < 1 else f"{probability:.3f}"


def _symbols(seen: SeenRows, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to show for ends that have a gene name, but no column for it."""
    without = [end for end in seen.ends if _SYMBOLS.get(end) not in seen.columns]
    return {end: _name(seen, row, end) for end in without}


def _name(seen: SeenRows, row: Mapping[str, Any], end: str) -> str:
    """Return the gene name if there is one: a reader knows genes, not STRING's numbers."""
    symbol = row.get(_SYMBOLS.get(end, "")) or seen.nodes.get(row[end], {}).get("symbol")
    return str(symbol or row[end])


def _headline(seen: SeenRows) -> str:
    """Say how many pairs are likely, and which one most; of those not known, where that is told."""
    if not len(seen):
        return "There is no pair."
    if len(seen) == 1 and "known" not in seen.columns:
        return _verdict(seen, seen.surest()[0])
    known, best = len(seen) - seen.new, seen.best_new()
    if best is None:
        return f"All {known:,} pairs are known."
    surest = " and ".join(_name(seen, best, end) for end in seen.ends)
    surest += f", {_shown(float(best['probability']))}"
    if not known:
        count = f"{seen.sure:,} of {len(seen):,} pairs"
        return f"{count} have a probability of 0.5 or more; the surest: {surest}."
    count = f"{known:,} of {len(seen):,} pairs are known"
    return f"{count}. New, with a probability of 0.5 or more: {seen.sure:,}; the surest: {surest}."


def _verdict(seen: SeenRows, row: Mapping[str, Any]) -> str:
    names = " and ".join(_name(seen, row, end) for end in seen.ends)
    probability = float(row["probability"])
    if abs(probability - 0.5) < float(row["uncertainty"]):
        verdict = "may or may not interact"  # some members of the model say so, some say no
    else:
        verdict = "probably interact" if probability >= 0.5 else "probably do not interact"
    return f"{names} {verdict}: probability {_shown(probability)}."


def _draw(path: Path, probability: np.ndarray, spread: np.ndarray) -> None:
    figure = new_figure(8.4, 3.0)
    left, right = panels(figure, 1, 2)[0]
    left.hist(probability, bins=np.linspace(0, 1, _BINS + 1), color=COLOURS[0])
    left.axvline(0.5, color="0.6", linewidth=0.8)
    left.set(xlabel="probability", ylabel="pairs", xlim=(0, 1))
    right.scatter(probability, spread, s=8, color=COLOURS[0], alpha=0.5, linewidths=0)
    right.set(xlabel="probability", ylabel="uncertainty", xlim=(0, 1), ylim=(0, None))
    save(figure, path)
