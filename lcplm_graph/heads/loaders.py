"""Mini-batches of large graphs: our own `BaseSampler` behind PyG's loaders.

PyG's loaders otherwise need ``pyg-lib`` or ``torch-sparse``, which have to be compiled.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)

from lcplm_graph.errors import InputError
from lcplm_graph.heads.cpu_loaders import CpuGenerator, CpuLinkLoader, CpuNodeLoader
from lcplm_graph.heads.fit_link import message_graph
from lcplm_graph.numeric import edge_weights
from lcplm_graph.pairs import as_nodes
from lcplm_graph.process import on_cpu
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splitmix import GOLDEN, mix64
from lcplm_graph.splits.split import Split


class NeighborSampler(BaseSampler):
    """Sample neighbours of seed proteins, layer by layer, without replacement.

    A sample is a pure function of the seed and of the batch (its seed proteins in order), so it
    does not depend on the number of workers.

    Parameters
    ----------
    edge_index : Tensor, dtype=int64, shape=(2, m)
        Edges that messages may take, source to target.
    num_nodes : int
    num_neighbors : list of int
        Neighbours per protein and layer; -1 for all.
    seed : int

    Raises
    ------
    InputError
        If an edge names a protein outside the graph, or a number of neighbours is senseless.
    """

    def __init__(
        self, edge_index: Tensor, num_nodes: int, num_neighbors: list[int], seed: int = 0
    ) -> None:
        if not isinstance(edge_index, Tensor) or edge_index.dim() != 2 or len(edge_index) != 2:
            found = getattr(edge_index, "shape", type(edge_index).__name__)
            raise InputError(f"edge_index must be a tensor of shape (2, m), not {found}")
        index = edge_index.cpu().numpy()
        if index.size and (index.min() < 0 or index.max() >= num_nodes):
            raise InputError(f"edge_index names proteins outside 0..{num_nodes - 1}")
        if not num_neighbors or any(n < -1 or n == 0 for n in num_neighbors):
            raise InputError(f"num_neighbors are numbers above 0 or -1, not {num_neighbors}")
        self.order = np.lexsort((index[0], index[1]))
        self.sources = index[0][self.order].astype(np.int64)
        self.indptr = np.zeros(num_nodes + 1, np.int64)
        np.cumsum(np.bincount(index[1], minlength=num_nodes), out=self.indptr[1:])
        self.num_nodes, self.num_neighbors = num_nodes, list(num_neighbors)
        self.seed = checked_seed(seed)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.num_nodes} proteins, {len(self.sources)} edges, "
            f"num_neighbors={self.num_neighbors}, seed={self.seed})"
        )

    def sample_from_nodes(self, index: NodeSamplerInput, **_kwargs: Any) -> SamplerOutput:
        """Sample around proteins; they come first in the batch, in their order."""
        output = self._sample(index.node)
        output.metadata = (index.input_id, index.time)
        return output

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput:
        """Sample around both ends of labelled pairs."""
        if neg_sampling is not None:
            raise InputError(
                "negatives come from the split (split.negatives), where they cannot leak held-out "
                "pairs; give them as labelled pairs"
            )
        seeds, inverse = torch.cat([index.row, index.col]).unique(return_inverse=True)
        output = self._sample(seeds)
        output.metadata = (
            index.input_id,
            inverse.view(2, -1),
            index.label,
            index.time,
        )
        return output

    def _sample(self, seeds: Tensor) -> SamplerOutput:
        start = as_nodes(seeds, self.num_nodes)
        if len(np.unique(start)) != len(start):
            raise InputError("a batch names a protein twice")
        state = _batch_state(self.seed, start)
        nodes, rows, cols, edges, per_hop, edges_per_hop = _expand(
            self.indptr, self.sources, start, np.array(self.num_neighbors), self.num_nodes, state
        )
        return SamplerOutput(
            node=torch.from_numpy(nodes),
            row=torch.from_numpy(rows),
            col=torch.from_numpy(cols),
            edge=torch.from_numpy(self.order[edges]),
            num_sampled_nodes=per_hop.tolist(),
            num_sampled_edges=edges_per_hop.tolist(),
        )


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
    data : Data
        Its `edge_index` is what messages take.
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
        If `nodes` name a protein outside the graph, or are a mask of another length.
    """
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
            batch_size=batch_size,
            shuffle=shuffle,
            num_workers=num_workers,
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
    data : Data
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
        If the split is of another graph.

    Notes
    -----
    Where supervision pairs are message edges too, the batch's own pairs are among its messages;
    make the split with ``disjoint=0.3`` to keep the two apart.
    """
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
            batch_size=batch_size,
            shuffle=shuffle,
            num_workers=num_workers,
            generator=CpuGenerator("cpu").manual_seed(seed),
        )


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


def _batch_state(seed: int, nodes: np.ndarray) -> np.uint64:
    from lcplm_graph.pairs import mix

    keys = mix(nodes.astype(np.uint64) + np.uint64(seed % (1 << 64)))
    places = mix(np.arange(len(nodes), dtype=np.uint64))
    return np.bitwise_xor.reduce(mix(keys ^ places)) if len(nodes) else np.uint64(seed)


_mix64 = njit(cache=True)(mix64)


@njit(cache=True)
def _next(state: Any) -> Any:
    """SplitMix64: the next state and a number drawn from it."""
    state = state + GOLDEN
    return state, _mix64(state)


@njit(cache=True)
def _choose(count: Any, wanted: Any, state: Any) -> Any:
    """Floyd's algorithm: `wanted` distinct numbers below `count`, sorted."""
    if wanted < 0 or wanted >= count:
        return np.arange(count), state
    taken = np.empty(wanted, np.int64)
    for size in range(wanted):
        top = count - wanted + size
        state, z = _next(state)
        pick = np.int64(z % np.uint64(top + 1))
        for k in range(size):
            if taken[k] == pick:
                pick = np.int64(top)
                break
        taken[size] = pick
    return np.sort(taken), state


@njit(cache=True)
def _expand(indptr: Any, sources: Any, start: Any, fanout: Any, num_nodes: Any, state: Any) -> Any:
    """Grow the batch hop by hop; proteins are numbered in the order in which they come in."""
    local = np.full(num_nodes, -1, np.int64)
    nodes = np.empty(num_nodes, np.int64)
    for k in range(len(start)):
        local[start[k]] = k
        nodes[k] = start[k]
    size, begin = len(start), 0
    per_hop = np.zeros(len(fanout) + 1, np.int64)
    edges_per_hop = np.zeros(len(fanout), np.int64)
    per_hop[0] = size
    rows, cols, edges = [np.int64(0)], [np.int64(0)], [np.int64(0)]
    for hop in range(len(fanout)):
        end = size
        for target in range(begin, end):
            low = indptr[nodes[target]]
            chosen, state = _choose(indptr[nodes[target] + 1] - low, fanout[hop], state)
            for k in chosen:
                v = sources[low + k]
                if local[v] < 0:
                    local[v] = size
                    nodes[size] = v
                    size += 1
                rows.append(local[v])
                cols.append(np.int64(target))
                edges.append(low + k)
            edges_per_hop[hop] += len(chosen)
        per_hop[hop + 1] = size - end
        begin = end
    return (
        nodes[:size].copy(),
        np.array(rows[1:]),
        np.array(cols[1:]),
        np.array(edges[1:]),
        per_hop,
        edges_per_hop,
    )
