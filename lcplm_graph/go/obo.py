"""Read OBO files by obonet, checked: what is in force, what is not, and what stands for it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

from lcplm_graph.errors import DataError
from lcplm_graph.files.open import open_stream

ASPECTS = {"BP": "biological_process", "MF": "molecular_function", "CC": "cellular_component"}
RELATIONS = ("is_a", "part_of")


class Obo(NamedTuple):
    """Content of an OBO file, as `Ontology` takes it."""

    terms: list[str]
    aspects: list[str]
    edges: list[tuple[int, int]]
    names: list[str]
    former: dict[str, tuple[str, str | None]]
    version: str


def read_obo(path: Path) -> Obo:
    """Read the terms and the is_a and part_of relations of an OBO file.

    Raises
    ------
    DataError
        If it is not OBO, a parent is not defined, or a namespace is not one of GO's three.
    """
    graph = _read_graph(path)
    live: dict[str, dict[str, Any]] = {}
    gone: dict[str, dict[str, Any]] = {}
    for term, data in graph.nodes(data=True):
        (gone if data.get("is_obsolete") == "true" else live)[term] = data
    # A term that is only named as a parent has no data.
    terms = sorted(term for term, data in live.items() if data)
    if not terms:
        raise DataError("the file defines no [Term]; is it an ontology?", path=path)
    index = {term: i for i, term in enumerate(terms)}
    return Obo(
        terms,
        [_namespace(live[term], graph.graph, term, path) for term in terms],
        _edges(graph, index, path),
        [live[term].get("name", term) for term in terms],
        _former(live, gone, index, path),
        str(graph.graph.get("data-version", "")),
    )


def _read_graph(path: Path) -> Any:
    import obonet

    with open_stream(path) as stream:
        raw = stream.read()
    try:
        return obonet.read_obo(io.StringIO(raw.decode("utf-8")), ignore_obsolete=False)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError("not UTF-8; convert the file's encoding", path=path, line=line) from None
    except Exception as error:  # obonet raises whatever its parser meets
        line = _first_bad_line(raw)
        raise DataError(f"cannot be read as OBO ({error!r})", path=path, line=line) from error


def _first_bad_line(raw: bytes) -> int | None:
    """Line that is neither blank, comment, stanza head nor ``tag: value``."""
    for number, text in enumerate(raw.split(b"\n"), start=1):
        content = text.strip()
        if content and not content.startswith((b"!", b"[")) and b": " not in content + b" ":
            return number
    return None


def _line_of(path: Path, text: str) -> int | None:
    with open_stream(path) as stream:
        lines = stream.read().decode("utf-8").splitlines()
    return next((i for i, line in enumerate(lines, start=1) if line.startswith(text)), None)


def _namespace(data: dict[str, Any], header: dict[str, Any], term: str, path: Path) -> str:
    namespace = data.get("namespace") or header.get("default-namespace")
    if namespace not in ASPECTS.values():
        raise DataError(
            f"namespace {namespace!r} is none of {', '.join(ASPECTS.values())}",
            path=path,
            line=_line_of(path, f"id: {term}"),
            record=term,
        )
    return str(namespace)


def _edges(graph: Any, index: dict[str, int], path: Path) -> list[tuple[int, int]]:
    edges = []
    for child, parent, relation in graph.edges(keys=True):
        if relation not in RELATIONS or child not in index:
            continue
        if parent not in index:
            tag = "is_a: " if relation == "is_a" else f"relationship: {relation} "
            raise DataError(
                f"its parent {parent} is not a term in force in this file",
                path=path,
                line=_line_of(path, f"{tag}{parent}"),
                record=child,
            )
        edges.append((index[child], index[parent]))
    return edges


def _former(
    live: dict[str, dict[str, Any]],
    gone: dict[str, dict[str, Any]],
    index: dict[str, int],
    path: Path,
) -> dict[str, tuple[str, str | None]]:
    former: dict[str, tuple[str, str | None]] = {}
    for term in index:
        for alt in live[term].get("alt_id", []):
            if alt in former:
                raise DataError(
                    f"alt_id {alt} belongs to {former[alt][1]} too", path=path, record=term
                )
            if alt not in index:
                former[alt] = ("alt_id", term)
    for term, data in gone.items():
        former.setdefault(term, _replacement(data, gone, former, index))
    return former


def _replacement(
    data: dict[str, Any],
    gone: dict[str, dict[str, Any]],
    former: dict[str, tuple[str, str | None]],
    index: dict[str, int],
) -> tuple[str, str | None]:
    """Follow `replaced_by` until a term in force; a chain may pass other obsolete terms."""
    seen: set[str] = set()
    while next_ids := data.get("replaced_by"):
        target = next_ids[0] if isinstance(next_ids, list) else next_ids
        if target in index:
            return "replaced_by", target
        if former.get(target, ("", None))[0] == "alt_id":
            return "replaced_by", former[target][1]
        if target in seen or target not in gone:
            break
        seen.add(target)
        data = gone[target]
    return "obsolete", None
