"""Mini-batches of large graphs: PyG's loaders on our own `NeighborSampler`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader

from lcplm_graph.errors import InputError
from lcplm_graph.heads.cpu_loaders import CpuGenerator, CpuLinkLoader, CpuNodeLoader
from lcplm_graph.heads.fit_link import message_graph
from lcplm_graph.heads.neighbor_sampler import NeighborSampler
from lcplm_graph.numeric import edge_weights, flag, whole_number
from lcplm_graph.pairs import as_nodes, single_graph
from lcplm_graph.process import on_cpu
from lcplm_graph.splits.split import Split


def node_loader(
    data: Data,
    nodes: Tensor | None,
    num_neighbors: list[int],
    *,
    batch_size: int = 256,
    shuffle: bool = False,
    num_workers: int = 0,
    seed: int = 0,
) -> NodeLoader:
    """Batches of proteins with their sampled neighbourhoods.

    Parameters
    ----------
    data : Data or dataset
        Its `edge_index` is what messages take; of a dataset as its `transform` makes it.
    nodes : Tensor or None
        Indices or mask of the proteins to be asked for; None for all.
    num_neighbors, seed
        See `NeighborSampler`.
    batch_size, shuffle, num_workers
        As in PyG.

    Returns
    -------
    NodeLoader
        The first `batch.batch_size` rows of a batch are the proteins asked for, `batch.n_id` all
        proteins in it.

    Raises
    ------
    InputError
        If `nodes` name a protein outside the graph, or are a mask of another length; if it is no
        graph; or a number is none.
    """
    data = single_graph(data)
    numbers = _numbers(batch_size, num_workers)
    if data.get("edge_weight") is not None:
        edge_weights(data.edge_weight, data.edge_index.T, highest=float("inf"))
    sampler = NeighborSampler(data.edge_index, int(data.num_nodes or 0), num_neighbors, seed)
    graph, lists = _without_lists(data)
    with on_cpu():
        return CpuNodeLoader(
            graph,
            transform=lists,
            node_sampler=sampler,
            input_nodes=_asked(nodes, sampler.num_nodes),
            shuffle=flag(shuffle, "shuffle"),
            **numbers,
            generator=CpuGenerator("cpu").manual_seed(seed),
        )


def link_loader(
    data: Data,
    split: Split,
    part: str,
    num_neighbors: list[int],
    *,
    negatives: str = "stub_matched",
    ratio: float = 1.0,
    batch_size: int = 512,
    shuffle: bool = False,
    num_workers: int = 0,
    seed: int = 0,
) -> LinkLoader:
    """Batches of labelled pairs of one part with sampled neighbourhoods over message edges.

    Parameters
    ----------
    data : Data or dataset
        Features and ids of the graph that was split; its edges are replaced by the message edges,
        which keep their attributes.
    split : Split
    part : {"train", "valid", "test"}
    num_neighbors, seed
        See `NeighborSampler`.
    negatives, ratio
        As in `Split.negatives`.
    batch_size, shuffle, num_workers
        As in PyG.

    Returns
    -------
    LinkLoader
        `batch.edge_label_index` (2, b) and `batch.edge_label` (b,).  `batch.e_id` numbers the
        message edges, all of one direction first.

    Raises
    ------
    InputError
        If the split is of another graph, or it is none; or a number is none.

    Notes
    -----
    Where supervision pairs are message edges too, the batch's own pairs are among its messages;
    make the split with ``disjoint=0.3`` to keep the two apart.
    """
    data = single_graph(data)
    numbers = _numbers(batch_size, num_workers)
    if not isinstance(split, Split):
        raise InputError(f"the split is a Split, as dataset.split() gives it, not {split!r:.60}")
    if data.num_nodes != split.num_nodes:
        raise InputError(
            f"a graph of {data.num_nodes} proteins and a split of {split.num_nodes}; give the "
            "graph that was split"
        )
    edge_index, edge_weight = message_graph(split)
    data = _with_edges(data, edge_index, split.num_nodes)
    data.edge_weight = edge_weight
    positive = split.positives(part)
    negative = split.negatives(part, negatives, ratio, seed)
    pairs = np.concatenate([positive, negative])
    label = torch.from_numpy((np.arange(len(pairs)) < len(positive)).astype(np.float32))
    graph, lists = _without_lists(data)
    with on_cpu():
        return CpuLinkLoader(
            graph,
            transform=lists,
            link_sampler=NeighborSampler(edge_index, split.num_nodes, num_neighbors, seed),
            edge_label_index=torch.from_numpy(np.ascontiguousarray(pairs.T)),
            edge_label=label,
            shuffle=flag(shuffle, "shuffle"),
            **numbers,
            generator=CpuGenerator("cpu").manual_seed(seed),
        )


def _numbers(batch_size: int, num_workers: int) -> dict[str, int]:
    return {
        "batch_size": whole_number(batch_size, "batch_size"),
        "num_workers": whole_number(num_workers, "num_workers", 0),
    }


def _with_edges(data: Data, edge_index: Tensor, num_nodes: int) -> Data:
    """Return a copy with some of the edges, and of edge attributes their rows."""
    attributes = [
        key for key, value in data.to_dict().items()
        if key != "edge_index" and isinstance(value, Tensor) and data.is_edge_attr(key)
    ]  # fmt: skip
    rows = _rows_of(edge_index, data.edge_index, num_nodes) if attributes else None
    new = copy.copy(data)
    for key in attributes:
        axis = data.__cat_dim__(key, data[key])
        new[key] = data[key].index_select(axis, rows)
    # Pairs that a file calls negative are numbers of nodes, which differ in a batch.
    for key in [key for key in new.to_dict() if key.endswith("edge_index")]:
        del new[key]
    new.edge_index, new.num_nodes = edge_index, num_nodes
    return new


def _rows_of(edges: Tensor, among: Tensor, num_nodes: int) -> Tensor:
    """Return for each edge its column among others, of either direction."""
    among = among.long()  # in int32 the keys of large graphs are others
    keys = among[0] * num_nodes + among[1]
    order = keys.argsort(stable=True)
    rows = edges.new_full((edges.shape[1],), -1)
    for start, end in (edges.flip(0), edges):  # the own direction last, where there are both
        wanted = start * num_nodes + end
        at = order[torch.searchsorted(keys[order], wanted).clamp(max=len(keys) - 1)]
        rows = torch.where(keys[at] == wanted, at, rows)
    if bool((rows < 0).any()):
        i, j = edges[:, int((rows < 0).nonzero()[0])].tolist()
        raise InputError(f"the split has an edge {i} {j} that the graph lacks; split this graph")
    return rows


def _asked(nodes: Tensor | None, num_nodes: int) -> Tensor | None:
    """Return indices or the mask, if all proteins that they name exist."""
    if nodes is None:
        return None
    if not (isinstance(nodes, Tensor) and nodes.dtype == torch.bool):
        return torch.from_numpy(as_nodes(nodes, num_nodes))
    if nodes.shape != (num_nodes,):
        raise InputError(f"a mask over {num_nodes} proteins has shape {tuple(nodes.shape)}")
    return nodes


class _NodeLists:
    """Give a batch its part of what the nodes hold in lists, which PyG's loaders do not take."""

    def __init__(self, lists: dict[str, list[Any]]) -> None:
        self.lists = lists

    def __call__(self, batch: Data) -> Data:
        for key, values in self.lists.items():
            batch[key] = [values[i] for i in batch.n_id.tolist()]
        return batch


def _without_lists(data: Data) -> tuple[Data, _NodeLists]:
    lists = {
        key: list(value)
        for key, value in data.to_dict().items()
        if isinstance(value, list | tuple) and data.is_node_attr(key)
    }
    graph = copy.copy(data)
    for key in lists:
        del graph[key]
    # The ids may have been all that told how many nodes there are.
    graph.num_nodes = data.num_nodes
    return graph, _NodeLists(lists)
