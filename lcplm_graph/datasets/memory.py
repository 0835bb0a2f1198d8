"""PPI datasets of what is in memory; NetworkX graphs and pandas tables in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.cache import Built, MemoryCache
from lcplm_graph.errors import InputError
from lcplm_graph.io import warn_once
from lcplm_graph.proteins.store import SequenceStore


class MemoryPPI(PPIDataset):
    """A PPI dataset of what is in memory: as any other, but nothing is read or written.

    Parameters
    ----------
    data : torch_geometric.data.Data
        With `edge_index`, `edge_weight` and `protein_id`.
    sequences : SequenceStore
        In node order.
    report : dict of str to int, optional
        What was dropped on the way.
    """

    def __init__(
        self, data: Data, sequences: SequenceStore, report: dict[str, Any] | None = None
    ) -> None:
        if list(data.protein_id) != sequences.ids:
            raise InputError("the sequences are not in node order: their ids differ")
        super().__init__(MemoryCache(Built(data, sequences, report or {})))


def from_dataframe(
    frame: pd.DataFrame,
    sequences: SequenceStore | Mapping[str, str],
    *,
    source: str = "protein1",
    target: str = "protein2",
    weight: str | None = None,
) -> MemoryPPI:
    """Make a PPI dataset of an edge list.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per edge; direction does not matter.
    sequences : SequenceStore or mapping of str to str
        Sequence of each id; its order is the order of the nodes, without those of no edge.
    source, target : str
        Columns of ids.
    weight : str, optional
        Column of weights in [0, 1]; 1 by default. Of repeated pairs the largest counts.

    Returns
    -------
    MemoryPPI
        Its `report` counts `self_pairs`, `duplicates` and `edges_without_sequence`, dropped.

    Raises
    ------
    InputError
        If a column is missing, a weight is outside [0, 1], or no edge is left.

    Examples
    --------
    >>> edges = pd.DataFrame({"protein1": ["a", "b"], "protein2": ["b", "c"]})
    >>> dataset = from_dataframe(edges, {"a": "MKT", "b": "MV", "c": "MA"})
    >>> dataset[0].edge_index.tolist()
    [[0, 1, 1, 2], [1, 0, 2, 1]]
    """
    lacking = [name for name in (source, target, weight) if name and name not in frame]
    if lacking:
        raise InputError(f"no column {', '.join(lacking)}; there are {', '.join(frame.columns)}")
    weights = frame[weight].to_numpy(np.float32) if weight else np.ones(len(frame), np.float32)
    store = _as_store(sequences)
    return _assemble(frame[source], frame[target], weights, store, isolated=())


def from_networkx(
    graph: nx.Graph,
    sequences: SequenceStore | Mapping[str, str] | str = "sequence",
    *,
    weight: str = "weight",
) -> MemoryPPI:
    """Make a PPI dataset of a NetworkX graph whose nodes are protein ids.

    Parameters
    ----------
    graph : networkx.Graph
        Directed and multigraphs are taken as undirected and simple.
    sequences : SequenceStore, mapping, or str
        Sequence of each node, or the node attribute that holds it.
    weight : str
        Edge attribute in [0, 1]; edges without it have weight 1.

    Returns
    -------
    MemoryPPI
        Nodes without an edge are kept; those without a sequence are dropped and counted.

    Raises
    ------
    InputError
        If a weight is outside [0, 1], or no edge is left.
    """
    if isinstance(sequences, str):
        held = nx.get_node_attributes(graph, sequences)
        sequences = {str(node): text for node, text in held.items() if text}
    ends = [(str(a), str(b), float(data.get(weight, 1))) for a, b, data in graph.edges(data=True)]
    frame = pd.DataFrame(ends, columns=["a", "b", "weight"])
    isolated = [str(node) for node in nx.isolates(graph)]
    weights = frame["weight"].to_numpy(np.float32)
    return _assemble(frame["a"], frame["b"], weights, _as_store(sequences), isolated)


def to_networkx(dataset: PPIDataset) -> nx.Graph:
    """Make a NetworkX graph with protein ids as nodes.

    Parameters
    ----------
    dataset : PPI dataset
        With `sequences` in node order.

    Returns
    -------
    networkx.Graph
        Node attribute ``sequence``, edge attribute ``weight``.
    """
    graph: nx.Graph = nx.Graph()
    ids = dataset.sequences.ids
    graph.add_nodes_from(
        (name, {"sequence": text}) for name, text in zip(ids, dataset.sequences, strict=True)
    )
    edges = to_dataframe(dataset)
    graph.add_weighted_edges_from(edges.itertuples(index=False))
    return graph


def to_dataframe(dataset: PPIDataset) -> pd.DataFrame:
    """Make an edge list, each pair once, with the columns protein1, protein2, weight."""
    data = dataset[0]
    low, high = data.edge_index.numpy()
    once = low < high
    ids = np.asarray(data.protein_id, dtype=object)
    return pd.DataFrame(
        {
            "protein1": ids[low[once]],
            "protein2": ids[high[once]],
            "weight": data.edge_weight.numpy()[once],
        }
    )


def _as_store(sequences: SequenceStore | Mapping[str, str]) -> SequenceStore:
    if isinstance(sequences, SequenceStore):
        return sequences
    return SequenceStore.from_records(sequences.keys(), sequences.values())


def _assemble(
    a: pd.Series,
    b: pd.Series,
    weights: np.ndarray,
    store: SequenceStore,
    isolated: Iterable[str],
) -> MemoryPPI:
    wrong = ~((weights >= 0) & (weights <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"edge {a.iloc[row]} - {b.iloc[row]} has weight {weights[row]:g}, "
            "which is outside [0, 1]; scale the weights"
        )
    ends = np.stack([store.index_of(a.astype(str)), store.index_of(b.astype(str))], axis=1)
    known, itself = (ends >= 0).all(axis=1), ends[:, 0] == ends[:, 1]
    kept = known & ~itself
    if not kept.any():
        raise InputError("no edge joins two proteins with sequences; do the ids agree?")
    alone = store.index_of(list(isolated))
    nodes = np.unique(np.concatenate([ends[kept].ravel(), alone[alone >= 0]]))
    pairs = np.sort(np.searchsorted(nodes, ends[kept]), axis=1)
    report = {
        "edges_without_sequence": int((~known).sum()),
        "self_pairs": int((known & itself).sum()),
        "duplicates": len(pairs) - len(np.unique(pairs, axis=0)),
        "nodes_without_sequence": int((alone < 0).sum()),
    }
    dropped = [f"{number} {what.replace('_', ' ')}" for what, number in report.items() if number]
    if dropped:
        warn_once(f"dropped {', '.join(dropped)}")
    edge_index, edge_weight = to_undirected(
        torch.from_numpy(np.ascontiguousarray(pairs.T)),
        torch.from_numpy(weights[kept]),
        num_nodes=len(nodes),
        reduce="max",
    )
    store = store.select(nodes)
    data = Data(edge_index=edge_index, edge_weight=edge_weight, num_nodes=len(nodes))
    data.protein_id = store.ids
    return MemoryPPI(data, store, report)
