"""PPI datasets of what is in memory; NetworkX graphs and pandas tables in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.cache import Built, MemoryCache
from lcplm_graph.datasets.pair_table import check_scale
from lcplm_graph.datasets.row_counts import DUPLICATES, NO_SEQUENCE, SELF_PAIRS, in_words
from lcplm_graph.errors import InputError
from lcplm_graph.io import warn_once
from lcplm_graph.pairs import distinct_pairs, pair_graph, single_graph
from lcplm_graph.proteins.graphs import graph_and_sequences
from lcplm_graph.proteins.mappings import as_store, id_list
from lcplm_graph.proteins.store import SequenceStore

_WEIGHT = "weight"


class MemoryPPI(PPIDataset):
    """A PPI dataset of what is in memory: as any other, but nothing is read or written.

    Parameters
    ----------
    data : torch_geometric.data.Data
        With `edge_index`, `edge_weight` and `protein_id`; it stays as it is.  Edges in one
        direction are made undirected, of repeated ones the largest weight counts, and self loops
        are left out with a warning that counts them.
    sequences : SequenceStore
        In node order.
    report : dict of str to int, optional
        What was dropped on the way.

    Raises
    ------
    InputError
        If something is missing, an edge names a protein that does not exist, the ids are not those
        of the sequences, or weights are not one number in [0, 1] for each edge.
    """

    def __init__(
        self, data: Data, sequences: SequenceStore, report: dict[str, Any] | None = None
    ) -> None:
        for key in ("protein_id", "edge_index"):
            if getattr(data, key, None) is None:
                raise InputError(f"this graph has no {key}")
        if list(data.protein_id) != sequences.ids:
            raise InputError("the sequences are not in node order: their ids differ")
        if getattr(data, "edge_weight", None) is None:
            raise InputError("this graph has no edge_weight: one number in [0, 1] for each edge")
        super().__init__(MemoryCache(Built(_undirected(data), sequences, report or {})))


def _undirected(data: Data) -> Data:
    """Return a copy that has each edge once in both directions, sorted, as other datasets do."""
    graph = pair_graph(data)
    both = np.concatenate([graph.pairs, graph.pairs[:, ::-1]])
    order = np.lexsort((both[:, 1], both[:, 0]))
    edge_index = torch.from_numpy(np.ascontiguousarray(both[order].T))
    edge_weight = torch.from_numpy(np.concatenate([graph.weight, graph.weight])[order])
    new = data.clone()
    if not torch.equal(edge_index, data.edge_index):
        others = [
            key for key, value in data.to_dict().items()
            if key not in ("edge_index", "edge_weight")
            and isinstance(value, Tensor) and data.is_edge_attr(key)
        ]  # fmt: skip
        if others:
            raise InputError(
                f"this graph has {', '.join(others)}, and edges in one direction, repeated "
                "or not sorted; make it undirected first (torch_geometric.transforms.ToUndirected("
                "reduce='max'))"
            )
        new.edge_index = edge_index
    new.edge_weight = edge_weight
    return new


def from_dataframe(
    frame: pd.DataFrame,
    sequences: SequenceStore | Mapping[Any, str] | pd.Series,
    *,
    source: str = "protein1",
    target: str = "protein2",
    weight: str | None = None,
    scale: float = 1.0,
) -> MemoryPPI:
    """Make a PPI dataset of an edge list.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per edge; direction does not matter.
    sequences : SequenceStore, mapping of str to str, or pandas.Series
        Sequence of each id (of a Series, its index); its order is the order of the nodes,
        without those of no edge. Ids spelled otherwise are matched by accession.
    source, target : str
        Columns of ids: text, or whole numbers.
    weight : str, optional
        Column of weights in [0, 1], or up to `scale`; 1 by default. Of repeated pairs the largest
        counts.
    scale : float
        The highest weight there can be, 1000 in STRING's units; weights are divided by it.

    Returns
    -------
    MemoryPPI
        Its `report` counts `self_pairs`, `duplicates` and `rows_without_sequence`, dropped.

    Raises
    ------
    InputError
        If a column or an id is missing, a weight is not a number in [0, 1] (with row and edge), or
        no edge is left.

    Examples
    --------
    >>> edges = pd.DataFrame({"protein1": ["a", "b"], "protein2": ["b", "c"]})
    >>> dataset = from_dataframe(edges, {"a": "MKT", "b": "MV", "c": "MA"})
    >>> dataset[0].edge_index.tolist()
    [[0, 1, 1, 2], [1, 0, 2, 1]]
    """
    if not isinstance(frame, pd.DataFrame):
        # By its full name, since other libraries have a DataFrame, too.
        kind = f"{type(frame).__module__}.{type(frame).__qualname__}".removeprefix("builtins.")
        raise InputError(
            f"edges are a pandas DataFrame, not {kind}; other tables have to_pandas() or alike"
        )
    for name in (source, target, weight):
        if name is not None and list(frame.columns).count(name) != 1:
            there = ", ".join(map(str, frame.columns)) or "none"
            raise InputError(f"no column {name}; there are {there}")
    a, b = id_list(frame[source], source), id_list(frame[target], target)
    weights = np.ones(len(frame), np.float32)
    if weight is not None:
        weights = _weights(frame[weight], a, b, check_scale(scale))
    return _assemble(a, b, weights, as_store(sequences), nodes=())


def from_networkx(
    graph: nx.Graph,
    sequences: SequenceStore | Mapping[Any, str] | pd.Series | str = "sequence",
    *,
    weight: str = _WEIGHT,
    scale: float = 1.0,
) -> MemoryPPI:
    """Make a PPI dataset of a NetworkX graph whose nodes are protein ids.

    Parameters
    ----------
    graph : networkx.Graph
        Directed and multigraphs are taken as undirected and simple.
    sequences : SequenceStore, mapping, pandas.Series indexed by id, or str
        Sequence of each node, or the node attribute that holds it.
    weight : str
        Edge attribute in [0, 1], or up to `scale`; edges without it have weight 1, and are
        counted where others have it.
    scale : float
        The highest weight there can be, 1000 in STRING's units; weights are divided by it.

    Returns
    -------
    MemoryPPI
        Its graph has `symbol` if all nodes have that attribute. Nodes without an edge, or with one
        to themselves only, are kept; those without a sequence are dropped and counted.

    Raises
    ------
    InputError
        If a weight is outside [0, 1], no edge has the attribute that was asked for, or no edge is
        left.
    """
    if not isinstance(graph, nx.Graph):
        raise InputError(f"this is {type(graph).__name__}, not a NetworkX graph")
    nodes = id_list(list(graph.nodes), "nodes")
    name_of = dict(zip(graph.nodes, nodes, strict=True))
    if len(set(nodes)) < len(nodes):
        raise InputError("two nodes have one name as text, as 1 and '1'")
    if isinstance(sequences, str):
        held = nx.get_node_attributes(graph, sequences)
        sequences = {name_of[node]: text for node, text in held.items() if text}
    _warn_of_unweighted(graph, weight)
    edges = list(graph.edges(data=weight, default=check_scale(scale)))
    a, b = ([name_of[edge[side]] for edge in edges] for side in (0, 1))
    weights = _weights([edge[2] for edge in edges], a, b, scale)
    dataset = _assemble(a, b, weights, as_store(sequences), nodes)
    symbols = {name_of[node]: str(s) for node, s in graph.nodes(data="symbol") if s is not None}
    return _with_symbols(dataset, symbols)


def _warn_of_unweighted(graph: nx.Graph, weight: str) -> None:
    attributes = [held for *_, held in graph.edges(data=True)]
    without = sum(weight not in held for held in attributes)
    if without == len(attributes) and without and weight != _WEIGHT:
        there = ", ".join(sorted({str(name) for held in attributes for name in held})) or "none"
        raise InputError(f"no edge has the attribute {weight!r}; attributes of edges: {there}")
    if 0 < without < len(attributes):
        warn_once(f"{without:,} of {len(attributes):,} edges have no {weight!r} and get weight 1")


def _with_symbols(dataset: MemoryPPI, symbols: Mapping[str, str]) -> MemoryPPI:
    """Name the proteins, if all of them have a name."""
    data = dataset.get(0)
    if not all(name in symbols for name in data.protein_id):
        return dataset
    data.symbol = [symbols[name] for name in data.protein_id]
    return MemoryPPI(data, dataset.sequences, dataset.report)


def to_networkx(dataset: PPIDataset) -> nx.Graph:
    """Make a NetworkX graph with protein ids as nodes.

    Parameters
    ----------
    dataset : PPI dataset
        Its graph as `transform` makes it.

    Returns
    -------
    networkx.Graph
        Node attributes ``sequence``, and ``symbol`` where the dataset has gene names; edge
        attribute ``weight``.
    """
    data, sequences = graph_and_sequences(dataset, edges=True)
    graph: nx.Graph = nx.Graph()
    ids = list(data.protein_id)
    graph.add_nodes_from(
        (name, {"sequence": text}) for name, text in zip(ids, sequences, strict=True)
    )
    symbols = getattr(data, "symbol", None)
    if symbols is not None:
        nx.set_node_attributes(graph, dict(zip(ids, symbols, strict=True)), "symbol")
    graph.add_weighted_edges_from(_edge_list(data).itertuples(index=False))
    return graph


def to_dataframe(dataset: PPIDataset) -> pd.DataFrame:
    """Make an edge list, each pair once, with the columns protein1, protein2, weight.

    Of the graph as the dataset's `transform` makes it; without `edge_weight` all weights are 1.

    Raises
    ------
    InputError
        If it is no graph with `protein_id`, or its weights are not one number in [0, 1] for each
        edge.
    """
    return _edge_list(single_graph(dataset))


def _edge_list(data: Data) -> pd.DataFrame:
    if getattr(data, "protein_id", None) is None:
        raise InputError("this graph has no protein_id: its proteins have no names")
    # A transform may have left an edge in one direction, whichever it is.
    graph = pair_graph(data)
    ids = np.asarray(data.protein_id, dtype=object)
    weight = np.ones(len(graph.pairs), np.float32) if graph.weight is None else graph.weight
    columns = {"protein1": ids[graph.pairs[:, 0]], "protein2": ids[graph.pairs[:, 1]]}
    return pd.DataFrame({**columns, "weight": weight})


def _weights(values: Any, a: Sequence[str], b: Sequence[str], scale: float) -> np.ndarray:
    # A tensor or array of one number is that number.
    given = pd.Series([one.item() if getattr(one, "ndim", 1) == 0 else one for one in values])
    found = pd.to_numeric(given, errors="coerce")
    if found.dtype.kind == "c":
        found = found.map(lambda one: one.real if one.imag == 0 else np.nan)
    numbers = found.to_numpy(np.float64, na_value=np.nan)
    wrong = ~((numbers >= 0) & (numbers <= scale))
    if wrong.any():
        row = int(np.argmax(wrong))
        value = given.iloc[row]
        value = value.item() if isinstance(value, np.generic) else value
        edge = f"row {row}: the edge {a[row]} - {b[row]} has weight"
        if np.isfinite(numbers[row]):
            fault = f"{numbers[row]:g}, which is outside [0, {scale:g}]; give the highest as scale"
        else:
            fault = f"{value!r}, which is not a number in [0, {scale:g}]"
        raise InputError(f"{edge} {fault}")
    return (numbers / scale).astype(np.float32)


def _assemble(
    a: Sequence[str],
    b: Sequence[str],
    weights: np.ndarray,
    store: SequenceStore,
    nodes: Sequence[str],
) -> MemoryPPI:
    """Make the dataset; `nodes` are kept, with or without an edge, if they have a sequence."""
    rows = store.match([*a, *b, *nodes], "edges and sequences")
    ends, own = rows[: 2 * len(a)].reshape(2, -1).T, rows[2 * len(a) :]
    known, itself = (ends >= 0).all(axis=1), ends[:, 0] == ends[:, 1]
    kept = known & ~itself
    if not kept.any():
        raise InputError("no edge joins two proteins with sequences; do the ids agree?")
    used = np.unique(np.concatenate([ends[kept].ravel(), own[own >= 0]]))
    pairs = np.sort(np.searchsorted(used, ends[kept]), axis=1)
    report = {
        NO_SEQUENCE: int((~known).sum()),
        SELF_PAIRS: int((known & itself).sum()),
        DUPLICATES: len(pairs) - len(distinct_pairs(pairs)),
        "nodes_without_sequence": int((own < 0).sum()),
    }
    if dropped := in_words(report):
        warn_once(f"dropped {dropped}")
    edge_index, edge_weight = to_undirected(
        torch.from_numpy(np.ascontiguousarray(pairs.T)),
        torch.from_numpy(weights[kept]),
        num_nodes=len(used),
        reduce="max",
    )
    store = store.select(used)
    data = Data(edge_index=edge_index, edge_weight=edge_weight, num_nodes=len(used))
    data.protein_id = store.ids
    return MemoryPPI(data, store, report)
