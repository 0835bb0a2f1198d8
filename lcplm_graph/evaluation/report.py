"""Result tables: printed, and written as ``results.json``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.evaluation.bootstrap import Interval
from lcplm_graph.io import write_json

# What a table is divided by, of which each part has a best row of its own.
_GROUPS = ("class", "part", "aspect", "range")


@dataclass
class Report:
    """Rows of results, with everything one must know to read them.

    Attributes
    ----------
    title : str
    columns : mapping of str to str
        Keys of the rows that are printed, and their headings.
    rows : list of dict
        Numbers, texts and `Interval` values; also keys that are not printed.
    facts : dict
        What holds for all rows: data, split, negatives, counts.
    notes : list of str
        Sentences below the table.
    figures : dict of str to path-like
        Pictures of the results by caption.
    made : dict
        Command, versions and files, for ``results.json``.
    """

    title: str
    columns: Mapping[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        cells = [[shown(row.get(key)) for key in self.columns] for row in self.rows]
        heading = list(self.columns.values())
        facts = [f"  {key}: {shown(value)}" for key, value in self.facts.items()]
        table = _aligned([heading, *cells]) if cells else ["(no row)"]
        return "\n".join([self.title, *facts, "", *table, *(f"* {note}" for note in self.notes)])

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``results.json`` into `folder` and return its path."""
        path = Path(folder) / "results.json"
        content = {
            "title": self.title,
            "facts": _plain(self.facts),
            "rows": _plain(self.rows),
            "notes": self.notes,
        }
        content |= {"made": _plain(self.made)} if self.made else {}
        write_json(path, content)
        return path


def shown(value: Any) -> str:
    """Return a cell of a table as text: intervals in brackets, three digits, "-" for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float | np.floating):
        return f"{value:.3f}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def best_rows(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, int]:
    """Return for each class the number of the row with the largest value of `metric`.

    Numbers that others published, of other data, are not among them.
    """
    best: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row.get(metric) is None or row.get("published"):
            continue
        at = best.setdefault(group_of(row), number)
        if value_of(row[metric]) > value_of(rows[at][metric]):
            best[group_of(row)] = number
    return best


def group_of(row: Mapping[str, Any]) -> str:
    """Return what a row is compared within: its class, set or aspect."""
    return str(next((row[key] for key in _GROUPS if row.get(key)), "All"))


def value_of(value: Any) -> float:
    """Return a number, or the middle of an interval."""
    return float(getattr(value, "value", value))


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _plain(value: Any) -> Any:
    """Turn results into what JSON knows; a NaN becomes null."""
    if isinstance(value, Interval):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
