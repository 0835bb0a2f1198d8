"""Numbers of another shape or kind are refused; broadcast or cut they gave other results."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation import go_metrics, metrics, ranking
from lcplm_graph.evaluation.baselines import (
    naive_frequency,
    nearest_neighbour_transfer,
    standardised,
)
from lcplm_graph.evaluation.bootstrap import bootstrap_mean, bootstrap_pairs

LABELS, SCORES = [1, 0, 1, 0], [0.9, 0.3, 0.6, 0.5]
PAIRS = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
TERMS = [[1, 0], [0, 1], [1, 1]]
X = np.array([[1.0, 0], [0, 1], [1, 1]])
SIMILAR = np.array([[0.1, 0.9], [0.8, 0.2]])
NAN = float("nan")


def of_pairs(pairs=PAIRS, **changed):
    return bootstrap_pairs(metrics.auroc, LABELS, SCORES, pairs, **changed)


def hits(scores=SIMILAR, reference=(0, 1), truth=(1, 1), k=1):
    return ranking.top_k_hits(scores, reference, truth, k)


def found(scores=SIMILAR, reference=(0, 1), truth=(1, 1)):
    return ranking.sensitivity_to_first_false_positive(scores, reference, truth)


WRONG = {
    "pairs in two rows": lambda: of_pairs(PAIRS.T.reshape(2, 4)),
    "pairs in one row": lambda: of_pairs(PAIRS.ravel()),
    "resamples": lambda: of_pairs(resamples=2.5),
    "resamples, a text": lambda: bootstrap_mean(SCORES, resamples="9"),
    "level": lambda: bootstrap_mean(SCORES, level="0.9"),
    "a row of scores": lambda: hits([[0.1, 0.9]]),
    "a column of scores": lambda: hits([[0.1], [0.9]]),
    "one score": lambda: found(0.5),
    "texts for numbers": lambda: hits(reference=("0", "1")),
    "bytes for texts": lambda: found(reference=(b"a", b"b"), truth=("a", "b")),
    "k": lambda: hits(k=1.5),
    "k of hits": lambda: metrics.hits_at_k([0.9], SCORES, "1"),
    "ratio, a text": lambda: metrics.average_precision(LABELS, SCORES, "10"),
    "ratio without end": lambda: metrics.average_precision(LABELS, SCORES, float("inf")),
    "recall": lambda: metrics.precision_at_recall(LABELS, SCORES, [0.5]),
    "labels that are missing": lambda: nearest_neighbour_transfer(X, [[NAN, 0], [0, 1], [1, 1]], X),
    "labels that are counts": lambda: naive_frequency([[2, 0], [0, 1]], 2),
    "too few labels": lambda: nearest_neighbour_transfer(X, TERMS[:2], X),
    "other features": lambda: nearest_neighbour_transfer(X, TERMS, X[:, :1]),
    "one feature": lambda: nearest_neighbour_transfer([1.0, 2], TERMS, X),
    "neighbours": lambda: nearest_neighbour_transfer(X, TERMS, X, 1.5),
    "a count": lambda: naive_frequency(TERMS, -1),
    "a mask of numbers": lambda: standardised(X, [1, 0, 1]),
    "a mask of others": lambda: standardised(X, [True, False]),
    "features that are missing": lambda: standardised([[NAN]], [True]),
    "terms that are missing": lambda: go_metrics.information_content([[1, NAN]], np.zeros((2, 2))),
    "terms of one protein": lambda: go_metrics.information_content([1, 0], np.zeros((2, 2))),
    "parents that are numbers": lambda: go_metrics.information_content(TERMS, [[0, 0], [7, 0]]),
    "ragged labels": lambda: go_metrics.fmax([[1, 0], [1]], [[0.1, 0.2], [0.1, 0.2]]),
    "namespaces": lambda: go_metrics.select_terms(["GO:1"], ["MF", "BP"], "MF"),
    "several namespaces": lambda: go_metrics.select_terms(["GO:1"], ["MF"], ["MF"]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(InputError) as told:
        WRONG[wrong]()
    assert "\n" not in str(told.value)


def test_right_ones_are_what_they_were():
    assert hits().tolist() == [1, 0] and found().tolist() == [1, 0]
    assert hits(reference=("a", "b"), truth=np.array(["b", "b"], dtype=object)).tolist() == [1, 0]
    assert hits(reference=torch.tensor([0, 1]), truth=[True, True], k=np.int64(2)).tolist() == [
        1,
        1,
    ]
    assert of_pairs(PAIRS.tolist(), resamples=20) == of_pairs(torch.from_numpy(PAIRS), resamples=20)
    assert naive_frequency(TERMS, np.int64(1)).tolist() == [[2 / 3, 2 / 3]]
