"""Tables of pairs of any source, row by row."""

from __future__ import annotations

import re

import numpy as np
from fuzz_core import Refused

from lcplm_graph.datasets.pair_table import VALUE_HEADER, id_columns, is_header, says_id
from lcplm_graph.datasets.published import NO_LABEL_CELLS
from plain_parsers.lines import rows, separated


def places(found: list[list[str]]) -> tuple[int, int, int, bool]:
    """Where ids and value are, -1 if there is none, and whether the first line is a header."""
    first = found[0]
    ids = [i for i, cell in enumerate(first) if says_id(cell)]
    if len(first) in (2, 3) and (is_header(first) or len(ids) != 2 or ids == [0, 1]):
        place = (0, 1, 2 if len(first) == 3 else -1, is_header(first))
    else:
        values = [i for i, x in enumerate(first) if i not in ids and VALUE_HEADER.fullmatch(x)]
        if len(ids) != 2 or len(values) > 1:
            raise Refused(first)
        place = (*ids, *(values or [-1]), True)
    if place[3] and len(found) > 1 and len(found[1]) == len(first) + 1:
        raise Refused("names of rows")
    return place


def pairs(content: bytes) -> list[tuple[str, str, float]]:
    """Read a table of pairs row by row."""
    found = separated(content)
    width = len(found[0])
    a, b, third, has_header = places(found)
    header = found.pop(0) if has_header else None
    table = []
    for cells in found:
        if len(cells) != width or not cells[a] or not cells[b]:
            raise Refused(cells)
        number = cells[third] if third >= 0 else "1"
        if not re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", number):
            raise Refused(cells)
        table.append((cells[a], cells[b], np.float32(float(number))))
    values = [value for _, _, value in table]
    scale = 1
    if header and third >= 0 and header[third].lower() == "combined_score" and values:
        scale = 1000 if all(value == np.round(value) for value in values) and max(values) > 1 else 1
    if not all(0 <= value <= scale for value in values):
        raise Refused(values)
    return [(one, other, float(value / np.float32(scale))) for one, other, value in table]


def labelled(content: bytes) -> tuple[list[tuple[str, str]], list[int]]:
    """Read pairs of a published split; repeats, contradictions and empty labels are left out."""
    labels: dict[tuple[str, ...], set[str]] = {}
    order = []
    found = separated(content)
    width = len(found[0])
    a, b, third, has_header = places(found)
    free = width < 4 and (a, b) == (0, 1)
    for cells in found[1 if has_header and width > 2 else 0 :]:
        if len(cells) not in ((2, 3) if free else (width,)) or not cells[a] or not cells[b]:
            raise Refused(cells)
        third = 2 if free else third
        label = cells[third] if 0 <= third < len(cells) else ""
        if label.lower() in NO_LABEL_CELLS:
            continue
        if label not in ("0", "1", "0.0", "1.0"):
            raise Refused(cells)
        key = tuple(sorted((cells[a], cells[b])))
        if key not in labels:
            order.append((cells[a], cells[b]))
        labels.setdefault(key, set()).add(label[0])
    kept = [pair for pair in order if len(labels[tuple(sorted(pair))]) == 1]
    return kept, [int(next(iter(labels[tuple(sorted(pair))]))) for pair in kept]


def names(content: bytes) -> list[tuple[str, str]]:
    """Read pairs of names from the first two columns, or those that a header names."""
    found = separated(content)
    header = id_columns(found[0])
    a, b = header or (0, 1)
    body = found[1:] if header else found
    if not body or any(len(cells) <= max(a, b) or not (cells[a] and cells[b]) for cells in body):
        raise Refused(found)
    return [(cells[a], cells[b]) for cells in body]


def interactions(content: bytes) -> list[tuple[str, str]] | None:
    """Read pairs of P1, P2 and P3 in PSI-MITAB or of BioGRID; None where names are spelt oddly."""
    every = rows(content, ())
    body = rows(content, ("#",))
    if every and every[0][0].lstrip("#") == "BioGRID Interaction ID":
        width, sides, excluded = _biogrid(every[0])
        body = body if every[0][0].startswith("#") else body[1:]
        split = "|".join
    else:
        first = next((cells for cells in every[:200] if cells[0][:1] != "#"), [])
        taxa = [cell == "-" or cell.startswith("taxid:") for cell in first[9:11]]
        named = any(":" in cell for cell in first[:2])
        if len(first) not in (15, 36, 42, 46) or not all(taxa) or not named:
            raise Refused(first)
        width, sides, excluded = len(first), [(0, 2), (1, 3)], [(11, "genetic"), (35, "true")]
        split = _mitab
    pairs = []
    for cells in body:
        if len(cells) != width:
            raise Refused(cells)
        if "genetic" in cells[excluded[0][0]].lower():
            continue
        place, word = excluded[1]
        text = cells[place].lower() if place < width else ""
        if text == word or (word == "rna" and word in text):
            continue
        ends = []
        for side in sides:
            names = [name for name in split([cells[i] for i in side]).split("|") if name not in "-"]
            if not all(re.fullmatch("[A-Za-z0-9]+", name) for name in names):
                return None
            ends.append(next((name for name in names if name in ("P1", "P2", "P3")), ""))
        if all(ends):
            pairs.append((ends[0], ends[1]))
    return pairs


def _biogrid(header: list[str]) -> tuple[int, list[tuple[int, ...]], list[tuple[int, str]]]:
    place = {name.lstrip("#"): i for i, name in enumerate(header)}
    kinds = ("SWISS-PROT Accessions", "TREMBL Accessions", "REFSEQ Accessions", "Systematic Name")
    sides = [
        tuple(
            place[f"{kind} Interactor {x}"] for kind in kinds if f"{kind} Interactor {x}" in place
        )
        for x in "AB"
    ]
    if not all(sides) or not {"Experimental System", "Experimental System Type"} <= {*place}:
        raise Refused(header)
    excluded = [
        (place["Experimental System Type"], "genetic"),
        (place["Experimental System"], "rna"),
    ]
    return len(header), sides, excluded


def _mitab(cells: list[str]) -> str:
    parts = [part.partition(":") for cell in cells for part in cell.split("|")]
    order = ("uniprotkb", "uniprot/swiss-prot", "swiss-prot", "uniprot/trembl", "trembl")
    names = [
        re.sub("-PRO_[0-9]+$", "", name.partition("(")[0].strip('"'))
        for wanted in (*order, "ensembl", "refseq")
        for database, _, name in parts
        if database.lower() == wanted
    ]
    return "|".join(names)


def links(content: bytes) -> list[tuple[int, int, int]]:
    """Read links of the proteins 9.a, 9.b and 9.c line by line."""
    # Empty lines before the header are none of it.
    header, *lines = content.decode("utf-8").lstrip("\n").split("\n")
    names = header.split(" ")
    if not {"protein1", "protein2", "combined_score"} <= set(names):
        raise Refused(header)
    known = ["9.a", "9.b", "9.c"]
    best: dict[tuple[int, int], int] = {}
    is_known = False
    for line in lines:
        if not line:
            continue
        cells = line.split(" ")
        if len(cells) != len(names):
            raise Refused(line)
        row = dict(zip(names, cells, strict=True))
        # A tab beside a number does no harm.
        score = row["combined_score"].strip("\t")
        if not re.fullmatch("-0+|[0-9]{1,9}", score) or int(score) > 1000:
            raise Refused(line)
        ends = (row["protein1"], row["protein2"])
        if not {*ends} <= {*known}:
            continue
        is_known = True
        low, high = sorted(map(known.index, ends))
        if low != high and int(score):
            best[low, high] = max(best.get((low, high), 0), int(score))
    if not is_known:
        raise Refused("no known protein")
    return [(*pair, score) for pair, score in sorted(best.items())]


def clusters(content: bytes) -> list[int]:
    """Read clusters of the proteins a, b and c."""
    of: dict[str, str] = {}
    for cells in rows(content, ("#",)):
        if len(cells) != 2 or of.setdefault(cells[1], cells[0]) != cells[0]:
            raise Refused(cells)
    if not {"a", "b", "c"} <= of.keys():
        raise Refused("missing")
    order = sorted({of[name] for name in "abc"})
    return [order.index(of[name]) for name in "abc"]
