"""Bootstrap intervals over proteins.

Pairs of one protein are not independent, so resampling pairs gives intervals that are too narrow.
Here proteins are drawn with replacement; a pair counts m(i) * m(j) times, m being how often each
of its proteins was drawn (the vertex bootstrap of networks, Snijders & Borgatti 1999), and a
per-protein value, or a pair of a protein with itself, m(i) times.  Where a model is the mean of
members that were trained from different seeds, the members are drawn with replacement too, so that
the interval also holds what the seed makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.metrics import checked
from lcplm_graph.numeric import FloatArray, finite, one_each, real_number, whole_number
from lcplm_graph.pairs import IntArray
from lcplm_graph.seeds import checked_seed

_N = TypeVar("_N", np.int64, np.float64)


class Interval(NamedTuple):
    """A value with its percentile interval, and how many resamples that rests on."""

    value: float
    low: float
    high: float
    resamples: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_pairs(
    metric: Callable[[Any, Any, Any], float],
    labels: Any,
    scores: Any,
    pairs: IntArray,
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a metric of labelled pairs with its interval.

    Parameters
    ----------
    metric : callable
        ``metric(labels, scores, weights)``, for example
        ``lambda y, s, w: average_precision(y, s, ratio=10, weights=w)``.
    labels : array_like, bool, shape=(n,)
    scores : array_like, float, shape=(n,) or (members, n)
        The metric is that of the members' mean.
    pairs : ndarray, dtype=int64, shape=(n, 2)
        Proteins of each item.
    resamples : int
    level : float
        Share of the resamples within the interval.
    seed : int

    Raises
    ------
    InputError
        If hardly any resample has both classes: there are too few proteins; or there is not one
        pair for each label.
    """
    each = np.atleast_2d(finite(scores, "scores"))
    label, score = checked(labels, each.mean(axis=0))
    ends = np.asarray(pairs)
    if ends.ndim != 2 or ends.shape[1] != 2:
        # Reshaped, rows of first and second proteins would be other pairs.
        raise InputError(f"pairs must be of shape (n, 2), not {ends.shape}")
    if len(ends) != len(label):
        raise InputError(f"{len(ends)} pairs for {len(label)} labels")
    proteins, ends = np.unique(ends, return_inverse=True)
    ends = ends.reshape(-1, 2)

    def values() -> Iterator[float]:
        for k, drawn in enumerate(_draws(len(proteins), resamples, seed)):
            weight = times_drawn(drawn, ends)
            used = weight > 0
            if label[used].any() and not label[used].all():
                chosen = np.random.default_rng([checked_seed(seed), k, 1]).integers(
                    len(each), size=len(each)
                )
                yield metric(label[used], each[chosen][:, used].mean(axis=0), weight[used])

    return _interval(metric(label, score, np.ones(len(label))), values(), resamples, level)


def times_drawn(drawn: npt.NDArray[_N], ends: IntArray) -> npt.NDArray[_N]:
    """Count how often rows of proteins come with the proteins that were drawn.

    Parameters
    ----------
    drawn : ndarray, shape=(proteins,)
        How often each protein was drawn.
    ends : ndarray, dtype=int64, shape=(n, 1 or 2)
        Proteins of each row.

    Returns
    -------
    ndarray, shape=(n,)
        As often as the protein; a pair as often as the product of both, but a pair of a protein
        with itself as often as that one.

    Examples
    --------
    >>> times_drawn(np.array([2, 3]), np.array([[0, 1], [1, 1]])).tolist()
    [6, 3]
    """
    itself = (ends == ends[:, :1]).all(axis=1)
    times: npt.NDArray[_N] = np.where(itself, drawn[ends[:, 0]], drawn[ends].prod(axis=1))
    return times


def bootstrap_mean(
    values: Any,
    groups: Any = None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the mean of per-protein values (reciprocal ranks, sensitivities) with its interval.

    Parameters
    ----------
    values : array_like, float, shape=(n,)
    groups : array_like, shape=(n,), optional
        Draw whole groups, such as superfamilies, where proteins of one group are not independent.

    Examples
    --------
    >>> bootstrap_mean([0.5] * 9)
    Interval(value=0.5, low=0.5, high=0.5, resamples=1000)
    """
    array = finite(values, "values").ravel()
    if not len(array):
        raise InputError("there is no value to take the mean of")
    of_row = (
        np.arange(len(array))
        if groups is None
        else np.unique(one_each(groups, "groups"), return_inverse=True)[1]
    )
    if len(of_row) != len(array):
        raise InputError(f"{len(of_row)} groups for {len(array)} values")
    sums, sizes = np.bincount(of_row, array), np.bincount(of_row).astype(np.float64)
    draws = _draws(len(sizes), resamples, seed)
    means = (float(drawn @ sums) / float(drawn @ sizes) for drawn in draws)
    return _interval(float(array.mean()), means, resamples, level)


def mean_of_some(values: Any, *, resamples: int = 1000, seed: int = 0) -> Interval | float | None:
    """Return the mean with its interval; of a single value that value, of none None."""
    if len(values) < 2:
        return float(values[0]) if len(values) else None
    return bootstrap_mean(values, resamples=resamples, seed=seed)


def bootstrap_proteins(
    metric: Callable[[IntArray], float],
    count: int,
    *,
    resamples: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return any metric of `count` proteins with its interval.

    Parameters
    ----------
    metric : callable
        Takes the rows of the proteins drawn, int64 (count,) with repeats, for example
        ``lambda rows: fmax(labels[rows], scores[rows]).f``.
    """
    draws = (
        metric(np.repeat(np.arange(count), drawn.astype(np.int64)))
        for drawn in _draws(count, resamples, seed)
    )
    return _interval(metric(np.arange(count)), draws, resamples, level)


def _draws(count: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield how often each protein is drawn; resample k depends on the seed and k alone."""
    if whole_number(count, "count", 0) < 2 or whole_number(resamples, "resamples", 0) < 2:
        raise InputError(f"{resamples} resamples of {count} proteins make no interval")
    for k in range(resamples):
        rng = np.random.default_rng([checked_seed(seed), k])
        yield np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float64)


def _interval(value: float, draws: Iterator[float], resamples: int, level: float) -> Interval:
    if not 0 < real_number(level, "level") < 1:
        raise InputError(f"level={level} must be between 0 and 1")
    found = np.fromiter(draws, np.float64)
    if 2 * len(found) < resamples:
        raise InputError(
            f"only {len(found)} of {resamples} resamples have both classes; there are too few "
            "proteins for an interval"
        )
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), len(found))
