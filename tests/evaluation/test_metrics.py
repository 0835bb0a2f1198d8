"""Link metrics against scikit-learn, OGB's formula and plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.metrics import (
    auroc,
    average_precision,
    calibration_error,
    hits_at_k,
    precision_at_recall,
    reliability_bins,
)

#: Coarse scores, so that ties are common.
coarse = st.integers(0, 6).map(lambda v: v / 6)
labelled = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        arrays(bool, n).filter(lambda y: y.any() and not y.all()), arrays(float, n, elements=coarse)
    )
)


@given(labelled)
def test_auroc_and_average_precision_equal_scikit_learn(item):
    labels, scores = item
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(
        average_precision_score(labels, scores)
    )


@given(labelled)
def test_auroc_equals_counting_of_pairs(item):
    labels, scores = item
    differences = scores[labels][:, None] - scores[~labels][None, :]
    assert auroc(labels, scores) == pytest.approx(((np.sign(differences) + 1) / 2).mean())


@given(labelled, st.integers(1, 5))
def test_ratio_equals_repeating_every_negative(item, times):
    labels, scores = item
    repeats = np.where(labels, 1, times)
    ratio = times * (~labels).sum() / labels.sum()
    many = np.repeat(labels, repeats), np.repeat(scores, repeats)
    assert average_precision(labels, scores, ratio) == pytest.approx(average_precision(*many))
    for recall in (0.25, 0.5, 1.0):
        assert precision_at_recall(labels, scores, recall, ratio) == pytest.approx(
            precision_at_recall(*many, recall)
        )


@given(labelled)
def test_precision_at_recall_equals_trying_all_thresholds(item):
    labels, scores = item
    tried = []
    for threshold in np.unique(scores):
        chosen = scores >= threshold
        if (labels & chosen).sum() >= 0.5 * labels.sum():
            tried.append((labels & chosen).sum() / chosen.sum())
    assert precision_at_recall(labels, scores, 0.5) == pytest.approx(max(tried))


@given(labelled)
def test_weights_equal_repeats(item):
    labels, scores = item
    weights = np.arange(len(labels)) % 3
    kept = np.repeat(labels, weights)
    if kept.any() and not kept.all():
        repeated = np.repeat(scores, weights)
        assert auroc(labels, scores, weights) == pytest.approx(auroc(kept, repeated))
        for ratio in (None, 3.0):
            assert average_precision(labels, scores, ratio, weights) == pytest.approx(
                average_precision(kept, repeated, ratio)
            )
            assert precision_at_recall(labels, scores, 0.5, ratio, weights) == pytest.approx(
                precision_at_recall(kept, repeated, 0.5, ratio)
            )


def test_recall_is_reached_though_its_product_is_rounded_up():
    """0.55 x 100 is a little more than 55 in floating point."""
    labels = np.repeat([True, False, True], [55, 10, 45])
    assert precision_at_recall(labels, -np.arange(110.0), 0.55) == 1.0


def test_errors_of_bins_do_not_make_up_for_each_other():
    assert calibration_error([1, 0], [0.1, 0.9]) == pytest.approx(0.9)
    assert calibration_error([1, 1, 0], [1.0, 1.0, 0.0]) == 0.0


@given(labelled, st.integers(1, 5))
def test_hits_equal_ogb_formula_where_there_are_enough_negatives(item, k):
    labels, scores = item
    positive, negative = scores[labels], scores[~labels]
    if len(negative) < k:
        with pytest.raises(InputError, match=f"Hits@{k} needs at least {k} negatives"):
            hits_at_k(positive, negative, k)
    else:
        threshold = np.sort(negative)[-k]
        assert hits_at_k(positive, negative, k) == (positive > threshold).sum() / len(positive)


@pytest.mark.parametrize("ratio", [1, 10, 100])
def test_constant_scores_reach_chance(ratio):
    labels = np.arange(60) < 20
    constant = np.full(60, 0.3)
    assert auroc(labels, constant) == 0.5
    assert average_precision(labels, constant, ratio) == pytest.approx(1 / (1 + ratio))
    assert hits_at_k(constant[labels], constant[~labels], 20) == 0.0


@pytest.mark.parametrize("metric", [auroc, average_precision])
@pytest.mark.parametrize(
    ("labels", "scores", "match"),
    [
        ([1, 1], [0.1, 0.2], "both classes are needed; there are 2 positives among 2"),
        ([1, 0], [0.1, np.nan], "1 of 2 scores are NaN"),
        ([1, 0], [0.1], "labels have shape"),
        ([1, 2], [0.1, 0.2], "0 and 1 only"),
    ],
)
def test_bad_input(metric, labels, scores, match):
    with pytest.raises(InputError, match=match):
        metric(labels, scores)


def test_bad_arguments():
    with pytest.raises(InputError, match="ratio=0"):
        average_precision([1, 0], [0.2, 0.1], ratio=0)
    with pytest.raises(InputError, match="recall=2"):
        precision_at_recall([1, 0], [0.2, 0.1], recall=2)
    with pytest.raises(InputError, match="may not be negative"):
        auroc([1, 0], [0.2, 0.1], weights=[1, -1])
    with pytest.raises(InputError, match="no positives"):
        hits_at_k([], [0.1], 1)


@pytest.mark.parametrize("bins", [0, -1, 2.5, None])
def test_bins_are_a_whole_number(bins):
    for ask in (calibration_error, reliability_bins):
        with pytest.raises(InputError, match="bins must be a whole number from 1, not"):
            ask([1, 0], [0.5, 0.5], bins=bins)
