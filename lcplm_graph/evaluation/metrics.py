"""Metrics of labelled pairs: AUROC, average precision at a ratio, precision at recall, Hits@K.

Positives and negatives come as `labels`, so what the negatives are must be said beside the number.
Tied scores share one threshold everywhere: no metric here depends on the order of its input.
They equal scikit-learn's, which the bootstrap with its thousands of calls could not wait for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from lcplm_graph.errors import InputError
from lcplm_graph.numeric import FloatArray, finite, one_each, real_number, whole_number
from lcplm_graph.pairs import IntArray

BoolArray = npt.NDArray[np.bool_]


def auroc(labels: Any, scores: Any, weights: Any = None) -> float:
    """Return the probability that a positive scores above a negative, ties counting half.

    Does not depend on the number of negatives per positive, and therefore flatters where
    positives are rare; read it beside `average_precision` at a realistic ratio.

    Parameters
    ----------
    labels : array_like, bool, shape=(n,)
    scores : array_like, float, shape=(n,)
    weights : array_like, float, shape=(n,), optional
        How often each item counts.

    Raises
    ------
    InputError
        If a score is not finite, or there is one class only.
    """
    label, score = checked(labels, scores)
    true, false = _curve(label, score, _both_classes(label, weights))
    return float(np.trapezoid(true, false) / (true[-1] * false[-1]))


def average_precision(
    labels: Any, scores: Any, ratio: float | None = None, weights: Any = None
) -> float:
    """Return the area under the precision-recall steps, as if there were `ratio` : 1 negatives.

    Precision falls with the share of negatives, so it means nothing without that ratio. Weighting
    every negative by ``ratio * positives / negatives`` gives the expected value at any ratio
    from one sample of negatives.

    Parameters
    ----------
    labels : array_like, bool, shape=(n,)
    scores : array_like, float, shape=(n,)
    ratio : float, optional
        Negatives per positive; default: as many as there are.
    weights : array_like, float, shape=(n,), optional

    Raises
    ------
    InputError
        As `auroc`, and if `ratio` is not above 0.

    Examples
    --------
    >>> labels, scores = [1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]
    >>> [round(average_precision(labels, scores, ratio), 3) for ratio in (1, 10, 100)]
    [0.833, 0.583, 0.51]
    """
    label, score = checked(labels, scores)
    weight = _at_ratio(label, _both_classes(label, weights), ratio)
    true, false = _curve(label, score, weight)
    precision = true[1:] / (true[1:] + false[1:])
    return float((np.diff(true) * precision).sum() / true[-1])


def precision_at_recall(
    labels: Any, scores: Any, recall: float, ratio: float | None = None, weights: Any = None
) -> float:
    """Return the best precision of a threshold that finds at least this share of positives.

    Parameters and errors are those of `average_precision`; `recall` is within 0..1.
    """
    label, score = checked(labels, scores)
    if not 0 < real_number(recall, "recall") <= 1:
        raise InputError(f"recall={recall} must be above 0 and at most 1")
    weight = _at_ratio(label, _both_classes(label, weights), ratio)
    true, false = (found[1:] for found in _curve(label, score, weight))
    # Sums of weights are rounded: a recall of 0.5 may come out as 0.4999999.
    enough = true >= (recall - 1e-9) * true[-1]
    return float((true / (true + false))[enough].max())


def hits_at_k(positive_scores: Any, negative_scores: Any, k: int) -> float:
    """Return the share of positives that score above the k-th best negative, as OGB defines it.

    One pool of negatives serves all positives. A tie with the k-th negative is not a hit.

    Raises
    ------
    InputError
        If there are fewer than `k` negatives (every positive would be a hit), no positive, or a
        score that is not finite.

    References
    ----------
    .. [1] Hu et al., Open Graph Benchmark, NeurIPS 2020.
    """
    positive, negative = (finite(s, "scores").ravel() for s in (positive_scores, negative_scores))
    k = whole_number(k, "k")
    if len(negative) < k:
        raise InputError(
            f"Hits@{k} needs at least {k} negatives, there are {len(negative)}; "
            "draw more, or choose a smaller K"
        )
    if not len(positive):
        raise InputError("there are no positives to score")
    return float((positive > np.partition(negative, len(negative) - k)[len(negative) - k]).mean())


def calibration_error(labels: Any, probabilities: Any, bins: int = 15) -> float:
    """Return the expected calibration error: how far probabilities are from shares of positives.

    Pairs are sorted into bins of equal width; the error is the mean distance between a bin's mean
    probability and its share of positives, each bin weighed by its pairs.

    Parameters
    ----------
    labels : array_like, bool, shape=(n,)
    probabilities : array_like, float, shape=(n,)
        Within 0..1.
    bins : int

    Raises
    ------
    InputError
        As `auroc`, and if a probability is outside of 0..1 or `bins` is no whole number from 1.

    References
    ----------
    .. [1] Guo et al., On calibration of modern neural networks, ICML 2017.

    Examples
    --------
    >>> round(calibration_error([1, 0, 1, 1], [0.75, 0.75, 0.75, 0.75]), 3)
    0.0
    """
    label, probability = _checked_probabilities(labels, probabilities)
    of_bin = _bins_of(probability, bins)
    gap = np.bincount(of_bin, label - probability, minlength=bins)
    return float(np.abs(gap).sum() / max(len(label), 1))


def reliability_bins(
    labels: Any, probabilities: Any, bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return mean probability, share of positives and number of pairs of each bin that has any.

    Parameters
    ----------
    labels : array_like, bool, shape=(n,)
    probabilities : array_like, float, shape=(n,)
        Within 0..1.
    bins : int
        Of equal width.

    Raises
    ------
    InputError
        As `calibration_error`.

    Examples
    --------
    >>> reliability_bins([0, 1, 1], [0.25, 0.25, 1.0], bins=2)
    [(0.25, 0.5, 2), (1.0, 1.0, 1)]
    """
    label, probability = _checked_probabilities(labels, probabilities)
    of_bin = _bins_of(probability, bins)
    return [
        (float(probability[own].mean()), float(label[own].mean()), int(own.sum()))
        for own in (of_bin == number for number in range(bins))
        if own.any()
    ]


def _bins_of(probability: FloatArray, bins: int) -> IntArray:
    """Return which of some bins of equal width each probability is in."""
    bins = whole_number(bins, "bins")
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


def truth_matrix(values: Any, what: str = "labels") -> sparse.csr_array:
    """Return a table of what is true, such as terms of proteins, as a sparse array of 1 and 0.

    Parameters
    ----------
    values : array_like or sparse array, bool, shape=(rows, columns)
        A tuple of rows is no description of a sparse array.
    what : str
        What they are, in the plural, for messages.

    Returns
    -------
    sparse.csr_array, dtype=float64

    Raises
    ------
    InputError
        If there are not two axes, or a value is neither true nor false.
    """
    table = values if sparse.issparse(values) else finite(values, what)
    if table.ndim != 2:
        raise InputError(f"{what} must be of two axes, not of shape {table.shape}")
    found = sparse.csr_array(table).astype(np.float64)
    if not np.isin(found.data, (0, 1)).all():
        raise InputError(f"{what} must be true or false (1 or 0)")
    return found


def checked(labels: Any, scores: Any) -> tuple[BoolArray, FloatArray]:
    """Return labels as bool and scores as float64 of one shape.

    Raises
    ------
    InputError
        If shapes differ, a label is not 0 or 1, or a score is not finite.
    """
    score = finite(scores, "scores")
    label = one_each(labels, "labels") if score.ndim == 1 else np.asarray(labels)
    if label.shape != score.shape:
        raise InputError(f"labels have shape {label.shape}, scores {score.shape}")
    if label.dtype != bool and not np.isin(label, (0, 1)).all():
        raise InputError("labels may be 0 and 1 only")
    return label.astype(bool), score


def _checked_probabilities(labels: Any, probabilities: Any) -> tuple[BoolArray, FloatArray]:
    label, probability = checked(labels, probabilities)
    if len(probability) and not 0 <= probability.min() <= probability.max() <= 1:
        raise InputError("probabilities must be within 0..1")
    return label, probability


def _curve(
    label: BoolArray, score: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the weights of positives and negatives found, as the threshold falls."""
    counted = weight > 0
    label, score, weight = label[counted], score[counted], weight[counted]
    order = np.argsort(-score)
    falling = score[order]
    last = np.append(falling[1:] != falling[:-1], True)
    gained = np.where(label[order], weight[order], 0.0)
    true, false = np.cumsum(gained)[last], np.cumsum(weight[order] - gained)[last]
    return np.append(0.0, true), np.append(0.0, false)


def _both_classes(label: BoolArray, weights: Any) -> FloatArray:
    weight = np.ones(len(label)) if weights is None else finite(weights, "weights")
    if weight.shape != label.shape or (weight < 0).any():
        raise InputError("weights need the shape of labels and may not be negative")
    if not (weight[label].sum() > 0 and weight[~label].sum() > 0):
        raise InputError(
            f"both classes are needed; there are {int(label.sum())} positives among {len(label)}"
        )
    return weight


def _at_ratio(label: BoolArray, weight: FloatArray, ratio: float | None) -> FloatArray:
    if ratio is None:
        return weight
    if not 0 < real_number(ratio, "ratio") < np.inf:
        raise InputError(f"ratio={ratio} must be above 0, and finite")
    factor = ratio * weight[label].sum() / weight[~label].sum()
    return np.where(label, weight, weight * factor)
