"""Tables of labels, variants and names, row by row."""

from __future__ import annotations

import re

from fuzz_core import Refused

from plain_parsers.lines import counted, cut, rows, sign_of


def table(content: bytes, promised: str) -> dict[str, list[str]] | None:
    """Read a table of labels; None where quotes would need a better parser."""
    text = content.decode("utf-8")
    if '"' in text:
        return None
    lines = counted(content)
    sign = likely_sign(lines, promised)
    found = [[cell.strip() for cell in _split(line, sign)] for line in text.split("\n")]
    header, *body = [cells for cells in found if any(cells)] or [[]]
    right = all(header) and len(set(header)) == len(header) and body
    if not right or any(len(cells) != len(header) for cells in body):
        raise Refused(header)
    return {name: [cells[i] for cells in body] for i, name in enumerate(header)}


def likely_sign(lines: list[str], otherwise: str) -> str:
    """Tell what cuts the first 100 lines, and not the first alone."""
    sign = sign_of(lines) if lines else None
    if sign is None or sign == "\t":
        return sign or otherwise
    looked = [cut(line, sign) for line in lines[:100]]
    if None in looked or (len(looked) > 1 and {len(cells) for cells in looked[1:]} == {1}):
        return otherwise
    return sign


def _split(line: str, sign: str) -> list[str]:
    return re.split(" +", line.strip(" ")) if sign == " " else line.split(sign)


def variants(content: bytes) -> list[tuple[str | None, str]] | None:
    """Read a list of variants, or a table of them."""
    text = content.decode("utf-8")
    if '"' in text:
        return None
    lines = [line for line in text.split("\n") if line.strip()]
    lines = [line for line in lines if not line.lstrip().startswith("#")]
    sign = likely_sign(lines, ",")
    if sign == " " and any("\t" in line for line in lines):
        raise Refused("a tab among blanks")
    found = [[cell.strip() for cell in _split(line, sign)] for line in lines]
    names = [cell.lower() for cell in found[0]] if found else []
    place = next((names.index(n) for n in ("variant", "mutant", "mutation") if n in names), None)
    protein = next((names.index(n) for n in ("protein", "id", "protein_id") if n in names), None)
    body = found if place is None else found[1:]
    if (place is None and len(names) > 1) or not body:
        raise Refused(names)
    if any(len(cells) != len(names) or not cells[place or 0] for cells in body):
        raise Refused(names)
    return [(None if protein is None else cells[protein], cells[place or 0]) for cells in body]


def aliases(content: bytes) -> list[tuple[str, ...]]:
    """Read STRING's table of names row by row."""
    header, *found = rows(content, ()) or [[]]
    if len(header) < 3 or any(len(cells) != len(header) for cells in found):
        raise Refused(header)
    return [tuple(cells[:3]) for cells in found]


def map_labels(content: bytes) -> list[set[str]] | None:
    """Read labels of the proteins P1, P2 and P4; None where an id may be another spelling."""
    labels: dict[str, set[str]] = {name: set() for name in ("p1", "p2", "p4")}
    found = rows(content, ())
    if any(len(cells) < 2 for cells in found):
        raise Refused(found)
    if not all(re.fullmatch("[A-Za-z0-9]+", cells[0]) for cells in found):
        return None
    for cells in found:
        parts = {part.strip() for part in cells[1].split(";")} - {""}
        labels.get(cells[0].lower(), set()).update(parts)
    if not any(labels.values()):
        raise Refused("no label")
    return list(labels.values())


def symbols(content: bytes) -> list[str]:
    """Read the gene name of the protein a."""
    header, *found = rows(content, ()) or [[]]
    if len(header) < 2 or any(len(cells) != len(header) for cells in found):
        raise Refused(header)
    named = [cells[1] for cells in found if cells[0] == "a"]
    return [(named or ["a"])[0] or "a"]
