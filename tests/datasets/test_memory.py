"""NetworkX and pandas in and out."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from lcplm_graph.datasets.memory import from_dataframe, from_networkx, to_dataframe, to_networkx
from lcplm_graph.errors import InputError, LcPlmWarning
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins.store import SequenceStore

SEQUENCES = {"a": "MKT", "b": "MV", "c": "MA", "d": "MG"}


def test_dataframe_there_and_back():
    forget_warnings()
    frame = pd.DataFrame(
        {
            "x": ["a", "b", "c", "c", "a"],
            "y": ["b", "a", "b", "c", "z"],
            "w": [0.25, 0.5, 1.0, 1.0, 1.0],
        }
    )
    with pytest.warns(LcPlmWarning, match="1 rows without sequence, 1 self pairs, 1 duplicates"):
        dataset = from_dataframe(frame, SEQUENCES, source="x", target="y", weight="w")
    assert dataset[0].protein_id == dataset.sequences.ids == ["a", "b", "c"]
    assert to_dataframe(dataset).values.tolist() == [["a", "b", 0.5], ["b", "c", 1.0]]
    again = from_dataframe(to_dataframe(dataset), dataset.sequences, weight="weight")
    assert again[0].edge_index.tolist() == dataset[0].edge_index.tolist()
    assert again.split("random", valid=0.0, test=0.5).counts()["test"] == 1


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph])
def test_networkx_there_and_back(kind):
    graph = kind()
    graph.add_nodes_from((name, {"sequence": text}) for name, text in SEQUENCES.items())
    graph.add_edge("a", "b", weight=0.5)
    graph.add_edge("c", "b")
    dataset = from_networkx(graph)
    assert dataset[0].protein_id == ["a", "b", "c", "d"]
    back = to_networkx(dataset)
    assert nx.get_node_attributes(back, "sequence") == SEQUENCES
    assert {frozenset(ends): w for *ends, w in back.edges(data="weight")} == {
        frozenset("ab"): 0.5,
        frozenset("bc"): 1.0,
    }
    assert not nx.get_node_attributes(back, "symbol")
    nx.set_node_attributes(graph, {name: name.upper() for name in SEQUENCES}, "symbol")
    named = to_networkx(from_networkx(graph))
    assert nx.get_node_attributes(named, "symbol")["b"] == "B"
    by_store = from_networkx(graph, SequenceStore.from_records(list(SEQUENCES), SEQUENCES.values()))
    assert by_store[0].edge_index.tolist() == dataset[0].edge_index.tolist()


def test_scores_up_to_a_thousand():
    frame = pd.DataFrame({"protein1": ["a", "b"], "protein2": ["b", "c"], "w": [700, 1000]})
    dataset = from_dataframe(frame, SEQUENCES, weight="w", scale=1000)
    assert to_dataframe(dataset)["weight"].tolist() == pytest.approx([0.7, 1.0])
    assert from_dataframe(frame, SEQUENCES, scale=1000)[0].edge_weight.unique().tolist() == [1.0]
    graph = nx.Graph()
    graph.add_edge("a", "b", weight=500)
    graph.add_edge("b", "c")
    weights = to_dataframe(from_networkx(graph, SEQUENCES, scale=1000))["weight"]
    assert weights.tolist() == [0.5, 1.0]


def test_what_does_not_fit_is_refused():
    frame = pd.DataFrame({"protein1": ["a"], "protein2": ["b"], "w": [700.0]})
    with pytest.raises(InputError, match=r"a - b has weight 700, .*outside \[0, 1\]"):
        from_dataframe(frame, SEQUENCES, weight="w")
    with pytest.raises(InputError, match="no column score; there are protein1"):
        from_dataframe(frame, SEQUENCES, weight="score")
    with pytest.raises(InputError, match="do the ids agree"):
        from_dataframe(frame, {"x": "MKT"})


def edges(a, b, **columns):
    return pd.DataFrame({"protein1": a, "protein2": b, **columns})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (edges(["a", "b", np.nan], ["b", "c", "d"]), "row 2 of protein1: the id is nan"),
        (edges(["a", "b"], ["b", None]), "row 1 of protein2: the id is (None|nan)"),
        (edges(["a"], ["  "]), "row 0 of protein2: the id is empty"),
        (edges([1.5], ["b"]), "row 0 of protein1: the id is 1.5"),
        (edges(["a"], ["b"], weight=["n/a"]), "row 0: the edge a - b has weight 'n/a'"),
        (edges(["a", "b"], ["b", "c"], weight=[1, None]), "row 1: the edge b - c has weight"),
        (edges(["a"], ["b"], weight=[-0.5]), "row 0: the edge a - b has weight -0.5"),
        (pd.DataFrame([["a", "b"]]), "no column protein1; there are 0, 1"),
        (pd.DataFrame(), "no column protein1; there are none"),
        ([("a", "b")], "not list"),
    ],
)
def test_frames_that_do_not_fit_are_told_by_row(frame, message):
    weight = "weight" if "weight" in getattr(frame, "columns", ()) else None
    with pytest.raises(InputError, match=message):
        from_dataframe(frame, SEQUENCES, weight=weight)


def test_whole_numbers_are_ids_and_a_series_is_a_mapping():
    numbers = {1: "MKT", 2: "MV", 3: "MG"}
    for column in ([1, 2], pd.array([1, 2], "Int64"), np.array([1, 2], np.int8)):
        dataset = from_dataframe(edges(column, [2, 3]), numbers)
        assert dataset[0].protein_id == ["1", "2", "3"]
    assert from_networkx(nx.Graph([(1, 2)]), numbers)[0].protein_id == ["1", "2"]
    series = from_dataframe(edges(["a"], ["b"], w=["0.5"]), pd.Series(SEQUENCES), weight="w")
    assert series[0].edge_weight.tolist() == [0.5, 0.5]


def test_every_node_with_a_sequence_is_kept():
    graph = nx.Graph([("a", "b"), ("c", "c"), ("e", "z")])
    graph.add_node("d")
    dataset = from_networkx(graph, SEQUENCES | {"e": "MM"})
    assert dataset[0].protein_id == ["a", "b", "c", "d", "e"]
    assert dataset.report["nodes_without_sequence"] == 1
    assert dataset[0].edge_index.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("graph", "sequences", "message"),
    [
        (nx.Graph([("a", "b", {"weight": None})]), SEQUENCES, "a - b has weight None"),
        (nx.Graph([("a", "b", {"weight": "high"})]), SEQUENCES, "a - b has weight 'high'"),
        (nx.Graph([("a", "b", {"weight": 1j})]), SEQUENCES, "a - b has weight 1j"),
        (nx.Graph([("a", "b", {"weight": math.nan})]), SEQUENCES, "a - b has weight nan"),
        (nx.Graph([(("a", 1), "b")]), SEQUENCES, r"row 0 of nodes: the id is \('a', 1\)"),
        (nx.Graph([("1", 1)]), SEQUENCES, "two nodes have one name"),
        (nx.Graph(), SEQUENCES, "no edge joins"),
        (nx.Graph([("a", "b")]), ["MKT", "MV"], "not list"),
        (nx.Graph([("a", "b")]), {"a": "MKT", "b": 5}, "that of 'b' is 5"),
        ({"a": "b"}, SEQUENCES, "this is dict, not a NetworkX graph"),
    ],
)
def test_graphs_that_do_not_fit_are_told_by_edge(graph, sequences, message):
    with pytest.raises(InputError, match=message):
        from_networkx(graph, sequences)


def test_the_weight_that_is_asked_for_is_there_and_edges_without_are_counted():
    graph = nx.Graph([("a", "b", {"w": torch.tensor(0.5)}), ("b", "c", {"score": 0.1})])
    with pytest.raises(InputError, match="no edge has the attribute 'wt'.* of edges: score, w"):
        from_networkx(graph, SEQUENCES, weight="wt")
    with pytest.warns(LcPlmWarning, match="1 of 2 edges have no 'w' and get weight 1"):
        dataset = from_networkx(graph, SEQUENCES, weight="w")
    assert dataset[0].edge_weight.tolist() == [0.5, 0.5, 1, 1]
