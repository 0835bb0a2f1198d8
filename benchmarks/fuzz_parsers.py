"""Slow and plain parsers of the text formats, which the toolkit's own must agree with."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from fuzz_core import Refused

from lcplm_graph.datasets.pair_table import _VALUE_HEADER, _says_id, id_columns, is_header
from lcplm_graph.datasets.published import _EMPTY
from lcplm_graph.go.annotations import KNOWN_CODES
from lcplm_graph.go.obo import ASPECTS


def fasta(content: bytes) -> list[tuple[str, str]]:
    """Read FASTA line by line."""
    found: list[tuple[str, str]] = []
    header: bytes | None = None
    body = b""

    def end() -> None:
        if header is None:
            return
        name = header.decode("utf-8").encode().split()
        text = body.translate(None, b" \t\r\n\f\v").upper()
        text = text.removesuffix(b"*").replace(b"J", b"X")
        if not name or not re.fullmatch(rb"[A-Z.\-]*[A-Z][A-Z.\-]*", text):
            raise Refused(header)
        found.append((name[0].decode(), text.decode()))

    for line in content.split(b"\n"):
        if line.startswith(b">") or (header is None and line.lstrip().startswith(b">")):
            end()
            header, body = line.lstrip()[1:], b""
        elif header is None and line.strip():
            raise Refused("no header")
        else:
            body += line + b"\n"
    end()
    names = [name for name, _ in found]
    if not names or len(set(names)) < len(names):
        raise Refused("repeated or none")
    return found


_ANNOTATION = {
    "protein": "protein", "entryid": "protein", "go_id": "go_id", "term": "go_id",
    "new_terms": "go_id", "evidence": "evidence", "aspect": "aspect", "date": "date",
    "qualifier": "qualifier",
}  # fmt: skip


def rows(content: bytes, comment: tuple[str, ...]) -> list[list[str]]:
    """Cells of each line that counts, without blanks around."""
    lines = content.decode("utf-8").split("\n")
    kept = [line for line in lines if re.search(r"[^\t\n\f\r ]", line)]
    return [
        [unquoted(cell.strip()) for cell in line.split("\t")]
        for line in kept
        if not line.startswith(comment)
    ]


def unquoted(cell: str) -> str:
    """Take quotes off around a cell in which every other quote is doubled."""
    inside = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside.replace('""', "")
    return inside.replace('""', '"') if quoted else cell


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


def separated(content: bytes) -> list[list[str]]:
    """Cells of each line, between tabs, commas, semicolons or blanks as the first 100 lines say."""
    lines = content.decode("utf-8").split("\n")
    lines = [line for line in lines if re.search(r"[^\t\n\f\r ]", line) and line[0] != "#"]
    if not lines:
        raise Refused("no line")
    if "\t" in lines[0]:
        return rows(content, ("#",))
    able = []
    for sign in ",; ":
        looked = [re.sub(" *([,;]) *", r"\1", x) if sign == " " else x for x in lines[:100]]
        widths = [len(cut(line, sign) or ()) for line in looked]
        if widths[0] > 1:
            able.append((sign, len(set(widths)) == 1))
    signs = [sign for sign, alike in able if alike or len(able) == 1]
    if len(signs) != 1:
        raise Refused("none or several")
    found = [cut(line, signs[0]) for line in lines]
    if None in found:
        raise Refused("a quote or a tab")
    return found


def cut(line: str, separator: str) -> list[str] | None:
    """Cut a line letter by letter; None if a quote does not end or a tab is among blanks."""
    line = line.strip()
    if separator == " " and "\t" in line:
        return None
    if separator == " " and '"' not in line:
        return [cell.strip() for cell in re.split(" +", line)]
    cells, at = [], 0
    while True:
        while separator != " " and line[at : at + 1] == " ":
            at += 1
        cell = ""
        if line[at : at + 1] == '"':
            end = at + 1
            while line[end : end + 1] != '"' or line[end + 1 : end + 2] == '"':
                if end >= len(line):
                    return None
                cell += line[end]
                end += 2 if line[end] == '"' else 1
            at = end + 1
            if line[at : at + 1] not in ("", separator):
                return None
        else:
            while line[at : at + 1] not in ("", separator):
                cell += line[at]
                at += 1
        cells.append(cell.strip())
        if at >= len(line):
            return cells
        at += 1


def places(found: list[list[str]]) -> tuple[int, int, int, bool]:
    """Where ids and value are, -1 if there is none, and whether the first line is a header."""
    first = found[0]
    ids = [i for i, cell in enumerate(first) if _says_id(cell)]
    if len(first) in (2, 3) and (is_header(first) or len(ids) != 2 or ids == [0, 1]):
        place = (0, 1, 2 if len(first) == 3 else -1, is_header(first))
    else:
        values = [i for i, x in enumerate(first) if i not in ids and _VALUE_HEADER.fullmatch(x)]
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


def obo(content: bytes) -> tuple[list[str], list[str], list[tuple[int, int]]]:
    """Read terms, namespaces and edges of OBO with one pass and no care for speed."""
    text = content.decode("utf-8")
    kind, stanzas, tags = "header", [], {}
    stanzas.append((kind, tags))
    pending = ""
    for raw in text.split("\n"):
        line = raw.strip()
        if not line or (not pending and line.startswith("!")):
            continue
        line = pending + line
        backslashes = len(line) - len(line.rstrip("\\"))
        pending = line[:-1] if backslashes % 2 else ""
        if not pending and not backslashes % 2:
            kind, tags = _obo_line(line, kind, tags, stanzas)
    if pending:
        _obo_line(pending, kind, tags, stanzas)
    header = stanzas[0][1]
    default = header.get("default-namespace", [""])[0]
    terms: dict[str, dict[str, list[str]]] = {}
    for kind, tags in stanzas[1:]:
        if kind != "Term":
            continue
        if "id" not in tags:
            raise Refused("no id")
        own = terms.setdefault(tags["id"][0], {})
        for tag, values in tags.items():
            own.setdefault(tag, []).extend(values)
            if tag in ("id", "name", "namespace", "is_obsolete") and len(set(own[tag])) > 1:
                raise Refused(tag)
    return _obo_graph(terms, default)


def _obo_line(
    line: str, kind: str, tags: dict[str, list[str]], stanzas: list[Any]
) -> tuple[str, dict[str, list[str]]]:
    if head := re.fullmatch(r"\[([^\[\]]+)\]\s*(!.*)?", line):
        stanzas.append((head[1].strip(), {}))
        return stanzas[-1]
    name, colon, value = line.partition(":")
    name, value = name.rstrip(), value.lstrip()
    if not colon or not name or re.search(r"\s", name):
        raise Refused(line)
    if kind in ("header", "Term"):
        words = _obo_words(value)
        ids = ("id", "is_a", "alt_id", "replaced_by", "namespace", "default-namespace")
        if name in (*ids, "is_obsolete"):
            if len(words) != 1:
                raise Refused(line)
            value = words[0]
        if name == "is_obsolete" and value.lower() not in ("true", "false", "1", "0"):
            raise Refused(line)
        if name == "relationship":
            if len(words) != 2:
                raise Refused(line)
            value = " ".join(words)
        if name == "name":
            braces = r'(\s*\{(?:\\.|"(?:\\.|[^"\\])*"|[^{}"\\])*\})?(\s+!\s.*)?$'
            value = re.sub(r"\\(.)", _obo_sign, re.sub(braces, "", value))
        tags.setdefault(name, []).append(value)
    return kind, tags


def _obo_sign(found: re.Match[str]) -> str:
    return " " if found[1] in "ntW" else found[1]


def _obo_words(value: str) -> list[str]:
    """Words before the qualifiers and the comment, one letter after the other."""
    words, word = [], ""
    letters = iter(value)
    for letter in letters:
        if letter == "\\":
            follower = next(letters)
            word += " " if follower in "ntW" else follower
        elif letter in "!{" or letter.isspace():
            words.append(word)
            word = ""
            if not letter.isspace():
                break
        else:
            word += letter
    return [word for word in [*words, word] if word]


def _obo_graph(
    terms: dict[str, dict[str, list[str]]], default: str
) -> tuple[list[str], list[str], list[tuple[int, int]]]:
    def is_old(name: str) -> bool:
        return terms[name].get("is_obsolete", [""])[0].lower() in ("true", "1")

    def namespace(name: str) -> str:
        return terms[name].get("namespace", [default])[0]

    live = [name for name in terms if not is_old(name)]
    own = [n for n in live if n.startswith("GO:") or namespace(n) in ASPECTS.values()]
    foreign = set(live) - set(own)
    own.sort()
    if not own or any(namespace(name) not in ASPECTS.values() for name in own):
        raise Refused("no term or a strange namespace")
    alternatives: dict[str, str] = {}
    for name in own:
        for other in terms[name].get("alt_id", []):
            if alternatives.get(other, name) != name:
                raise Refused(other)
            if other not in own:
                alternatives[other] = name
    edges = []
    for name in own:
        parents = list(terms[name].get("is_a", []))
        for value in terms[name].get("relationship", []):
            relation, parent = value.split(" ", 1)
            if relation in ("is_a", "OBO_REL:is_a", "part_of", "OBO_REL:part_of", "BFO:0000050"):
                parents.append(parent)
        for given in parents:
            parent = alternatives.get(given, given)
            if parent in own:
                edges.append((own.index(name), own.index(parent)))
            elif parent.startswith("GO:") and parent not in foreign:
                raise Refused(parent)
    return own, [namespace(name) for name in own], edges


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
        if label.lower() in _EMPTY:
            continue
        if label not in ("0", "1", "0.0", "1.0"):
            raise Refused(cells)
        key = tuple(sorted((cells[a], cells[b])))
        if key not in labels:
            order.append((cells[a], cells[b]))
        labels.setdefault(key, set()).add(label[0])
    kept = [pair for pair in order if len(labels[tuple(sorted(pair))]) == 1]
    return kept, [int(next(iter(labels[tuple(sorted(pair))]))) for pair in kept]


def aliases(content: bytes) -> list[tuple[str, ...]]:
    """Read STRING's table of names row by row."""
    header, *found = rows(content, ()) or [[]]
    if len(header) < 3 or any(len(cells) != len(header) for cells in found):
        raise Refused(header)
    return [tuple(cells[:3]) for cells in found]


def table(content: bytes, separator: str) -> dict[str, list[str]] | None:
    """Read a table of labels; None where quotes would need a better parser."""
    text = content.decode("utf-8")
    if '"' in text:
        return None
    found = [[cell.strip() for cell in line.split(separator)] for line in text.split("\n")]
    header, *body = [cells for cells in found if any(cells)] or [[]]
    right = all(header) and len(set(header)) == len(header) and body
    if not right or any(len(cells) != len(header) for cells in body):
        raise Refused(header)
    return {name: [cells[i] for cells in body] for i, name in enumerate(header)}


def variants(content: bytes) -> list[tuple[str | None, str]] | None:
    """Read a list of variants, or a table of them."""
    text = content.decode("utf-8")
    if '"' in text:
        return None
    lines = [line for line in text.split("\n") if line.strip()]
    lines = [line for line in lines if not line.lstrip().startswith("#")]
    separator = "\t" if lines and "\t" in lines[0] else ","
    found = [[cell.strip() for cell in line.split(separator)] for line in lines]
    names = [cell.lower() for cell in found[0]] if found else []
    place = next((names.index(n) for n in ("variant", "mutant", "mutation") if n in names), None)
    protein = next((names.index(n) for n in ("protein", "id", "protein_id") if n in names), None)
    body = found if place is None else found[1:]
    if (place is None and len(names) > 1) or not body:
        raise Refused(names)
    if any(len(cells) != len(names) or not cells[place or 0] for cells in body):
        raise Refused(names)
    return [(None if protein is None else cells[protein], cells[place or 0]) for cells in body]


def names(content: bytes) -> list[tuple[str, str]]:
    """Read pairs of names from the first two columns, or those that a header names."""
    found = separated(content)
    header = id_columns(found[0])
    a, b = header or (0, 1)
    body = found[1:] if header else found
    if not body or any(len(cells) <= max(a, b) or not (cells[a] and cells[b]) for cells in body):
        raise Refused(found)
    return [(cells[a], cells[b]) for cells in body]


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
