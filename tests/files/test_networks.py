"""Networks that are written and read back by another program."""

from __future__ import annotations

import itertools
import json

import networkx as nx
import pytest

from lcplm_graph.errors import InputError
from lcplm_graph.files.networks import Network, write_network, write_table

COLUMNS = ("protein1", "protein2", "rank", "probability", "known")
IDS = ("x", "é中", 'a"b', "a<b&c", "tab\tid", " ", "]]>")


def test_a_table_has_six_digits_of_each_number(tmp_path):
    rows = [("a", "b", 1234567, 0.123456789), ("b", "c", 2, 1.5e-9)]
    path = write_network(tmp_path / "n.tsv", Network(COLUMNS[:4], rows, COLUMNS[:2]))
    assert path.read_text().splitlines()[1:] == ["a\tb\t1234567\t0.123457", "b\tc\t2\t1.5e-09"]


def test_what_is_written_is_read_back(tmp_path):
    pairs = enumerate(itertools.pairwise(IDS))
    rows = [(a, b, i, 10.0**-i / 3, "no") for i, (a, b) in pairs]
    network = Network(COLUMNS, rows, COLUMNS[:2], {"x": {"symbol": "<é>"}})
    read = nx.read_graphml(write_network(tmp_path / "n.graphml", network))
    assert set(read.nodes) == set(IDS)
    assert read.nodes["x"] == {"symbol": "<é>"}
    for a, b, rank, probability, known in rows:
        attributes = {"rank": rank, "probability": probability, "known": known}
        assert {**read.edges[a, b]} == attributes | {"id": str(rank)}
    document = json.loads(write_network(tmp_path / "n.cx2", network).read_text())
    nodes, edges = (next(part[k] for part in document if k in part) for k in ("nodes", "edges"))
    names = {node["id"]: node["v"]["name"] for node in nodes}
    assert [(names[e["s"]], names[e["t"]], *e["v"].values()) for e in edges] == rows


@pytest.mark.parametrize("row", [("a\x01", "b", "no"), ("a", "b", "\x1b"), ("a", "\ufffe", "no")])
def test_graphml_that_nobody_could_read_is_refused(tmp_path, row):
    network = Network(("a", "b", "known"), [row], ("a", "b"))
    with pytest.raises(InputError, match=r"holds the character .*, which GraphML cannot hold"):
        write_network(tmp_path / "n.graphml", network)
    assert not list(tmp_path.iterdir())
    write_network(tmp_path / "n.cx2", network)


@pytest.mark.parametrize("name", ["P12345\r", "P1\rP2", "P1\nP2"])
def test_names_that_break_a_row_are_refused(tmp_path, name):
    rows = [("a", "b"), ("c", name)]
    with pytest.raises(InputError, match="row 1: q is 'P1.*no place for a line break"):
        write_table(tmp_path / "n.tsv", ("p", "q"), rows)
    with pytest.raises(InputError, match="no place for a line break"):
        write_network(tmp_path / "n.tsv", Network(("p", "q"), rows, ("p", "q")))
    assert not list(tmp_path.iterdir())
    write_network(tmp_path / "n.cx2", Network(("p", "q"), rows, ("p", "q")))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, ["x"]])
@pytest.mark.parametrize("suffix", [".tsv", ".graphml", ".cx2"])
def test_what_is_no_text_and_no_number_is_refused(tmp_path, suffix, value):
    rows = [("a", "b", 0.5), ("a", "c", value)]
    with pytest.raises(InputError, match="row 1: score is .*, neither a text nor a finite number"):
        write_network(tmp_path / f"n{suffix}", Network(("p", "q", "score"), rows, ("p", "q")))
    assert not list(tmp_path.iterdir())


def declared_in(path):
    (found,) = (part for part in json.loads(path.read_text()) if "attributeDeclarations" in part)
    return found["attributeDeclarations"][0]["edges"]


def test_a_column_has_one_type_in_cx2(tmp_path):
    """The first row decided, so that a whole number made integers of all the others."""
    rows = [("a", "b", 1, "x"), ("a", "c", 0.5, "y")]
    columns = ("p", "q", "score", "note")
    path = write_network(tmp_path / "n.cx2", Network(columns, rows, ("p", "q")))
    assert declared_in(path) == {"score": {"d": "double"}, "note": {"d": "string"}}
    mixed = Network(columns, [*rows, ("b", "c", "high", "z")], ("p", "q"))
    with pytest.raises(InputError, match="score holds float and int and str, and CX2 has"):
        write_network(tmp_path / "m.cx2", mixed)
    write_network(tmp_path / "m.tsv", mixed)
