"""Random walks in plain Python: one walk at a time, written to be read.

The random numbers are part of the operation's definition (see `Stream`), so every backend gives
the same walks bit for bit.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import torch

from lcplm_graph.ops.random_walk.tables import TWO32, WalkGraph, WalkLaw

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
WALK, START = 1, 2
ROUNDS = 6
TRIALS = 64


def mix64(x: int) -> int:
    """Scramble 64 bits: the finaliser of SplitMix64, Stafford's variant 13."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def derive_key(seed: int, purpose: int) -> int:
    """Key of one use of randomness (walks, start nodes, windows ...) under a seed."""
    return mix64((mix64((seed + GOLDEN) & MASK) + purpose * GOLDEN) & MASK)


class Stream:
    """The random numbers of one walk: a SplitMix64 stream of its own.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014: a
    counter that grows by an odd `gamma`, and `mix64` of it.  Start and gamma are hashes of
    (key, index), so stream i needs nothing of stream i - 1, and no two streams share a gamma
    but by chance.
    """

    def __init__(self, key: int, index: int) -> None:
        self.state = mix64((key + index * GOLDEN) & MASK)
        gamma = mix64(self.state ^ GOLDEN) | 1
        # Too regular a gamma makes weak streams; this is the remedy of the paper.
        if (gamma ^ (gamma >> 1)).bit_count() < 24:
            gamma ^= 0xAAAAAAAAAAAAAAAA
        self.gamma = gamma

    def bits(self) -> int:
        """Next 64 random bits."""
        self.state = (self.state + self.gamma) & MASK
        return mix64(self.state)

    def unit(self) -> float:
        """Next float in [0, 1) with 53 random bits."""
        return (self.bits() >> 11) * 2.0**-53


def start_node(key: int, index: int, num_nodes: int) -> int:
    """Node where walk `index` starts: each epoch of `num_nodes` walks is its own permutation.

    A Feistel network on the smallest power of four above `num_nodes`, walked round until it falls
    inside (cycle walking), is a bijection that needs no memory and can be asked at any place.
    """
    epoch, node = divmod(index, num_nodes)
    epoch_key = mix64((key + epoch * GOLDEN) & MASK)
    half = 1
    while (1 << (2 * half)) < num_nodes:
        half += 1
    low = (1 << half) - 1
    while True:
        left, right = node >> half, node & low
        for turn in range(ROUNDS):
            mixed = mix64((epoch_key + (turn << 32) + right) & MASK)
            left, right = right, left ^ (mixed & low)
        node = (left << half) | right
        if node < num_nodes:
            return node


def supports(device: str, dtype: torch.dtype, *, forced: bool = False) -> tuple[bool, str]:
    """Whether walks can be taken, and why or why not."""
    if device != "cpu":
        return False, f"runs on the CPU only, the data are on {device}"
    return True, "plain Python, hop by hop"


def run(
    graph: WalkGraph, law: WalkLaw, seed: int, first: int, count: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take walks `first` to ``first + count - 1``; see the package's `random_walk`."""
    nodes = np.full((count, length), -1, np.int32)
    negative = np.zeros((count, length), np.uint8)
    start_key, walk_key = derive_key(seed, START), derive_key(seed, WALK)
    for row in range(count):
        walker = _Walker(graph, law, Stream(walk_key, first + row))
        walker.node = nodes[row, 0] = start_node(start_key, first + row, len(graph.indptr) - 1)
        for t in range(1, length):
            if not walker.hop():
                break
            nodes[row, t], negative[row, t] = walker.node, walker.jumped
    return nodes, negative


class _Walker:
    """Where a walk stands, and how it goes on."""

    def __init__(self, graph: WalkGraph, law: WalkLaw, random: Stream) -> None:
        self.graph, self.law, self.random = graph, law, random
        self.node = -1
        self.previous = -1
        self.previous_weight = 1.0
        self.jumped = False

    def hop(self) -> bool:
        """Take one hop; False when there is nowhere to go."""
        degree = int(self.graph.indptr[self.node + 1] - self.graph.indptr[self.node])
        if degree == 0:
            return False
        if self.law.negative and (self.random.bits() >> 32) < self.law.negative:
            target = self._non_neighbour()
            if target >= 0:
                self.node, self.previous, self.jumped = target, -1, True
                return True
        if self.law.second_order and self.previous >= 0:
            target, weight = self._second_order(degree)
        else:
            target, weight = self._candidate(self.random.bits(), degree)
        self.previous, self.previous_weight = self.node, weight
        self.node, self.jumped = target, False
        return True

    def _candidate(self, bits: int, degree: int) -> tuple[int, float]:
        graph, a = self.graph, int(self.graph.indptr[self.node])
        e = a + (((bits & 0xFFFFFFFF) * degree) >> 32)
        if not self.law.weighted:
            return int(graph.indices[e]), 1.0
        if (bits >> 32) >= graph.alias[e, 0]:
            e = a + int(graph.alias[e, 3])
        return int(graph.indices[e]), float(graph.weight[e])

    def _second_order(self, degree: int) -> tuple[int, float]:
        law, back = self.law, (self.previous, self.previous_weight)
        if degree == 1:
            return back
        strength = float(self.graph.strength[self.node]) if law.weighted else float(degree)
        outlier = self.previous_weight * law.excess
        total = outlier + strength * law.envelope
        for _ in range(TRIALS):
            bits = self.random.bits()
            chance = bits >> 32
            if law.weighted or law.excess > 0.0:
                more = self.random.bits()
                if (more >> 32) * total < outlier * TWO32:
                    return back
                chance = more & 0xFFFFFFFF
            target, weight = self._candidate(bits, degree)
            if chance < self._acceptance(target):
                return target, weight
        return self._exact()

    def _acceptance(self, target: int) -> int:
        if target == self.previous:
            return self.law.accept_return
        near = self._joined(self.graph.indptr, self.graph.indices, self.previous, target)
        return self.law.accept_common if near else self.law.accept_far

    def _exact(self) -> tuple[int, float]:
        """Draw from the whole row; bounds the time of laws that nearly always reject."""
        graph, law = self.graph, self.law
        row = range(int(graph.indptr[self.node]), int(graph.indptr[self.node + 1]))
        running, totals = 0.0, []
        for e in row:
            x = int(graph.indices[e])
            bias = law.bias_far
            if x == self.previous:
                bias = law.bias_return
            elif self._joined(graph.indptr, graph.indices, self.previous, x):
                bias = 1.0
            running += (float(graph.weight[e]) if law.weighted else 1.0) * bias
            totals.append(running)
        goal = self.random.unit() * running
        e = row[next((i for i, total in enumerate(totals) if goal < total), len(row) - 1)]
        return int(graph.indices[e]), float(graph.weight[e]) if law.weighted else 1.0

    def _non_neighbour(self) -> int:
        """Node drawn by degree among those no training edge joins to this one; -1 if none."""
        graph, stubs = self.graph, len(self.graph.indices)
        for _ in range(TRIALS):
            x = int(graph.indices[int(self.random.unit() * stubs)])
            if self._allowed(x):
                return x
        degree = np.diff(graph.indptr)
        allowed = [x for x in range(len(degree)) if degree[x] and self._allowed(x)]
        if not allowed:
            return -1
        totals = np.cumsum(degree[allowed])
        goal = int(self.random.unit() * int(totals[-1]))
        return allowed[int(np.searchsorted(totals, goal, side="right"))]

    def _allowed(self, x: int) -> bool:
        rows = self.graph.excluded_indptr, self.graph.excluded_indices
        return x != self.node and not self._joined(*rows, self.node, x)

    @staticmethod
    def _joined(indptr: np.ndarray, indices: np.ndarray, u: int, v: int) -> bool:
        row = indices[indptr[u] : indptr[u + 1]]
        place = bisect_left(row, v)
        return place < len(row) and int(row[place]) == v
