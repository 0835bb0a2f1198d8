"""Metrics of protein function prediction as in CAFA: Fmax, Smin, AUPR, ROC-AUC per term.

Labels and scores are (proteins, terms), of one namespace, propagated to all ancestors. Thresholds
are the distinct scores themselves, so tied and rounded scores change nothing. A score of 0 is no
prediction. Roots are in everything; leave them out with `select_terms`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.metrics import BoolArray, checked, truth_matrix
from lcplm_graph.go.ontology import ROOTS
from lcplm_graph.numeric import FloatArray, finite
from lcplm_graph.pairs import IntArray


class Fmax(NamedTuple):
    """Best F and where it is reached; coverage is the share of proteins with a prediction there."""

    f: float
    threshold: float
    precision: float
    recall: float
    coverage: float


class Smin(NamedTuple):
    """Least semantic distance and where: remaining uncertainty and misinformation, in bits."""

    s: float
    threshold: float
    uncertainty: float
    misinformation: float


class PerTerm(NamedTuple):
    """A metric per term, NaN where it is not defined, and the mean over the others."""

    mean: float
    values: FloatArray
    terms: int


def fmax(labels: Any, scores: Any) -> Fmax:
    """Return the protein-centred maximum F measure of CAFA.

    At a threshold, precision is the mean over proteins with a prediction, recall the mean over
    all proteins with a true term; proteins without one are left out. F = 2 pr rc / (pr + rc).

    Parameters
    ----------
    labels : array_like or sparse array, bool, shape=(proteins, terms)
    scores : array_like, float, shape=(proteins, terms)
        0 or more; 0 is not a prediction.

    Raises
    ------
    InputError
        If shapes differ, a score is negative or not finite, or no protein has a true term.

    References
    ----------
    .. [1] Radivojac et al., Nature Methods 10, 221 (2013).

    Examples
    --------
    >>> labels = [[1, 1, 0], [0, 1, 1]]
    >>> best = fmax(labels, [[0.9, 0.8, 0.8], [0, 0.3, 0]])
    >>> round(best.f, 3), best.threshold
    (0.789, 0.3)
    """
    return FmaxCurve(labels, scores).best()


class FmaxCurve:
    """Precision and recall at every threshold, sorted once, for any weights of the proteins.

    Parameters
    ----------
    labels, scores
        As in `fmax`.

    Attributes
    ----------
    proteins : int
        Those with a true term; the others are left out.

    Examples
    --------
    >>> curve = FmaxCurve([[1, 1, 0], [0, 1, 1]], [[0.9, 0.8, 0.8], [0, 0.3, 0]])
    >>> round(curve.best().f, 3), curve.best(np.array([1.0, 0.0])).f
    (0.789, 0.8)
    """

    def __init__(self, labels: Any, scores: Any) -> None:
        label, score = _matrices(labels, scores)
        self.proteins = len(label)
        curve = _walk_down(score)
        true = label[curve.protein, curve.term].astype(float)
        precision = _running_sum(true, curve.starts) / curve.place
        first = curve.place == 1
        steps = np.stack(
            [
                _steps(precision, first),
                true / label.sum(axis=1)[curve.protein],
                first.astype(float),
            ]
        )
        # Indexing would lay them out as columns.
        self._steps = np.take(steps, curve.order, axis=1)
        self._protein = curve.protein[curve.order]
        self._last, self._thresholds = curve.last, curve.thresholds

    def best(self, weights: FloatArray | None = None) -> Fmax:
        """Return `fmax`, each protein counted as often as `weights`, shape (proteins,), says."""
        if not len(self._last):
            return Fmax(0.0, np.inf, 0.0, 0.0, 0.0)
        counted = np.ones(self.proteins) if weights is None else np.asarray(weights, np.float64)
        f, at, *reached = _best_f(self._steps, self._protein, self._last, counted)
        return Fmax(f, float(self._thresholds[at]), *reached)


@njit(cache=True, nogil=True)
def _best_f(
    steps: FloatArray, protein: IntArray, last: IntArray, weights: FloatArray
) -> tuple[float, int, float, float, float]:
    """Return the first highest F, the place of its threshold, precision, recall and coverage.

    In one pass: an interval takes a hundred of them, over tens of millions of predictions.
    """
    total = 0.0
    for weight in weights:
        total += weight
    precision, recall, covered = 0.0, 0.0, 0.0
    best = (-1.0, 0, 0.0, 0.0, 0.0)
    at = 0
    for k in range(len(protein)):
        weight = weights[protein[k]]
        precision += steps[0, k] * weight
        recall += steps[1, k] * weight
        covered += steps[2, k] * weight
        if k == last[at]:
            pr = precision / covered if covered > 0 else 0.0
            rc = recall / total if total > 0 else 0.0
            f = 2 * pr * rc / (pr + rc) if pr + rc > 0 else 0.0
            if f > best[0]:
                best = (f, at, pr, rc, covered / total if total > 0 else 0.0)
            at += 1
    return best


def smin(labels: Any, scores: Any, information: Any) -> Smin:
    """Return the minimum semantic distance between predicted and true terms.

    Remaining uncertainty is the information of true terms not predicted, misinformation that of
    predicted ones not true, each a mean over the proteins with a true term; their Euclidean norm
    is least at the threshold returned, infinity if predicting nothing is best.

    Parameters
    ----------
    labels, scores
        As in `fmax`.
    information : array_like, float, shape=(terms,)
        Bits, from `information_content` of the *training* annotations.

    References
    ----------
    .. [1] Clark & Radivojac, Bioinformatics 29, i53 (2013).
    """
    label, score = _matrices(labels, scores)
    bits = finite(information, "information contents")
    if bits.shape != label.shape[1:] or (bits < 0).any():
        raise InputError(
            f"information needs one number, 0 or more, for each of {label.shape[1]} terms"
        )
    curve = _walk_down(score)
    true, weight = label[curve.protein, curve.term], bits[curve.term]
    sums = np.stack([weight * true, weight * ~true])[:, curve.order]
    gained, wrong = np.cumsum(sums, axis=1)[:, curve.last]
    uncertainty = np.append((label @ bits).sum(), (label @ bits).sum() - gained) / len(label)
    misinformation = np.append(0.0, wrong) / len(label)
    distance = np.hypot(np.maximum(uncertainty, 0), misinformation)
    best = int(np.argmin(distance))
    thresholds = np.append(np.inf, curve.thresholds)
    return Smin(*(float(v[best]) for v in (distance, thresholds, uncertainty, misinformation)))


def information_content(labels: Any, parents: Any) -> FloatArray:
    """Return the information of each term given its parents, in bits, from training annotations.

    ``-log2(n(term) / n(all its parents))``, n counting proteins. A term that no training protein
    has counts as if one more protein had it, so that it is rare, not infinitely informative.

    Parameters
    ----------
    labels : array_like or sparse array, bool, shape=(proteins, terms)
        Training annotations, propagated.
    parents : sparse array or array_like, bool, shape=(terms, terms)
        ``parents[t, p]`` is true if p is a parent of t. A term without parents is measured
        against all proteins.

    Raises
    ------
    InputError
        If one of them is not true or false everywhere, or parents are not of these terms.

    References
    ----------
    .. [1] Clark & Radivojac, Bioinformatics 29, i53 (2013).

    Examples
    --------
    >>> labels = [[1, 1], [1, 0], [1, 0], [1, 1]]
    >>> information_content(labels, [[0, 0], [1, 0]]).tolist()
    [0.0, 1.0]
    """
    have = truth_matrix(labels).tocsc().astype(np.int64)
    above = truth_matrix(parents, "parents").astype(np.int64)
    if above.shape != (have.shape[1], have.shape[1]):
        raise InputError(f"parents has shape {above.shape} for {have.shape[1]} terms")
    # A protein has all parents of a term if it has as many of them as there are.
    of_parents = (have @ above.T).toarray() == above.sum(axis=1)[None, :]
    given, count = of_parents.sum(axis=0), np.asarray(have.sum(axis=0))
    return np.where(
        count > 0, np.log2(np.maximum(given, 1) / np.maximum(count, 1)), np.log2(given + 1)
    )


def micro_aupr(labels: Any, scores: Any) -> float:
    """Return the average precision over all protein-term pairs at once.

    Pairs of proteins without a true term count, too.
    """
    label, score = checked(_dense(labels), scores)
    return float(average_precision_score(label.ravel(), score.ravel()))


def macro_aupr(labels: Any, scores: Any) -> PerTerm:
    """Return the average precision of each term, and its mean over terms that some protein has."""
    label, score = checked(_dense(labels), scores)
    values = np.full(label.shape[1], np.nan)
    for term in np.flatnonzero(label.any(axis=0)):
        values[term] = average_precision_score(label[:, term], score[:, term])
    return _per_term(values, "has a protein")


def roc_auc_per_term(labels: Any, scores: Any) -> PerTerm:
    """Return the ROC-AUC of each term, and its mean over terms with proteins of both kinds."""
    label, score = checked(_dense(labels), scores)
    positive = label.sum(axis=0)
    negative = len(label) - positive
    rank_sum = (rankdata(score, axis=0) * label).sum(axis=0)
    defined = (positive > 0) & (negative > 0)
    values = np.full(label.shape[1], np.nan)
    pairs = (positive * negative)[defined]
    values[defined] = (rank_sum - positive * (positive + 1) / 2)[defined] / pairs
    return _per_term(values, "has proteins both with and without it")


def select_terms(
    terms: Sequence[str], aspects: Sequence[str] | npt.NDArray[Any], aspect: str
) -> IntArray:
    """Return the columns of one namespace (`MF`, `BP` or `CC`) without its root.

    Parameters
    ----------
    terms : sequence of str
        GO ids of the columns.
    aspects : sequence of str
        Namespace of each column.
    aspect : str

    Raises
    ------
    InputError
        If there is no such namespace, or not one for each term.

    Examples
    --------
    >>> select_terms(["GO:0003674", "GO:0005488", "GO:0005575"], ["MF", "MF", "CC"], "MF").tolist()
    [1]
    """
    if not isinstance(aspect, str) or aspect not in ROOTS:
        raise InputError(f"no namespace {aspect!r}; choose one of {', '.join(ROOTS)}")
    if len(aspects) != len(terms):
        raise InputError(f"{len(aspects)} namespaces for {len(terms)} terms")
    return np.flatnonzero(
        (np.asarray(aspects) == aspect) & ~np.isin(np.asarray(terms), list(ROOTS.values()))
    )


def evaluate_terms(
    labels: Any, scores: Any, information: Any, curve: FmaxCurve | None = None
) -> Mapping[str, float]:
    """Return every metric of one namespace by name, with the numbers of proteins and terms.

    Parameters
    ----------
    labels, scores, information
        As in `smin`.
    curve : FmaxCurve, optional
        Of these labels and scores, where there is one already.
    """
    best = (FmaxCurve(labels, scores) if curve is None else curve).best()
    least = smin(labels, scores, information)
    macro, roc = macro_aupr(labels, scores), roc_auc_per_term(labels, scores)
    has_term = _dense(labels).astype(bool).any(axis=1)
    return {
        "fmax": best.f,
        "fmax_threshold": best.threshold,
        "coverage": best.coverage,
        "smin": least.s,
        "smin_threshold": least.threshold,
        "micro_aupr": micro_aupr(labels, scores),
        "macro_aupr": macro.mean,
        "roc_auc": roc.mean,
        "proteins": int(has_term.sum()),
        "proteins_without_term": int((~has_term).sum()),
        "terms": macro.terms,
    }


class _Curve(NamedTuple):
    """All predictions, protein by protein from the highest score down.

    `place` counts within a protein, whose stretch begins at `starts`. `order` sorts them by score
    over all proteins, and `last` is where in that order each threshold's predictions end.
    """

    protein: IntArray
    term: IntArray
    place: IntArray
    starts: IntArray
    order: IntArray
    last: IntArray
    thresholds: FloatArray


def _walk_down(score: FloatArray) -> _Curve:
    order = np.argsort(-score, axis=1, kind="stable")
    ranked = np.take_along_axis(score, order, axis=1)
    protein, rank = np.nonzero(ranked > 0)
    value = ranked[protein, rank]
    by_score = np.argsort(-value, kind="stable")
    falling = value[by_score]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(value) else by_score
    starts = np.searchsorted(protein, np.arange(len(score)))
    return _Curve(protein, order[protein, rank], rank + 1, starts, by_score, last, falling[last])


def _running_sum(values: FloatArray, starts: IntArray) -> FloatArray:
    """Sum up within each protein's stretch."""
    total = np.cumsum(values)
    before = np.append(0.0, total)[np.minimum(starts, len(values))]
    lengths = np.diff(np.append(starts, len(values)))
    return total - np.repeat(before, lengths)


def _steps(values: FloatArray, first: BoolArray) -> FloatArray:
    """Return how much each value differs from the one before it in its stretch."""
    return values - np.where(first, 0.0, np.append(0.0, values[:-1]))


def _matrices(labels: Any, scores: Any) -> tuple[BoolArray, FloatArray]:
    """Check both matrices and keep the proteins that have a true term."""
    label, score = checked(_dense(labels), scores)
    if label.ndim != 2 or (score < 0).any():
        raise InputError("labels and scores must be (proteins, terms), scores 0 or more")
    keep = label.any(axis=1)
    if not keep.any():
        raise InputError("no protein has a true term; there is nothing to evaluate")
    return label[keep], score[keep]


def _dense(labels: Any) -> npt.NDArray[Any]:
    try:
        return labels.toarray() if sparse.issparse(labels) else np.asarray(labels)
    except ValueError as error:  # rows of unequal length
        raise InputError(f"labels must be of shape (proteins, terms): {error}") from error


def _per_term(values: FloatArray, needed: str) -> PerTerm:
    defined = ~np.isnan(values)
    if not defined.any():
        raise InputError(f"no term {needed}; there is nothing to average")
    return PerTerm(float(values[defined].mean()), values, int(defined.sum()))
