"""OBO, line by line."""

from __future__ import annotations

import re
from typing import Any

from fuzz_core import Refused

from lcplm_graph.go.obo import ASPECTS


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
