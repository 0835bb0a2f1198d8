"""Compiled assembly of token streams from walks: a few copies per protein."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from lcplm_graph.ops.random_walk.cpu import UNIT, mix64, walk_stream
from lcplm_graph.tokens.vocabulary import BON, CLS, EDGE, EON, EOS, NO_EDGE


@njit(cache=True, nogil=True)
def measure(nodes: Any, offsets: Any, max_tokens: int) -> Any:
    """Residues kept of each protein of each walk, int64 (S, length), and tokens per walk (S,).

    A walk's proteins have equal shares of its residues; what short ones leave goes to the others.
    """
    kept = np.zeros(nodes.shape, np.int64)
    size = np.zeros(nodes.shape[0], np.int64)
    for s in range(nodes.shape[0]):
        m = 0
        while m < nodes.shape[1] and nodes[s, m] >= 0:
            v = nodes[s, m]
            kept[s, m] = offsets[v + 1] - offsets[v]
            m += 1
        left = max_tokens - 2 - (m - 1) - 2 * m
        share: Any = 0
        ascending = np.sort(kept[s, :m])
        for i in range(m):
            share = left // (m - i)
            if ascending[i] > share:
                break
            left -= ascending[i]
            share = ascending[i]
        size[s] = 2 + (m - 1) + 2 * m
        for j in range(m):
            kept[s, j] = min(kept[s, j], share)
            size[s] += kept[s, j]
    return kept, size


@njit(cache=True, nogil=True)
def fill(
    nodes: Any,
    negative: Any,
    kept: Any,
    tokens: Any,
    offsets: Any,
    key: Any,
    first: int,
    ids: Any,
    markers: Any,
    labels: Any,
    visited: Any,
    spans: Any,
    windows: Any,
) -> None:
    """Write streams `first` and following into `ids`, and into the rest what lies where."""
    t = 0
    n = 0
    k = 0
    for s in range(nodes.shape[0]):
        state, gamma = walk_stream(key, first + s)
        ids[t] = CLS
        t += 1
        for j in range(nodes.shape[1]):
            v = nodes[s, j]
            if v < 0:
                break
            if j > 0:
                markers[k] = t
                labels[k] = 1 - negative[s, j]
                ids[t] = NO_EDGE if negative[s, j] else EDGE
                k += 1
                t += 1
            spare = offsets[v + 1] - offsets[v] - kept[s, j]
            window = np.int64(0)
            if spare > 0:
                state += gamma
                window = np.int64(np.float64(mix64(state) >> np.uint64(11)) * UNIT * (spare + 1))
            ids[t] = BON
            t += 1
            source = offsets[v] + window
            for r in range(kept[s, j]):
                ids[t + r] = tokens[source + r]
            visited[n] = v
            windows[n] = window
            spans[n, 0] = t
            t += kept[s, j]
            spans[n, 1] = t
            n += 1
            ids[t] = EON
            t += 1
        ids[t] = EOS
        t += 1
