"""What a walk reads: the graph as flat arrays, and the transition law as a few numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lcplm_graph.errors import InputError
from lcplm_graph.numeric import flag, numbers, real_number
from lcplm_graph.pairs import distinct

TWO32 = 4294967296.0
BITMAP_BYTES = 64 << 20
MAX_BIAS = 1e9


class WalkGraph(NamedTuple):
    """An undirected graph in compressed rows, with the tables that make steps cheap.

    Tables that a law does not need are empty arrays, so that compiled kernels see one type.

    Attributes
    ----------
    indptr, indices : numpy.ndarray
        Rows of neighbours in ascending order: int64 (n + 1,) and int32 (m,); each edge is there
        in both directions.
    weight : numpy.ndarray
        float32 (m,), or empty for an unweighted graph.
    strength : numpy.ndarray
        float64 (n,), sum of a row's weights; empty for an unweighted graph.
    alias : numpy.ndarray
        uint32 (m, 4): threshold / 2**32, neighbour, other neighbour, the other's place in the row.
    bitmap : numpy.ndarray
        uint64 (n, ceil(n / 64)) adjacency bits, or empty where binary search has to do.
    excluded_indptr, excluded_indices : numpy.ndarray
        Rows of the nodes that a negative hop must not reach.
    """

    indptr: np.ndarray
    indices: np.ndarray
    weight: np.ndarray
    strength: np.ndarray
    alias: np.ndarray
    bitmap: np.ndarray
    excluded_indptr: np.ndarray
    excluded_indices: np.ndarray


class WalkLaw(NamedTuple):
    """Transition law; the thresholds are in units of 2**-32, so that comparisons are exact."""

    weighted: bool
    second_order: bool
    bias_return: float
    bias_far: float
    envelope: float
    excess: float
    accept_return: int
    accept_common: int
    accept_far: int
    negative: int


def make_law(
    *, p: float = 1.0, q: float = 1.0, weighted: bool = False, negative_rate: float = 0.0
) -> WalkLaw:
    """Check and precompute the parameters of `random_walk`.

    A node2vec step from `v`, reached from `u`, goes to neighbour `x` with probability
    proportional to ``w(v, x) * f(x)``, ``f = 1/p`` for ``x = u``, 1 for neighbours of `u`, else
    ``1/q``.  Candidates are drawn by ``w`` and accepted with ``f / max(1, 1/q)``; what the return
    edge has above that envelope, ``w(v, u) * (1/p - max(1, 1/q))``, is a separate outlier mass
    drawn first (as in KnightKing, Yang et al. 2019), so a small `p` costs no rejections.

    Raises
    ------
    InputError
        If `p` or `q` is not within [1e-9, 1e9] or `negative_rate` not within [0, 1].
    """
    for name, value in (("p", p), ("q", q)):
        if not 1 / MAX_BIAS <= real_number(value, name) <= MAX_BIAS:
            raise InputError(
                f"{name} must be between {1 / MAX_BIAS:g} and {MAX_BIAS:g}, not {value!r}"
            )
    if not 0.0 <= real_number(negative_rate, "negative_rate") <= 1.0:
        raise InputError(f"negative_rate must be between 0 and 1, not {negative_rate!r}")
    bias_return, bias_far = 1.0 / p, 1.0 / q
    envelope = max(1.0, bias_far)
    return WalkLaw(
        weighted=flag(weighted, "weighted"),
        second_order=not (p == 1.0 and q == 1.0),
        bias_return=bias_return,
        bias_far=bias_far,
        envelope=envelope,
        excess=max(0.0, bias_return - envelope),
        accept_return=round(min(bias_return, envelope) / envelope * TWO32),
        accept_common=round(TWO32 / envelope),
        accept_far=round(bias_far / envelope * TWO32),
        negative=round(negative_rate * TWO32),
    )


def make_graph(
    num_nodes: int,
    pairs: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    excluded: np.ndarray | None = None,
    adjacency_bits: bool = False,
) -> WalkGraph:
    """Build the tables of a graph.

    Parameters
    ----------
    num_nodes : int
        Number of nodes, at least 1.
    pairs : numpy.ndarray
        Integer (M, 2) undirected edges, each once, without self loops; fastest when sorted.
    weight : numpy.ndarray, optional
        float (M,) positive weights: builds alias tables.
    excluded : numpy.ndarray, optional
        Integer (K, 2) further pairs that, beside `pairs`, no negative hop may join.
    adjacency_bits : bool
        Build the adjacency bitmap if it takes at most 64 MB; node2vec with ``q != 1`` gains.

    Returns
    -------
    WalkGraph

    Raises
    ------
    InputError
        If pairs or weights have a wrong shape or value.
    """
    keys = _keys(pairs, num_nodes)
    order = None if (np.diff(keys) > 0).all() else np.argsort(keys, kind="stable")
    if order is not None:
        keys = keys[order]
        if (np.diff(keys) == 0).any():
            raise InputError("the graph lists an edge more than once; merge repeats first")
    if weight is None:
        w = np.empty(0, np.float32)
    else:
        w = _checked_weight(weight, len(keys))
        w = w if order is None else w[order]
    indptr, indices, w = _rows(num_nodes, keys, w)
    strength, alias = np.empty(0), np.empty((0, 4), np.uint32)
    if weight is not None:
        strength, alias = _alias_tables(indptr, indices, w)
    bitmap = np.empty((0, 0), np.uint64)
    words = (num_nodes + 63) // 64
    if adjacency_bits and num_nodes * words * 8 <= BITMAP_BYTES:
        bitmap = _adjacency_bits(indptr, indices, words)
    excluded_indptr, excluded_indices = indptr, indices
    if excluded is not None:
        both = distinct(np.concatenate([keys, _keys(excluded, num_nodes)]))
        if len(both) > len(keys):
            excluded_indptr, excluded_indices, _ = _rows(num_nodes, both, np.empty(0, np.float32))
    return WalkGraph(indptr, indices, w, strength, alias, bitmap, excluded_indptr, excluded_indices)


def _keys(pairs: np.ndarray, num_nodes: int) -> np.ndarray:
    """One number per checked pair, smaller node * num_nodes + larger node."""
    pairs = np.asarray(pairs)
    if num_nodes < 1 or num_nodes > np.iinfo(np.int32).max:
        raise InputError(f"a graph needs 1 to 2**31 - 1 nodes, not {num_nodes}")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise InputError(f"edges must be integers (M, 2), not {pairs.dtype} {pairs.shape}")
    one, other = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    low, high = np.minimum(one, other), np.maximum(one, other)
    if len(pairs) and (low.min() < 0 or high.max() >= num_nodes):
        raise InputError(f"edges name nodes outside 0..{num_nodes - 1}")
    if (low == high).any():
        loop = int(low[np.argmax(low == high)])
        raise InputError(f"node {loop} has an edge to itself; drop self loops first")
    return low * num_nodes + high


def _checked_weight(weight: np.ndarray, count: int) -> np.ndarray:
    weight = numbers(weight, "weights").astype(np.float32)
    if weight.shape != (count,):
        raise InputError(f"there are {count} edges but weights of shape {weight.shape}")
    wrong = ~(np.isfinite(weight) & (weight > 0))
    if wrong.any():
        raise InputError(
            f"edge {int(wrong.argmax())} has weight {weight[wrong.argmax()]}; weights must be "
            "positive and finite (drop such edges or walk with weighted=False)"
        )
    return weight


@njit(cache=True)
def _rows(num_nodes: int, keys: Any, weight: Any) -> Any:  # pragma: no cover - compiled
    """Compressed rows of sorted keys; smaller neighbours first, so rows come out ascending."""
    indptr = np.zeros(num_nodes + 1, np.int64)
    for key in keys:
        indptr[key // num_nodes + 1] += 1
        indptr[key % num_nodes + 1] += 1
    for v in range(num_nodes):
        indptr[v + 1] += indptr[v]
    indices = np.empty(2 * keys.shape[0], np.int32)
    by_edge = np.empty(2 * weight.shape[0], np.float32)
    end = indptr[:-1].copy()
    for forward in range(2):
        for m in range(keys.shape[0]):
            low = keys[m] // num_nodes
            high = keys[m] % num_nodes
            v, x = (low, high) if forward else (high, low)
            indices[end[v]] = x
            if weight.shape[0] > 0:
                by_edge[end[v]] = weight[m]
            end[v] += 1
    return indptr, indices, by_edge


@njit(cache=True)
def _alias_tables(indptr: Any, indices: Any, weight: Any) -> Any:  # pragma: no cover - compiled
    """Walker's alias method in Vose's form (IEEE Trans. Softw. Eng. 1991), one table per row."""
    n = indptr.shape[0] - 1
    table = np.empty((indices.shape[0], 4), np.uint32)
    strength = np.zeros(n, np.float64)
    widest = 0
    for v in range(n):
        widest = max(widest, indptr[v + 1] - indptr[v])
        for e in range(indptr[v], indptr[v + 1]):
            strength[v] += weight[e]
    part = np.empty(widest, np.float64)
    stack = np.empty(widest, np.int64)
    for v in range(n):
        a = indptr[v]
        k = indptr[v + 1] - a
        low = 0
        high = k
        for i in range(k):
            part[i] = weight[a + i] * k / strength[v]
            _record(table, indices, a, i, 1.0, i)
            if part[i] < 1.0:
                stack[low] = i
                low += 1
            else:
                high -= 1
                stack[high] = i
        while low > 0 and high < k:
            small = stack[low - 1]
            large = stack[high]
            low -= 1
            _record(table, indices, a, small, part[small], large)
            part[large] -= 1.0 - part[small]
            if part[large] < 1.0:
                high += 1
                stack[low] = large
                low += 1
    return strength, table


@njit(cache=True)
def _record(
    table: Any, indices: Any, a: int, i: int, keep: float, other: int
) -> None:  # pragma: no cover - compiled
    # A full slot names itself as the other choice, so 1 - 2**-32 loses nothing.
    table[a + i, 0] = np.uint32(min(max(keep, 0.0) * TWO32, TWO32 - 1.0))
    table[a + i, 1] = np.uint32(indices[a + i])
    table[a + i, 2] = np.uint32(indices[a + other])
    table[a + i, 3] = np.uint32(other)


@njit(cache=True)
def _adjacency_bits(indptr: Any, indices: Any, words: int) -> Any:  # pragma: no cover - compiled
    bits = np.zeros((indptr.shape[0] - 1, words), np.uint64)
    for v in range(indptr.shape[0] - 1):
        for e in range(indptr[v], indptr[v + 1]):
            bits[v, indices[e] >> 6] |= np.uint64(1) << np.uint64(indices[e] & 63)
    return bits
