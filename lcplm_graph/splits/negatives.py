"""Draw protein pairs that are not known to interact, to learn from and to be tested on.

What a negative may be depends on who sees it. Training negatives avoid training positives only:
avoiding held-out ones too would tell a model, by elimination, where those are. Evaluation
negatives avoid every known positive. A pair can be a negative of one part only: a hash of the
pair, which knows nothing of the graph, decides of which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import InputError, UnknownNameError
from lcplm_graph.io import warn_once
from lcplm_graph.numeric import real_number
from lcplm_graph.pairs import (
    IntArray,
    adjacency,
    degrees,
    is_in,
    keys_to_pairs,
    mix,
    pair_keys,
)
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.parts import Part
from lcplm_graph.splits.sets import EdgeSets

NEGATIVE_KINDS = ("stub_matched", "uniform", "hard")
#: Of four buckets of pairs, the ones in which each part finds its negatives.
_BUCKETS = {"train": (0, 1), "valid": (2,), "test": (3,)}
_TRIES_PER_PAIR, _TRIES_AT_LEAST = 200, 1_000_000

#: Given a generator, a number, the pairs taken so far, and whether few were taken last time.
Draw = Callable[[np.random.Generator, int, IntArray, bool], IntArray]
Accept = Callable[[IntArray], npt.NDArray[np.bool_]]


class _Group(NamedTuple):
    """Negatives of one C class: how many, how they are drawn, which are right."""

    name: str
    wanted: int
    draw: Draw
    accept: Accept


def sample_negatives(
    split: EdgeSets,
    part: str | Part,
    kind: str = "stub_matched",
    ratio: float = 1.0,
    seed: int = 0,
) -> IntArray:
    """Draw negatives for one part of a split.

    Parameters
    ----------
    split : EdgeSets
    part : {"train", "valid", "test"}
    kind : {"stub_matched", "uniform", "hard"}
        `stub_matched` draws both proteins as often as the part's positives have them, class by
        class (C1, C2, C3), so that a protein's degree tells nothing. `uniform` draws any two
        proteins (of the right parts, where proteins were split): a degree-only score looks good
        on it. `hard` draws two proteins that share a partner, class by class.
    ratio : float
        Negatives per positive: ``round(ratio * positives)`` per class are returned. Where a class
        has fewer, a warning counts them.
    seed : int

    Returns
    -------
    ndarray, dtype=int64, shape=(n, 2)
        Distinct pairs i < j in the order drawn.

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    InputError
        If the graph is too small or too dense for half of them.
    """
    if kind not in NEGATIVE_KINDS:
        raise UnknownNameError(f"no {kind!r} negatives; choose one of {', '.join(NEGATIVE_KINDS)}")
    if not 0 < real_number(ratio, "ratio") < np.inf:
        raise InputError(f"ratio={ratio} must be a finite number above 0")
    part = Part.of(part).label
    positives = split.positives(part)
    if not len(positives):
        raise InputError(f"the {part} part has no positives to draw negatives for")
    avoid = pair_keys(split.train if part == "train" else split.known, split.num_nodes)
    rng = np.random.default_rng(
        [checked_seed(seed), list(_BUCKETS).index(part), NEGATIVE_KINDS.index(kind)]
    )
    make = {"stub_matched": _stub_groups, "uniform": _uniform_groups, "hard": _hard_groups}[kind]
    groups = list(make(split, part, positives, ratio))
    wanted, exist = sum(group.wanted for group in groups), split.num_nodes**2 // 2
    if wanted > 2 * exist:
        raise InputError(
            f"ratio={ratio} asks for {wanted} negatives for {part}, and {split.num_nodes} proteins "
            f"make fewer than {exist} pairs; lower the ratio"
        )
    drawn = [_fill(group, avoid, split.num_nodes, part, rng) for group in groups]
    _report_shortage(groups, drawn, part, kind)
    return np.concatenate(drawn)


def _report_shortage(groups: list[_Group], drawn: list[IntArray], part: str, kind: str) -> None:
    found, wanted = sum(map(len, drawn)), sum(group.wanted for group in groups)
    if 2 * found < wanted:
        raise InputError(
            f"only {found} of {wanted} {kind} negatives for {part} exist or could be drawn: the "
            "graph is too small or too dense; lower the ratio or choose another kind"
        )
    for group, pairs in zip(groups, drawn, strict=True):
        if len(pairs) < group.wanted:
            warn_once(
                f"only {len(pairs)} of {group.wanted} {kind} negatives of {group.name} for {part} "
                "exist or could be drawn; its ratio is lower than asked for"
            )


def _fill(
    group: _Group, avoid: IntArray, num_nodes: int, part: str, rng: np.random.Generator
) -> IntArray:
    """Draw until the group is full, or a bounded number of tries is used up."""
    taken = ascending = np.empty(0, np.int64)
    tries_left = _TRIES_PER_PAIR * group.wanted + _TRIES_AT_LEAST
    tries, stuck = group.wanted, False
    while len(taken) < group.wanted and tries_left > 0:
        tries_left -= tries
        pairs = np.sort(group.draw(rng, tries, keys_to_pairs(taken, num_nodes), stuck), axis=1)
        pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & group.accept(pairs)]
        keys = pair_keys(pairs, num_nodes)
        keys = keys[np.isin(_bucket(keys), _BUCKETS[part])]
        # Many rounds bring few pairs each: what is there already is not sorted out again.
        fresh = _distinct(keys[~is_in(keys, avoid) & ~is_in(keys, ascending)])
        taken = np.concatenate([taken, fresh])
        ascending = np.sort(taken)
        stuck = len(fresh) < tries / 50
        tries = min(2 * tries + 1024, 1 << 18) if stuck else max(group.wanted - len(taken), 64)
    return keys_to_pairs(taken[: group.wanted], num_nodes)


def _bucket(keys: IntArray) -> npt.NDArray[np.uint64]:
    return mix(keys.astype(np.uint64)) % np.uint64(4)


def _distinct(keys: IntArray) -> IntArray:
    """Leave repeats out, keep the order of first occurrence."""
    return keys[np.sort(np.unique(keys, return_index=True)[1])]


def _classes(
    split: EdgeSets, positives: IntArray, ratio: float
) -> Iterator[tuple[str, IntArray, int, Accept]]:
    """Yield class, its positives with seen proteins first, number of negatives, class test."""
    of_class = split.classify(positives)
    for number in np.unique(of_class).tolist():
        own = positives[of_class == number]
        own = np.where(split.seen[own[:, :1]], own, own[:, ::-1])

        def accept(pairs: IntArray, number: int = number) -> npt.NDArray[np.bool_]:
            return split.classify(pairs) == number

        yield f"C{number}", own, round(ratio * len(own)), accept


def _stub_groups(split: EdgeSets, part: str, positives: IntArray, ratio: float) -> Iterator[_Group]:
    for name, own, count, accept in _classes(split, positives, ratio):
        sides = (own[:, :1], own[:, 1:]) if name == "C2" else (own,)
        needs = [ratio * np.bincount(side.ravel(), minlength=split.num_nodes) for side in sides]
        yield _Group(name, count, _draw_stubs(needs), accept)


def _uniform_groups(
    split: EdgeSets, part: str, positives: IntArray, ratio: float
) -> Iterator[_Group]:
    if split.node_part is None:
        everyone = np.arange(split.num_nodes)
        count = round(ratio * len(positives))
        draw = _draw_from(everyone, everyone)
        yield _Group("any class", count, draw, lambda pairs: np.ones(len(pairs), bool))
        return
    for name, own, count, accept in _classes(split, positives, ratio):
        # Each side is drawn from the part that the positives have there: C1 joins two training
        # proteins, C2 one of them with a protein of the part, C3 two proteins of the part.
        left, right = (
            np.flatnonzero(np.isin(split.node_part, split.node_part[own[:, side]]))
            for side in (0, 1)
        )
        yield _Group(name, count, _draw_from(left, right), accept)


def _hard_groups(split: EdgeSets, part: str, positives: IntArray, ratio: float) -> Iterator[_Group]:
    graph = split.train if part == "train" else split.known
    draw = _draw_wedges(graph, split.num_nodes)
    for name, own, count, accept in _classes(split, positives, ratio):
        yield _Group(name, count, draw, _and_of_parts(split, own, accept))


def _and_of_parts(split: EdgeSets, own: IntArray, accept: Accept) -> Accept:
    """Narrow `accept` to proteins of the parts that the positives `own` have."""
    if split.node_part is None:
        return accept
    right_part = np.isin(split.node_part, split.node_part[own])
    return lambda pairs: accept(pairs) & right_part[pairs].all(axis=1)


def _draw_stubs(needs: list[npt.NDArray[Any]]) -> Draw:
    """Draw each protein as often as it is still needed, on one or two disjoint sides."""

    def draw(rng: np.random.Generator, n: int, taken: IntArray, stuck: bool) -> IntArray:
        ends = []
        for need in needs:
            rest = np.maximum(need - np.bincount(taken.ravel(), minlength=len(need)), 0)
            # When those still needed cannot be paired, others have to step in.
            weight = need if stuck or rest.sum() == 0 else rest
            ends.append(rng.permutation(_spread(rng, weight, n * (3 - len(needs)))))
        return np.stack(ends, axis=1) if len(ends) == 2 else ends[0].reshape(n, 2)

    return draw


def _spread(rng: np.random.Generator, weight: npt.NDArray[np.float64], n: int) -> IntArray:
    """Draw n indices, each as often as its weight says, up to rounding (systematic sampling)."""
    total = np.cumsum(weight)
    at = (np.arange(n) + rng.random()) / n * total[-1]
    return np.minimum(np.searchsorted(total, at, side="right"), np.flatnonzero(weight)[-1])


def _draw_from(left: IntArray, right: IntArray) -> Draw:
    def draw(rng: np.random.Generator, n: int, taken: IntArray, stuck: bool) -> IntArray:
        ends = left[rng.integers(len(left), size=n)], right[rng.integers(len(right), size=n)]
        return np.stack(ends, axis=1)

    return draw


def _draw_wedges(graph: IntArray, num_nodes: int) -> Draw:
    """Draw the two ends of a uniformly chosen path of two edges."""
    indptr, indices = adjacency(graph, num_nodes)
    degree = degrees(graph, num_nodes)
    paths = np.cumsum(degree * (degree - 1))

    def draw(rng: np.random.Generator, n: int, taken: IntArray, stuck: bool) -> IntArray:
        if paths[-1] == 0:
            return np.empty((0, 2), np.int64)
        middle = np.searchsorted(paths, rng.integers(paths[-1], size=n), side="right")
        first = rng.integers(degree[middle])
        second = (first + rng.integers(1, degree[middle])) % degree[middle]
        return indices[indptr[middle][:, None] + np.stack([first, second], axis=1)]

    return draw
