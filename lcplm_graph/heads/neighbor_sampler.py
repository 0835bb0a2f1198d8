"""`NeighborSampler`: sampled neighbourhoods of proteins, for PyG's loaders.

PyG's own samplers need ``pyg-lib`` or ``torch-sparse``, which have to be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)

from lcplm_graph.errors import InputError
from lcplm_graph.heads.edges import checked_edges
from lcplm_graph.pairs import as_nodes, mix
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splitmix import GOLDEN, mix64


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
        index = checked_edges(edge_index, num_nodes).cpu().numpy()
        self.order = np.lexsort((index[0], index[1]))
        self.sources = index[0][self.order].astype(np.int64)
        self.indptr = np.zeros(num_nodes + 1, np.int64)
        np.cumsum(np.bincount(index[1], minlength=num_nodes), out=self.indptr[1:])
        self.num_nodes, self.num_neighbors = num_nodes, _fanouts(num_neighbors)
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


def _fanouts(numbers: Any) -> list[int]:
    """Return numbers of neighbours, one for each layer, if they are such."""
    if isinstance(numbers, Tensor | np.ndarray):
        numbers = numbers.tolist()
    whole = isinstance(numbers, Sequence) and len(numbers) > 0 and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) for n in numbers
    )  # fmt: skip
    if not whole or any(n < -1 or n == 0 for n in numbers):
        raise InputError(
            f"num_neighbors is a list of numbers above 0 or -1, one for each layer, not {numbers}"
        )
    return [int(n) for n in numbers]


def _batch_state(seed: int, nodes: np.ndarray) -> np.uint64:
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
