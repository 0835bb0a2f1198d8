"""Annotations of GO, row by row."""

from __future__ import annotations

import re

from fuzz_core import Refused

from lcplm_graph.go.annotations import KNOWN_CODES
from plain_parsers.lines import rows

_ANNOTATION = {
    "protein": "protein", "entryid": "protein", "go_id": "go_id", "term": "go_id",
    "new_terms": "go_id", "evidence": "evidence", "aspect": "aspect", "date": "date",
    "qualifier": "qualifier",
}  # fmt: skip


def annotations(content: bytes) -> list[tuple[str, str, str | None, str | None, int]]:
    """Read GAF, or a table with or without a header, row by row."""
    found = rows(content, ("!", "#"))
    if not found:
        raise Refused("no row")
    first = [cell.lower() for cell in found[0]]
    names = [_ANNOTATION.get(cell) for cell in first]
    if "protein" in names and "go_id" in names:
        if any(names.count(name) > 1 for name in names if name):
            raise Refused("a column twice")
        del found[0]
        place = {name: i for i, name in enumerate(names) if name}
        widths = {len(first)}
    elif 15 <= len(first) <= 17:
        place = {"protein": 1, "qualifier": 3, "go_id": 4, "evidence": 6, "aspect": 8, "date": 13}
        widths = {15, 16, 17}
    elif len(first) == 2 and found[0][1].startswith("GO:"):
        place, widths = {"protein": 0, "go_id": 1}, {2}
    else:
        raise Refused(first)
    table = []
    for cells in found:
        if len(cells) not in widths:
            raise Refused(cells)
        table += _annotation({name: cells[i] for name, i in place.items()})
    return table


def _annotation(row: dict[str, str]) -> list[tuple[str, str, str | None, str | None, int]]:
    aspect, date = row.get("aspect", "P").upper(), row.get("date", "19991231")
    right = (
        row["protein"],
        re.fullmatch(r"GO:[0-9]{7}(,[\t\n\f\r ]*GO:[0-9]{7})*", row["go_id"]),
        row.get("evidence", "IEA") in KNOWN_CODES,
        aspect in {"P", "F", "C", "BP", "MF", "CC", "BPO", "MFO", "CCO"},
        re.fullmatch(r"[12][0-9]{3}[01][0-9][0-3][0-9]", date),
    )
    if not all(right):
        raise Refused(row)
    if "not" in re.split(r"[|,;\t\n\f\r ]", row.get("qualifier", "").lower()):
        return []
    short = {"P": "BP", "F": "MF", "C": "CC"}.get(aspect, aspect[:2]) if "aspect" in row else None
    when = int(date) if "date" in row else 0
    terms = [term.strip() for term in row["go_id"].split(",")]
    return [(row["protein"], term, row.get("evidence"), short, when) for term in terms]
