"""NetworkX and pandas in and out."""

from __future__ import annotations

import networkx as nx
import pandas as pd
import pytest

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
    with pytest.warns(LcPlmWarning, match="1 edges without sequence, 1 self pairs, 1 duplicates"):
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
    by_store = from_networkx(graph, SequenceStore.from_records(SEQUENCES, SEQUENCES.values()))
    assert by_store[0].edge_index.tolist() == dataset[0].edge_index.tolist()


def test_what_does_not_fit_is_refused():
    frame = pd.DataFrame({"protein1": ["a"], "protein2": ["b"], "w": [700.0]})
    with pytest.raises(InputError, match=r"a - b has weight 700, .*outside \[0, 1\]"):
        from_dataframe(frame, SEQUENCES, weight="w")
    with pytest.raises(InputError, match="no column score; there are protein1"):
        from_dataframe(frame, SEQUENCES, weight="score")
    with pytest.raises(InputError, match="do the ids agree"):
        from_dataframe(frame, {"x": "MKT"})
