"""Ranks of true partners among all filtered candidates, and retrieval of related proteins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import InputError
from lcplm_graph.numeric import FloatArray, finite, numbers, one_each, whole_number
from lcplm_graph.pairs import IntArray, adjacency

#: Given proteins (b,), scores of each against every protein, shape (b, num_nodes).
ScoreRows = Callable[[IntArray], npt.NDArray[Any]]
_NO_CANDIDATE = -np.inf


class Ranks(NamedTuple):
    """Rank of each true partner among its candidates, 1 = best.

    Attributes
    ----------
    query, target : ndarray, dtype=int64, shape=(r,)
    optimistic, pessimistic : ndarray, dtype=float64, shape=(r,)
        With every tie won, or lost.
    candidates : ndarray, dtype=int64, shape=(r,)
        How many were ranked, the partner among them.
    """

    query: IntArray
    target: IntArray
    optimistic: FloatArray
    pessimistic: FloatArray
    candidates: IntArray

    @property
    def realistic(self) -> FloatArray:
        """Mean of both: the expected rank if ties are broken at random."""
        return (self.optimistic + self.pessimistic) / 2

    def per_protein(self, values: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the proteins asked for, and the mean of `values` over each one's ranks."""
        protein, row = np.unique(self.query, return_inverse=True)
        return protein, np.bincount(row, values) / np.bincount(row)

    def mrr(self) -> float:
        """Mean over proteins of the mean reciprocal realistic rank of their partners."""
        return float(self.per_protein(1 / self.realistic)[1].mean())

    def hits(self, k: int) -> float:
        """Mean over proteins of the share of partners at realistic rank `k` or better.

        Raises
        ------
        InputError
            If a protein has not more than `k` candidates: it could not miss.
        """
        if self.candidates.min() <= k:
            raise InputError(
                f"Hits@{k} means nothing for a protein with {self.candidates.min()} candidates"
            )
        return float(self.per_protein((self.realistic <= k).astype(float))[1].mean())


def rank_partners(
    score_rows: ScoreRows,
    positives: IntArray,
    known: IntArray,
    num_nodes: int,
    candidates: IntArray | None = None,
    block: int = 256,
) -> Ranks:
    """Rank the true partners of each protein against all proteins that are not known partners.

    A pair (i, j) is asked both ways: j among the candidates of i, and i among those of j. Other
    known partners of the protein asked for, and the protein itself, are left out ("filtered").

    Parameters
    ----------
    score_rows : callable
        Given proteins, int64 (b,), returns scores (b, num_nodes); higher is more likely.
    positives : ndarray, dtype=int64, shape=(n, 2)
        Held-out pairs, i < j.
    known : ndarray, dtype=int64, shape=(k, 2)
        All known positives, for example ``split.known``.
    num_nodes : int
    candidates : ndarray, dtype=int64, shape=(c,), optional
        Proteins that may be partners; default all. A partner outside them is still ranked.
    block : int
        Proteins scored at a time.

    Returns
    -------
    Ranks
        Two per pair.

    Raises
    ------
    InputError
        If there is no positive, or a score is not finite.

    Examples
    --------
    >>> scores = np.array([[0, 3, 2, 1], [3, 0, 5, 1], [2, 5, 0, 1], [1, 1, 1, 0.0]])
    >>> known = np.array([[0, 1], [0, 2]])
    >>> ranks = rank_partners(lambda proteins: scores[proteins], known[1:], known, 4)
    >>> ranks.query.tolist(), ranks.realistic.tolist()
    ([0, 2], [1.0, 2.0])
    """
    if not len(positives):
        raise InputError("there are no positives to rank")
    both = np.concatenate([positives, positives[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    queries, first = np.unique(both[:, 0], return_index=True)
    first = np.append(first, len(both))
    indptr, indices = adjacency(known, num_nodes)
    allowed = np.zeros(num_nodes, bool)
    allowed[slice(None) if candidates is None else candidates] = True
    blocks = []
    for start in range(0, len(queries), block):
        some = queries[start : start + block]
        rows = finite(score_rows(some), "scores").copy()
        if rows.shape != (len(some), num_nodes):
            raise InputError(f"score_rows gave {rows.shape}, not {(len(some), num_nodes)}")
        asked = both[first[start] : first[start + len(some)]]
        row = np.searchsorted(some, asked[:, 0])
        own = rows[row, asked[:, 1]]
        rows[:, ~allowed] = _NO_CANDIDATE
        for at, query in enumerate(some):
            rows[at, indices[indptr[query] : indptr[query + 1]]] = _NO_CANDIDATE
        rows[row, asked[:, 1]] = _NO_CANDIDATE
        rows[np.arange(len(some)), some] = _NO_CANDIDATE
        blocks.append(_rank_block(rows, row, own))
    above, level, total = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return Ranks(both[:, 0], both[:, 1], 1.0 + above, 1.0 + above + level, 1 + total)


def top_k_hits(scores: Any, reference: Any, truth: Any, k: int = 1) -> FloatArray:
    """Return for each query whether a reference of its class is among its `k` best, 0 or 1.

    A tie at the k-th place counts by the chance of being drawn.

    Parameters
    ----------
    scores : array_like, float, shape=(q, r)
        Similarity of each query to each reference protein.
    reference, truth : array_like, shape=(r,), (q,)
        Classes.
    k : int

    Returns
    -------
    ndarray, dtype=float64, shape=(q,)
        Its mean is the top-k accuracy.

    Raises
    ------
    InputError
        If there are fewer than `k` references, a score is not finite, scores are not one for each
        query and reference, or classes are numbers here and texts there.
    """
    score = finite(scores, "scores")
    same = _same_class(score, reference, truth)
    k = whole_number(k, "k")
    if k > score.shape[1]:
        raise InputError(f"Top-{k} needs at least {k} references, not {score.shape[1]}")
    limit = -np.partition(-score, k - 1, axis=1)[:, k - 1 : k]
    sure = ((score > limit) & same).any(axis=1)
    tied, places = score == limit, k - (score > limit).sum(axis=1)
    return np.where(sure, 1.0, _chance(tied, tied & same, places))


def sensitivity_to_first_false_positive(scores: Any, reference: Any, truth: Any) -> FloatArray:
    """Return for each query the share of its class ranked before the first protein of another.

    A reference tied with the first false positive is not found.

    Parameters
    ----------
    scores : array_like, float, shape=(q, r)
        NaN marks a reference that is not to be counted, such as the query itself.
    reference, truth : array_like, shape=(r,), (q,)

    Returns
    -------
    ndarray, dtype=float64, shape=(q,)
        NaN for a query whose class has no reference; take `numpy.nanmean` and state how many.

    Raises
    ------
    InputError
        If scores are not one for each query and reference, or classes are numbers here and texts
        there.

    References
    ----------
    .. [1] Söding & Remmert, Current Opinion in Structural Biology 21, 404 (2011).
    """
    score = numbers(scores, "scores")
    counted = ~np.isnan(score)
    same = _same_class(score, reference, truth) & counted
    wrong = np.where(counted & ~same, score, -np.inf).max(axis=1, keepdims=True)
    found, relatives = (same & (score > wrong)).sum(axis=1), same.sum(axis=1)
    return np.where(relatives > 0, found / np.maximum(relatives, 1), np.nan)


def _same_class(score: FloatArray, reference: Any, truth: Any) -> npt.NDArray[np.bool_]:
    """Tell which references are of a query's class, shape (q, r)."""
    asked, known = one_each(truth, "truth"), one_each(reference, "reference")
    if score.shape != (len(asked), len(known)):
        raise InputError(
            f"scores of shape {score.shape} for {len(asked)} queries and {len(known)} references"
        )
    texts = [array.dtype.kind in "US" for array in (asked, known) if len(array)]
    if len(set(texts)) > 1 or (all(texts) and asked.dtype.kind != known.dtype.kind):
        # They would be equal nowhere.
        raise InputError(
            f"classes of queries are {asked.dtype}, those of references {known.dtype}; give both "
            "as numbers or both as texts"
        )
    same: npt.NDArray[np.bool_] = asked[:, None] == known[None, :]
    return same


def _rank_block(
    rows: FloatArray, row: IntArray, own: FloatArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Count candidates above, level with, and in all, for scores `own` of rows `row`."""
    rows = np.sort(rows, axis=1)
    width = rows.shape[1]
    none = (rows == _NO_CANDIDATE).sum(axis=1)
    above, level = np.empty(len(row), np.int64), np.empty(len(row), np.int64)
    for n, (r, score) in enumerate(zip(row, own, strict=True)):
        low, high = (
            np.searchsorted(rows[r], score, "left"),
            np.searchsorted(rows[r], score, "right"),
        )
        above[n], level[n] = width - high, high - low
    return above, level, width - none[row]


def _chance(
    tied: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], places: IntArray
) -> FloatArray:
    """Return the chance that `places` drawn from the tied ones hold a right one."""
    n, good = tied.sum(axis=1), right.sum(axis=1)
    miss = np.ones(len(n))
    for draw in range(int(places.max(initial=0))):
        left = np.maximum(n - draw, 1)
        miss *= np.where(draw < places, np.maximum(n - good - draw, 0) / left, 1.0)
    return 1 - miss
