"""What a walk reads: the graph as flat arrays, and the transition law as a few numbers."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lcplm_graph.errors import InputError

TWO32 = 4294967296.0
BITMAP_BYTES = 64 << 20


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
        If `p` or `q` is not a positive finite number or `negative_rate` not within [0, 1].
    """
    for name, value in (("p", p), ("q", q)):
        if not (math.isfinite(value) and value > 0 and math.isfinite(1 / value)):
            raise InputError(f"{name} must be a positive finite number, not {value!r}")
    if not 0.0 <= negative_rate <= 1.0:
        raise InputError(f"negative_rate must be between 0 and 1, not {negative_rate!r}")
    bias_return, bias_far = 1.0 / p, 1.0 / q
    envelope = max(1.0, bias_far)
    return WalkLaw(
        weighted=bool(weighted),
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
        Integer (M, 2) undirected edges, each once, in any order, without self loops.
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
    pairs = _checked(pairs, num_nodes)
    if weight is not None:
        weight = _checked_weight(weight, len(pairs))
    indptr, indices, order = _rows(num_nodes, pairs)
    if len(np.unique(pairs.min(1) * num_nodes + pairs.max(1))) != len(pairs):
        raise InputError("the graph lists an edge more than once; merge repeats first")
    w = np.empty(0, np.float32)
    strength, alias = np.empty(0), np.empty((0, 4), np.uint32)
    if weight is not None:
        w = np.tile(weight, 2)[order]
        strength = np.bincount(
            np.repeat(np.arange(num_nodes), np.diff(indptr)), weights=w, minlength=num_nodes
        )
        alias = _alias_tables(indptr, indices, w, strength)
    bitmap = np.empty((0, 0), np.uint64)
    words = (num_nodes + 63) // 64
    if adjacency_bits and num_nodes * words * 8 <= BITMAP_BYTES:
        bitmap = _adjacency_bits(indptr, indices, words)
    excluded_indptr, excluded_indices = indptr, indices
    if excluded is not None and len(excluded):
        both = np.concatenate([pairs, _checked(excluded, num_nodes)])
        excluded_indptr, excluded_indices, _ = _rows(num_nodes, both)
    return WalkGraph(
        indptr, indices, w, strength, alias, bitmap, excluded_indptr, excluded_indices
    )


def _checked(pairs: np.ndarray, num_nodes: int) -> np.ndarray:
    pairs = np.asarray(pairs)
    if num_nodes < 1 or num_nodes > np.iinfo(np.int32).max:
        raise InputError(f"a graph needs 1 to 2**31 - 1 nodes, not {num_nodes}")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise InputError(f"edges must be integers (M, 2), not {pairs.dtype} {pairs.shape}")
    pairs = pairs.astype(np.int64, copy=False)
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= num_nodes):
        raise InputError(f"edges name nodes outside 0..{num_nodes - 1}")
    if (pairs[:, 0] == pairs[:, 1]).any():
        loop = int(pairs[pairs[:, 0] == pairs[:, 1]][0, 0])
        raise InputError(f"node {loop} has an edge to itself; drop self loops first")
    return pairs


def _checked_weight(weight: np.ndarray, count: int) -> np.ndarray:
    weight = np.asarray(weight, np.float32)
    if weight.shape != (count,):
        raise InputError(f"there are {count} edges but weights of shape {weight.shape}")
    wrong = ~(np.isfinite(weight) & (weight > 0))
    if wrong.any():
        raise InputError(
            f"edge {int(wrong.argmax())} has weight {weight[wrong.argmax()]}; weights must be "
            "positive and finite (drop such edges or walk with weighted=False)"
        )
    return weight


def _rows(num_nodes: int, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source = np.concatenate([pairs[:, 0], pairs[:, 1]])
    target = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.argsort(source * num_nodes + target, kind="stable")
    indptr = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=num_nodes), out=indptr[1:])
    return indptr, target[order].astype(np.int32), order


@njit(cache=True)
def _alias_tables(
    indptr: Any, indices: Any, weight: Any, strength: Any
) -> Any:  # pragma: no cover - compiled
    """Walker's alias method in Vose's form (IEEE Trans. Softw. Eng. 1991), one table per row."""
    table = np.empty((indices.shape[0], 4), np.uint32)
    widest = 0
    for v in range(indptr.shape[0] - 1):
        widest = max(widest, indptr[v + 1] - indptr[v])
    part = np.empty(widest, np.float64)
    stack = np.empty(widest, np.int64)
    for v in range(indptr.shape[0] - 1):
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
    return table


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
