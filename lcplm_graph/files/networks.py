"""Write networks: a table, GraphML for any graph program, CX2 for Cytoscape and NDEx."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.errors import InputError
from lcplm_graph.io import atomic_path, checked_suffix

SUFFIXES = (".tsv", ".graphml", ".cx2")
# Control characters and code points that are no characters, https://www.w3.org/TR/xml/#charsets.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CX2_TYPES = {str: "string", float: "double", int: "integer", bool: "boolean"}


@dataclass
class Network:
    """Rows of a table that are edges.

    Attributes
    ----------
    columns : sequence of str
        Of the table.
    rows : list of tuple
        One per edge, in their order.
    ends : tuple of str
        Columns that name the two ends.
    nodes : mapping
        Id to attributes; what it lacks has none.
    """

    columns: Sequence[str]
    rows: list[tuple[Any, ...]]
    ends: tuple[str, str]
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def edges(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return both ends and the attributes of each edge."""
        first, second = (self.columns.index(name) for name in self.ends)
        kept = [i for i in range(len(self.columns)) if i not in (first, second)]
        return [
            (row[first], row[second], {self.columns[i]: row[i] for i in kept}) for row in self.rows
        ]


def check_suffix(path: str | os.PathLike[str]) -> Path:
    """Return the path, if its suffix is one that `write_network` knows.

    Raises
    ------
    ConfigError
        If not.
    """
    checked_suffix(path, SUFFIXES)
    return Path(path)


def write_network(path: str | os.PathLike[str], network: Network) -> Path:
    """Write by the suffix: ``.tsv``, ``.graphml``, ``.cx2``.

    Parameters
    ----------
    path : path-like
    network : Network
        Numbers are written as they are in GraphML and CX2, with six digits in the table.

    Raises
    ------
    ConfigError
        If the suffix is another.
    InputError
        If a cell is neither a text nor a finite number, or GraphML cannot hold it; by its row and
        column.

    References
    ----------
    .. [1] CX2 2.0, Cytoscape Exchange format, https://cytoscape.org/cx/cx2/specification/.
    """
    path = check_suffix(path)
    network = _checked(network)
    write: dict[str, Callable[[Path, Network], None]] = {
        ".tsv": _write_table,
        ".graphml": _write_graphml,
        ".cx2": partial(_write_cx2, name=path.stem),
    }
    with atomic_path(path) as temporary:
        write[path.suffix.lower()](temporary, network)
    return path


def _checked(network: Network) -> Network:
    """Refuse what the formats have no word for; numbers of NumPy become plain ones."""
    rows = [_plain(number, row, network.columns) for number, row in enumerate(network.rows)]
    nodes = {
        name: {key: _cell(value, f"node {name!r}", key) for key, value in attributes.items()}
        for name, attributes in network.nodes.items()
    }
    return Network(network.columns, rows, network.ends, nodes)


def _plain(number: int, row: tuple[Any, ...], columns: Sequence[str]) -> tuple[Any, ...]:
    each = zip(row, columns, strict=True)
    return tuple(_cell(value, f"row {number}", column) for value, column in each)


def _cell(value: Any, where: str, column: str) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) not in _CX2_TYPES or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{where}: {column} is {value!r:.50}, neither a text nor a finite number")
    return value


def write_table(
    path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> Path:
    """Write the edges of a network as a table, row by row, so that they need not fit into memory.

    Parameters
    ----------
    path : path-like
    columns : sequence of str
    rows : iterable of tuple
        Texts and numbers; numbers are written with six digits.

    Raises
    ------
    InputError
        As `write_network`.
    """
    with atomic_path(path) as temporary:
        _write_rows(temporary, columns, (_plain(i, row, columns) for i, row in enumerate(rows)))
    return Path(path)


def _write_table(path: Path, network: Network) -> None:
    _write_rows(path, network.columns, network.rows)


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        for number, row in enumerate(rows):
            for column, value in zip(columns, row, strict=True):
                if isinstance(value, str) and ("\n" in value or "\r" in value):
                    raise InputError(
                        f"row {number}: {column} is {value!r:.50}; a table has no place for a line "
                        "break, leave it out"
                    )
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in row])


def _write_graphml(path: Path, network: Network) -> None:
    import networkx as nx

    graph: Any = nx.MultiGraph()
    for number, (a, b, attributes) in enumerate(network.edges()):
        for name in (a, b):
            _check_xml({"name": name, **network.nodes.get(name, {})}, f"node {name!r}")
            graph.add_node(name, **network.nodes.get(name, {}))
        _check_xml(attributes, f"row {number}")
        # The key becomes the edge's id, which the format wants unique in the file.
        graph.add_edge(a, b, key=number, **attributes)
    nx.write_graphml(graph, path)


def _check_xml(attributes: Mapping[str, Any], where: str) -> None:
    """Refuse what XML has no word for: a file with it can be written, but never be read."""
    for key, value in attributes.items():
        if isinstance(value, str) and (found := _NO_XML.search(value)):
            raise InputError(
                f"{where}: {key} holds the character {found[0]!r}, which GraphML cannot hold; "
                "write .tsv or .cx2, or leave it out"
            )


def _write_cx2(path: Path, network: Network, name: str) -> None:
    edges = network.edges()
    names = list(dict.fromkeys(name for a, b, _ in edges for name in (a, b)))
    number = {name: i for i, name in enumerate(names)}
    nodes: list[dict[str, Any]] = [
        {"id": i, "v": {"name": name, **network.nodes.get(name, {})}} for name, i in number.items()
    ]
    links: list[dict[str, Any]] = [
        {"id": i, "s": number[a], "t": number[b], "v": attributes}
        for i, (a, b, attributes) in enumerate(edges)
    ]
    declared = {
        "networkAttributes": {"name": {"d": "string"}},
        "nodes": _declared([node["v"] for node in nodes]),
        "edges": _declared([link["v"] for link in links]),
    }
    counts = {"attributeDeclarations": 1, "networkAttributes": 1}
    counts |= {"nodes": len(nodes), "edges": len(links)}
    document = [
        {"CXVersion": "2.0", "hasFragments": False},
        {"metaData": [{"name": k, "elementCount": n} for k, n in counts.items()]},
        {"attributeDeclarations": [declared]},
        {"networkAttributes": [{"name": name}]},
        {"nodes": nodes},
        {"edges": links},
        {"status": [{"completed": True, "success": True}]},
    ]
    path.write_text(json.dumps(document) + "\n")


def _declared(values: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Tell the type of each attribute, of which CX2 has one: whole numbers among others count."""
    types: dict[str, set[type]] = {}
    for attributes in values:
        for name, value in attributes.items():
            types.setdefault(name, set()).add(type(value))
    for name, found in types.items():
        if found == {int, float}:
            types[name] = {float}
        elif len(found) > 1:
            kinds = " and ".join(sorted(kind.__name__ for kind in found))
            raise InputError(f"{name} holds {kinds}, and CX2 has one type for it; write .tsv")
    return {name: {"d": _CX2_TYPES[kind]} for name, (kind,) in types.items()}
