"""A report as one self-contained HTML page: no network, no script, light and dark.

The template lies beside this file, pictures are written into the page.
"""

from __future__ import annotations

import base64
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import lcplm_graph
from lcplm_graph.evaluation.report import Report, shown
from lcplm_graph.io import atomic_path

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def write_page(
    path: str | os.PathLike[str],
    report: Report,
    figures: Mapping[str, str | os.PathLike[str]] | None = None,
    *,
    metric: str | None = None,
    command: Sequence[str] | None = None,
) -> Path:
    """Write a report as one HTML file that can be sent to somebody.

    Parameters
    ----------
    path : path-like
        FILE.html.
    report : Report
    figures : mapping of str to path-like, optional
        PNG or SVG files by caption, in their order.
    metric : str, optional
        Key of the rows whose best value of each class is set in bold and makes the conclusion;
        larger is better.
    command : sequence of str, optional
        The command line to repeat it; default: of this process.

    Returns
    -------
    Path
        Of the page.
    """
    from jinja2 import Environment, select_autoescape

    environment = Environment(autoescape=select_autoescape(default=True), trim_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    best = best_rows(report.rows, metric) if metric else {}
    rows = [
        {
            "cells": [shown(row.get(key)) for key in report.columns],
            "best": best.get(_group(row)) == number,
        }
        for number, row in enumerate(report.rows)
    ]
    text = template.render(
        title=report.title,
        conclusions=conclusions(report.rows, metric, report.columns) if metric else [],
        heading=list(report.columns.values()),
        rows=rows,
        facts={key: shown(value) for key, value in report.facts.items()},
        notes=report.notes,
        figures={caption: _embedded(Path(file)) for caption, file in (figures or {}).items()},
        command=shlex.join(command or ["lcplm", *_own_words()]),
        version=lcplm_graph.__version__,
        day=date.today().isoformat(),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def best_rows(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, int]:
    """Return for each class the number of the row with the largest value of `metric`."""
    best: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row.get(metric) is None:
            continue
        at = best.setdefault(_group(row), number)
        if _value(row[metric]) > _value(rows[at][metric]):
            best[_group(row)] = number
    return best


def conclusions(
    rows: Sequence[Mapping[str, Any]], metric: str, columns: Mapping[str, str]
) -> list[str]:
    """Say for each class, in a sentence, which row is best and how far below the next one is.

    Intervals that overlap do not say that two models are equal, nor does the sentence.
    """
    said = []
    name = columns.get(metric, metric).split(" [")[0]
    for group, number in best_rows(rows, metric).items():
        own = [row for row in rows if _group(row) == group and row.get(metric) is not None]
        others = sorted(
            (row for row in own if row is not rows[number]), key=lambda r: -_value(r[metric])
        )
        text = f"{group}: {rows[number]['model']} is best, {name} {shown(rows[number][metric])}"
        if others:
            next_one = others[0]
            apart = getattr(rows[number][metric], "low", -1.0) > getattr(
                next_one[metric], "high", 2.0
            )
            text += f"; next {next_one['model']}, {shown(next_one[metric])}"
            text += ", intervals apart" if apart else ", intervals overlap"
        said.append(f"{text}.")
    return said


def _group(row: Mapping[str, Any]) -> str:
    return str(row.get("class") or row.get("part") or row.get("aspect") or "All")


def _value(value: Any) -> float:
    return float(getattr(value, "value", value))


def _embedded(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{_TYPES[path.suffix]};base64,{data}"


def _own_words() -> list[str]:
    name = Path(sys.argv[0]).stem
    return [*([] if name in ("lcplm", "__main__") else [name]), *sys.argv[1:]]
