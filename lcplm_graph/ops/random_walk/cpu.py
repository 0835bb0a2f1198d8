"""Random walks compiled by Numba: blocks of walkers in lockstep, so that cache misses overlap.

The same numbers as `reference`, which also explains them.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import torch
from numba import njit, prange

from lcplm_graph import splitmix
from lcplm_graph.backends import numba_supports
from lcplm_graph.ops.random_walk import reference
from lcplm_graph.ops.random_walk.tables import TWO32, WalkGraph, WalkLaw
from lcplm_graph.process import use_torch_threads

U = np.uint64
GOLDEN = splitmix.GOLDEN
TRIALS = reference.TRIALS
ROUNDS = reference.ROUNDS
# Walkers per block: enough loads in flight to hide memory latency, few enough to stay in cache.
BLOCK = 32
LOW32 = U(0xFFFFFFFF)
UNIT = 2.0**-53


def supports(device: str, dtype: torch.dtype, *, forced: bool = False) -> tuple[bool, str]:
    """Whether walks can be taken, and why or why not."""
    return numba_supports(device, dtype)


def runs_serially() -> bool:
    """Whether walks run on one thread here, as they do in the workers of `multiprocessing`.

    Workers that each start a thread per core fight for cores.
    """
    return multiprocessing.parent_process() is not None


def run(
    graph: WalkGraph, law: WalkLaw, seed: int, first: int, count: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take walks `first` to ``first + count - 1``; see the package's `random_walk`."""
    nodes = np.full((count, length), -1, np.int32)
    negative = np.zeros((count, length), np.uint8)
    keys = (
        U(reference.derive_key(seed, reference.START)),
        U(reference.derive_key(seed, reference.WALK)),
    )
    # Few walks are done before threads have woken up.
    parallel = count > 4 * BLOCK and not runs_serially()
    if parallel:
        use_torch_threads()
    walk = _walk_parallel if parallel else _walk_serial
    walk(graph, law, keys[0], keys[1], first, nodes, negative)
    return nodes, negative


@njit(cache=True, nogil=True)
def _walk_serial(
    graph: Any, law: Any, start_key: Any, walk_key: Any, first: int, nodes: Any, negative: Any
) -> None:
    for block in range((nodes.shape[0] + BLOCK - 1) // BLOCK):
        _walk_block(graph, law, start_key, walk_key, first, block * BLOCK, nodes, negative)


@njit(cache=True, parallel=True, nogil=True)
def _walk_parallel(
    graph: Any, law: Any, start_key: Any, walk_key: Any, first: int, nodes: Any, negative: Any
) -> None:
    for block in prange((nodes.shape[0] + BLOCK - 1) // BLOCK):
        _walk_block(graph, law, start_key, walk_key, first, block * BLOCK, nodes, negative)


@njit(cache=True, inline="never")
def _walk_block(
    graph: Any,
    law: Any,
    start_key: Any,
    walk_key: Any,
    first: int,
    begin: int,
    nodes: Any,
    negative: Any,
) -> None:
    m = min(BLOCK, nodes.shape[0] - begin)
    at = np.empty(BLOCK, np.int64)
    previous = np.full(BLOCK, -1, np.int64)
    weight = np.ones(BLOCK, np.float64)
    state = np.empty(BLOCK, np.uint64)
    gamma = np.empty(BLOCK, np.uint64)
    waiting = np.empty(BLOCK, np.int64)
    for i in range(m):
        at[i] = start_node(start_key, first + begin + i, graph.indptr.shape[0] - 1)
        state[i], gamma[i] = walk_stream(walk_key, first + begin + i)
        nodes[begin + i, 0] = at[i]
    for t in range(1, nodes.shape[1]):
        n_waiting = 0
        for i in range(m):
            v = at[i]
            if v < 0:
                continue
            k = graph.indptr[v + 1] - graph.indptr[v]
            if k == 0:
                at[i] = -1
                continue
            if law.negative > 0:
                state[i] += gamma[i]
                if np.int64(mix64(state[i]) >> U(32)) < law.negative:
                    x, state[i] = _non_neighbour(graph, v, state[i], gamma[i])
                    if x >= 0:
                        at[i] = x
                        previous[i] = -1
                        nodes[begin + i, t] = x
                        negative[begin + i, t] = 1
                        continue
            if law.second_order and previous[i] >= 0:
                waiting[n_waiting] = i
                n_waiting += 1
                continue
            state[i] += gamma[i]
            x, weight[i] = _candidate(graph, law, mix64(state[i]), v, k)
            previous[i] = v
            at[i] = x
            nodes[begin + i, t] = x
        if n_waiting > 0:
            _second_order(graph, law, at, previous, weight, state, gamma, waiting, n_waiting)
            for r in range(n_waiting):
                nodes[begin + waiting[r], t] = at[waiting[r]]


@njit(cache=True)
def _second_order(
    graph: Any,
    law: Any,
    at: Any,
    previous: Any,
    weight: Any,
    state: Any,
    gamma: Any,
    waiting: Any,
    n_waiting: int,
) -> None:
    """One node2vec step of each waiting walker: rounds of trials over those not yet accepted."""
    pending = waiting[:n_waiting].copy()
    n_pending = n_waiting
    two_draws = law.weighted or law.excess > 0.0
    least = min(law.accept_common, law.accept_far)
    trial = 0
    while n_pending > 0:
        left = 0
        for r in range(n_pending):
            i = pending[r]
            v = at[i]
            u = previous[i]
            k = graph.indptr[v + 1] - graph.indptr[v]
            x = u
            w = weight[i]
            done = k == 1
            if not done and trial == TRIALS:
                x, w, state[i] = _exact(graph, law, u, v, state[i], gamma[i])
                done = True
            if not done:
                state[i] += gamma[i]
                bits = mix64(state[i])
                chance = np.int64(bits >> U(32))
                if two_draws:
                    state[i] += gamma[i]
                    more = mix64(state[i])
                    chance = np.int64(more & LOW32)
                    strength = graph.strength[v] if law.weighted else np.float64(k)
                    outlier = w * law.excess
                    total = outlier + strength * law.envelope
                    done = np.float64(more >> U(32)) * total < outlier * TWO32
                if not done:
                    x, w = _candidate(graph, law, bits, v, k)
                    if x == u:
                        done = chance < law.accept_return
                    elif chance < least:
                        done = True
                    elif _adjacent(graph, u, x):
                        done = chance < law.accept_common
                    else:
                        done = chance < law.accept_far
            if done:
                previous[i] = v
                at[i] = x
                weight[i] = w
            else:
                pending[left] = i
                left += 1
        n_pending = left
        trial += 1


mix64 = njit(cache=True)(splitmix.mix64)


@njit(cache=True)
def walk_stream(key: Any, index: Any) -> Any:
    """State and gamma of `reference.Stream`."""
    state = mix64(key + U(index) * GOLDEN)
    gamma = mix64(state ^ GOLDEN) | U(1)
    flips = gamma ^ (gamma >> U(1))
    count = 0
    while flips != U(0):
        flips &= flips - U(1)
        count += 1
    if count < 24:
        gamma ^= U(0xAAAAAAAAAAAAAAAA)
    return state, gamma


@njit(cache=True)
def start_node(key: Any, index: Any, num_nodes: Any) -> Any:
    """`reference.start_node`."""
    epoch_key = mix64(key + U(index // num_nodes) * GOLDEN)
    node = U(index % num_nodes)
    half = 1
    while (np.int64(1) << (2 * half)) < num_nodes:
        half += 1
    low = (U(1) << U(half)) - U(1)
    while True:
        left = node >> U(half)
        right = node & low
        for turn in range(ROUNDS):
            mixed = mix64(epoch_key + (U(turn) << U(32)) + right)
            left, right = right, left ^ (mixed & low)
        node = (left << U(half)) | right
        if node < U(num_nodes):
            return np.int64(node)


@njit(cache=True)
def _candidate(graph: Any, law: Any, bits: Any, v: Any, k: Any) -> Any:
    a = graph.indptr[v]
    e = a + np.int64(((bits & LOW32) * U(k)) >> U(32))
    if not law.weighted:
        return np.int64(graph.indices[e]), 1.0
    x = np.int64(graph.alias[e, 1])
    if (bits >> U(32)) >= U(graph.alias[e, 0]):
        x = np.int64(graph.alias[e, 2])
        e = a + np.int64(graph.alias[e, 3])
    # The weight of the edge just taken matters only to the return mass of the next step.
    return x, np.float64(graph.weight[e]) if law.excess > 0.0 else 1.0


@njit(cache=True)
def _joined(indptr: Any, indices: Any, u: Any, v: Any) -> bool:
    low = indptr[u]
    high = indptr[u + 1]
    end = high
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < v:
            low = middle + 1
        else:
            high = middle
    return low < end and indices[low] == v


@njit(cache=True)
def _adjacent(graph: Any, u: Any, v: Any) -> bool:
    if graph.bitmap.shape[0] > 0:
        return ((graph.bitmap[u, v >> 6] >> U(v & 63)) & U(1)) != U(0)
    return _joined(graph.indptr, graph.indices, u, v)


@njit(cache=True)
def _exact(graph: Any, law: Any, u: Any, v: Any, state: Any, gamma: Any) -> Any:
    a = graph.indptr[v]
    b = graph.indptr[v + 1]
    running = 0.0
    totals = np.empty(b - a, np.float64)
    for e in range(a, b):
        x = graph.indices[e]
        bias = law.bias_far
        if x == u:
            bias = law.bias_return
        elif _adjacent(graph, u, x):
            bias = 1.0
        running += (np.float64(graph.weight[e]) if law.weighted else 1.0) * bias
        totals[e - a] = running
    state += gamma
    goal = np.float64(mix64(state) >> U(11)) * UNIT * running
    e = a
    while e < b - 1 and goal >= totals[e - a]:
        e += 1
    return (
        np.int64(graph.indices[e]),
        np.float64(graph.weight[e]) if law.weighted else 1.0,
        state,
    )


@njit(cache=True)
def _non_neighbour(graph: Any, v: Any, state: Any, gamma: Any) -> Any:
    stubs = graph.indices.shape[0]
    for _ in range(TRIALS):
        state += gamma
        x = np.int64(graph.indices[np.int64(np.float64(mix64(state) >> U(11)) * UNIT * stubs)])
        if _allowed(graph, v, x):
            return x, state
    total: Any = 0
    for y in range(graph.indptr.shape[0] - 1):
        if _allowed(graph, v, y):
            total += graph.indptr[y + 1] - graph.indptr[y]
    if total == 0:
        return np.int64(-1), state
    state += gamma
    goal: Any = np.int64(np.float64(mix64(state) >> U(11)) * UNIT * total)
    partner: Any = np.int64(-1)
    while goal >= 0:
        partner += 1
        if _allowed(graph, v, partner):
            goal -= graph.indptr[partner + 1] - graph.indptr[partner]
    return partner, state


@njit(cache=True)
def _allowed(graph: Any, v: Any, x: Any) -> bool:
    return x != v and not _joined(graph.excluded_indptr, graph.excluded_indices, v, x)
