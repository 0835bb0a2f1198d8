"""Read OBO 1.2 and 1.4, checked: what is in force, what is not, and what stands for it.

The format: https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html. Only what the graph
of terms needs is taken; other tags and stanzas may hold anything that is ``tag: value``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lcplm_graph.errors import DataError
from lcplm_graph.files.tables import numbered_lines
from lcplm_graph.io import warn_once

ASPECTS = {"BP": "biological_process", "MF": "molecular_function", "CC": "cellular_component"}
#: Relations that carry an annotation upwards, by all their names.
RELATIONS = ("is_a", "OBO_REL:is_a", "part_of", "OBO_REL:part_of", "BFO:0000050")
_OWN = "GO:"
_HEADER = "header"
_STANZA = re.compile(r"\[([^\[\]]+)\]\s*(!.*)?")
_TAG = re.compile(r"([^\s:]+)\s*:\s*(.*)")
# An id ends at a blank, at the qualifiers in braces, or at the comment.
_WORD, _REST = r"(?:\\.|[^\s!{\\])+", r"\s*(?:\{.*)?(?:!.*)?"
_ID = re.compile(rf"({_WORD}){_REST}")
_RELATIONSHIP = re.compile(rf"({_WORD}\s+{_WORD}){_REST}")
_REMARK = re.compile(r'(\s*\{(?:\\.|"(?:\\.|[^"\\])*"|[^{}"\\])*\})?(\s+!\s.*)?$')
_ESCAPE = re.compile(r"\\(.)")
# A line break in a name would end the line of a table.
_BLANKS = "ntW"
_ONCE = ("id", "name", "namespace", "is_obsolete")
_OBSOLETE = {"true": True, "1": True, "false": False, "0": False, "": False}
_IDS = ("id", "is_a", "alt_id", "replaced_by", "namespace", "default-namespace", "is_obsolete")


class Obo(NamedTuple):
    """Content of an OBO file, as `Ontology` takes it."""

    terms: list[str]
    aspects: list[str]
    edges: list[tuple[int, int]]
    names: list[str]
    former: dict[str, tuple[str, str | None]]
    version: str


@dataclass
class _Term:
    """Values of a stanza by tag, each with its line."""

    id: str
    line: int
    tags: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def values(self, tag: str) -> list[str]:
        return [value for _, value in self.tags.get(tag, [])]

    def first(self, tag: str, default: str = "") -> str:
        return next(iter(self.values(tag)), default)

    @property
    def obsolete(self) -> bool:
        return _OBSOLETE[self.first("is_obsolete").lower()]


def read_obo(path: Path) -> Obo:
    """Read the terms and the is_a and part_of relations of an OBO file.

    Terms of other ontologies that the file brings along are left out, with a warning.

    Raises
    ------
    DataError
        With line and term: a line other than ``tag: value``, a stanza without id, a tag that
        contradicts an earlier one, two values where one is meant, a parent that is not defined, a
        namespace not of GO's three.
    """
    header, found = _read_terms(path)
    default = header.first("default-namespace")
    gone = {name: term for name, term in found.items() if term.obsolete}
    live = {name: term for name, term in found.items() if not term.obsolete}
    foreign = {
        name
        for name, term in live.items()
        if not name.startswith(_OWN) and term.first("namespace", default) not in ASPECTS.values()
    }
    terms = sorted(live.keys() - foreign)
    if not terms:
        raise DataError("the file defines no [Term]; is it an ontology?", path=path)
    if foreign:
        warn_once(f"{path}: {len(foreign)} terms of other ontologies are left out")
    index = {name: i for i, name in enumerate(terms)}
    former = _former(live, gone, index, path)
    return Obo(
        terms,
        [_namespace(live[name], default, path) for name in terms],
        [edge for name in terms for edge in _edges(live[name], index, former, foreign, path)],
        [live[name].first("name", name) for name in terms],
        former,
        header.first("data-version"),
    )


def _read_terms(path: Path) -> tuple[_Term, dict[str, _Term]]:
    """Read the header, and the [Term] stanzas; those of one id are one term."""
    header: _Term | None = None
    terms: dict[str, _Term] = {}
    for kind, stanza in _stanzas(path):
        if kind == _HEADER:
            header = stanza
        elif kind == "Term":
            if "id" not in stanza.tags:
                raise DataError("this [Term] has no id", path=path, line=stanza.line)
            stanza.id = stanza.first("id")
            term = terms.setdefault(stanza.id, stanza)
            if term is not stanza:
                for tag, values in stanza.tags.items():
                    term.tags.setdefault(tag, []).extend(values)
            _refuse_contradiction(term, path)
    return header or _Term(_HEADER, 1), terms


def _stanzas(path: Path) -> Iterator[tuple[str, _Term]]:
    kind, stanza = _HEADER, _Term(_HEADER, 1)
    for line, text in _joined_lines(path):
        if head := _STANZA.fullmatch(text):
            yield kind, stanza
            kind, stanza = head[1].strip(), _Term("", line)
            continue
        tag = _TAG.fullmatch(text)
        if tag is None:
            where = "the header" if kind == _HEADER else f"[{kind}] {stanza.first('id')}".strip()
            message = f"cannot be read as OBO: {text[:60]!r} in {where} is not 'tag: value'"
            raise DataError(message, path=path, line=line)
        if kind in ("Term", _HEADER):
            value = _value(tag[1], tag[2], path, line, stanza)
            stanza.tags.setdefault(tag[1], []).append((line, value))
    yield kind, stanza


def _joined_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield lines that are not comments; one that ends in a backslash goes on in the next."""
    start, begun = 0, ""
    for line, untrimmed in numbered_lines(path):
        text = untrimmed.strip()
        if not begun and text.startswith("!"):
            continue
        start, text = (start, begun + text) if begun else (line, text)
        if (len(text) - len(text.rstrip("\\"))) % 2:
            begun = text[:-1]
            continue
        begun = ""
        yield start, text
    if begun:
        yield start, begun


def _value(tag: str, text: str, path: Path, line: int, stanza: _Term) -> str:
    """Cut qualifiers and comment off where the tag is one that counts."""
    if tag == "name":
        return _unescaped(_REMARK.sub("", text))
    if tag != "relationship" and tag not in _IDS:
        return text
    found = (_RELATIONSHIP if tag == "relationship" else _ID).fullmatch(text)
    message = ""
    if found is None:
        message = f"'{tag}' is one value, not {text[:60]!r}"
        if tag == "relationship":
            message = f"a relationship is 'relation term', not {text[:60]!r}"
        elif not text or text[0] in "!{":
            message = f"'{tag}' has no value"
    elif tag == "is_obsolete" and found[1].lower() not in _OBSOLETE:
        message = f"is_obsolete is true or false, not {found[1]!r}"
    if found is None or message:
        raise DataError(message, path=path, line=line, record=stanza.first("id") or None)
    return " ".join(_unescaped(word) for word in found[1].split())


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: " " if found[1] in _BLANKS else found[1], text)


def _refuse_contradiction(term: _Term, path: Path) -> None:
    for tag in _ONCE:
        values = term.tags.get(tag, [])
        line, value = next(((n, v) for n, v in values if v != values[0][1]), (None, ""))
        if line is not None:
            message = f"{tag} {value!r} contradicts {values[0][1]!r} of line {values[0][0]}"
            raise DataError(message, path=path, line=line, record=term.id)


def _namespace(term: _Term, default: str, path: Path) -> str:
    line, namespace = term.tags.get("namespace", [(term.line, default)])[0]
    if namespace not in ASPECTS.values():
        raise DataError(
            f"namespace {namespace!r} is not one of {', '.join(ASPECTS.values())}",
            path=path,
            line=line,
            record=term.id,
        )
    return namespace


def _edges(
    term: _Term,
    index: dict[str, int],
    former: dict[str, tuple[str, str | None]],
    foreign: set[str],
    path: Path,
) -> Iterator[tuple[int, int]]:
    parents = [(line, parent) for line, parent in term.tags.get("is_a", [])]
    for line, value in term.tags.get("relationship", []):
        relation, parent = value.split(" ", 1)
        if relation in RELATIONS:
            parents.append((line, parent))
    for line, parent in dict.fromkeys(parents):
        how, current = former.get(parent, ("", None))
        name = current if how == "alt_id" and current is not None else parent
        if name in index:
            yield index[term.id], index[name]
        elif parent.startswith(_OWN) and parent not in foreign:
            message = f"its parent {parent} is not a term in force in this file"
            raise DataError(message, path=path, line=line, record=term.id)


def _former(
    live: dict[str, _Term], gone: dict[str, _Term], index: dict[str, int], path: Path
) -> dict[str, tuple[str, str | None]]:
    former: dict[str, tuple[str, str | None]] = {}
    for term in index:
        for line, alt in live[term].tags.get("alt_id", []):
            if former.get(alt, ("", term))[1] != term:
                message = f"alt_id {alt} belongs to {former[alt][1]} too"
                raise DataError(message, path=path, line=line, record=term)
            if alt not in index:
                former[alt] = ("alt_id", term)
    for name, obsolete in gone.items():
        former.setdefault(name, _replacement(obsolete, gone, former, index))
    for name, obsolete in gone.items():
        for alt in obsolete.values("alt_id"):
            if alt not in index:
                former.setdefault(alt, former[name])
    return former


def _replacement(
    term: _Term,
    gone: dict[str, _Term],
    former: dict[str, tuple[str, str | None]],
    index: dict[str, int],
) -> tuple[str, str | None]:
    """Follow `replaced_by` until a term in force; a chain may pass other obsolete terms."""
    seen: set[str] = set()
    while target := term.first("replaced_by"):
        if target in index:
            return "replaced_by", target
        if former.get(target, ("", None))[0] == "alt_id":
            return "replaced_by", former[target][1]
        if target in seen or target not in gone:
            break
        seen.add(target)
        term = gone[target]
    return "obsolete", None
