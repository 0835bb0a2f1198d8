"""A report as one self-contained HTML page: no network, no script, light and dark.

The template lies beside this file, pictures are written into the page.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import lcplm_graph
from lcplm_graph.evaluation.report import Report, best_rows, group_of, shown, value_of
from lcplm_graph.io import atomic_path
from lcplm_graph.provenance import command_line

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_NARROW = 700  # pixels
#: So many predictions a page shows, the surest; the table beside it has all.
MOST_SHOWN = 200
_LONG_WORD = re.compile(r"([A-Za-z]{40})[A-Za-z]{21,}")
_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def write_page(
    path: str | os.PathLike[str],
    report: Report,
    figures: Mapping[str, str | os.PathLike[str]] | None = None,
    *,
    metric: str | None = None,
    command: Sequence[str] | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    headline: str = "",
) -> Path:
    """Write a report as one HTML file that can be sent by mail.

    Parameters
    ----------
    path : path-like
        FILE.html.
    report : Report
    figures : mapping of str to path-like, optional
        PNG or SVG files by caption, in their order; default: those of the report.
    metric : str, optional
        Key of the rows whose best value of each class is set in bold and makes the conclusion;
        larger is better.
    command : sequence of str, optional
        The command line to repeat it; default: of this process.
    sections : mapping of str to mapping, optional
        Names and values under headings of their own, such as a leakage report.
    headline : str
        The conclusion, where it does not follow from the best rows.

    Returns
    -------
    Path
        Of the page.
    """
    from jinja2 import Environment, select_autoescape

    environment = Environment(autoescape=select_autoescape(default=True), trim_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    best = best_rows(report.rows, metric) if metric else {}
    pictures = report.figures if figures is None else figures
    rows = [
        {
            "cells": [(_cut(shown(x)), _breaks(x)) for x in map(row.get, report.columns)],
            "best": best.get(group_of(row)) == number,
            "first": number > 0 and group_of(row) != group_of(report.rows[number - 1]),
        }
        for number, row in enumerate(report.rows)
    ]
    text = template.render(
        title=report.title,
        headline=_cut(headline or (headline_of(report, metric) if metric else "")),
        conclusions=conclusions(report.rows, metric, report.columns) if metric else [],
        sections={
            name: {key: shown(value) for key, value in content.items()}
            for name, content in (sections or {}).items()
        },
        heading=list(report.columns.values()),
        rows=rows,
        facts={key: shown(value) for key, value in report.facts.items()},
        notes=report.notes,
        figures={text: (_embedded(Path(f)), _is_large(Path(f))) for text, f in pictures.items()},
        command=command_line(command),
        version=lcplm_graph.__version__,
        day=date.today().isoformat(),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def headline_of(report: Report, metric: str) -> str:
    """Say in one sentence which model is best where.

    Examples
    --------
    >>> rows = [{"class": "C1", "model": "a", "auroc": 0.9}, {"class": "C3", "model": "a",
    ...         "auroc": 0.7}, {"class": "C3", "model": "b", "auroc": 0.6}]
    >>> headline_of(Report("t", {"auroc": "AUROC [95 %]"}, rows), "auroc")
    'a is best everywhere: AUROC 0.900 in C1, 0.700 in C3.'
    """
    won: dict[str, list[str]] = {}
    for group, number in best_rows(report.rows, metric).items():
        row = report.rows[number]
        place = "" if group == "All" else f" in {group}"
        won.setdefault(str(row["model"]), []).append(f"{value_of(row[metric]):.3f}{place}")
    if not won:
        return ""
    name = _heading(report.columns, metric)
    if len(won) == 1:
        ((model, places),) = won.items()
        where = "" if len(places) == 1 else " everywhere"
        return f"{model} is best{where}: {name} {', '.join(places)}."
    each = "; ".join(f"{model}, {', '.join(places)}" for model, places in won.items())
    return f"Best by {name}: {each}."


def _heading(columns: Mapping[str, str], metric: str) -> str:
    return columns.get(metric, metric).split(" [")[0]


def conclusions(
    rows: Sequence[Mapping[str, Any]], metric: str, columns: Mapping[str, str]
) -> list[str]:
    """Say for each class, in a sentence, which row is best and how far below the next one is.

    Intervals that overlap do not say that two models are equal, nor does the sentence.
    """
    said = []
    name = _heading(columns, metric)
    for group, number in best_rows(rows, metric).items():
        own = [
            row
            for row in rows
            if group_of(row) == group and row.get(metric) is not None and not row.get("published")
        ]
        others = sorted(
            (row for row in own if row is not rows[number]), key=lambda r: -value_of(r[metric])
        )
        text = f"{group}: {rows[number]['model']} is best, {name} {shown(rows[number][metric])}"
        if others:
            next_one = others[0]
            text += f"; next {next_one['model']}, {shown(next_one[metric])}"
            text += _apart(rows[number][metric], next_one[metric])
        said.append(f"{text}.")
    return said


def _apart(best: Any, other: Any) -> str:
    if not (hasattr(best, "low") and hasattr(other, "high")):
        return ""
    return ", intervals apart" if best.low > other.high else ", intervals overlap"


def _cut(text: str) -> str:
    """Shorten sequences, by which a protein may be named; paths stay whole."""
    return _LONG_WORD.sub(r"\1...", text)


def _breaks(value: Any) -> str:
    """Say where a cell may be broken into lines: never numbers, most texts on narrow screens."""
    if not isinstance(value, str) or len(value) <= 8:
        return ""
    return "text long" if len(value) > 40 else "text"


def _embedded(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{_TYPES[path.suffix]};base64,{data}"


def _is_large(path: Path) -> bool:
    """Whether a picture is moved sideways on a narrow screen rather than made small."""
    size = path.read_bytes()[16:20]  # where a PNG has its width
    return path.suffix == ".png" and int.from_bytes(size, "big") > _NARROW
