"""Function metrics against brute force: ties, constant scores, empty terms, bare proteins."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.go_metrics import (
    FmaxCurve,
    evaluate_terms,
    fmax,
    information_content,
    macro_aupr,
    micro_aupr,
    roc_auc_per_term,
    select_terms,
    smin,
)


def brute_fmax(labels, scores):
    """Loop over thresholds and proteins, as the definition reads."""
    best = 0.0
    kept = [p for p in range(len(labels)) if labels[p].any()]
    for threshold in sorted(set(scores[scores > 0].tolist())):
        precisions, recalls = [], []
        for p in kept:
            predicted = scores[p] >= threshold
            right = (predicted & labels[p]).sum()
            recalls.append(right / labels[p].sum())
            if predicted.any():
                precisions.append(right / predicted.sum())
        if precisions and sum(precisions) and sum(recalls):
            pr, rc = np.mean(precisions), np.mean(recalls)
            best = max(best, 2 * pr * rc / (pr + rc))
    return best


def brute_smin(labels, scores, bits):
    kept = [p for p in range(len(labels)) if labels[p].any()]
    best = np.inf
    for threshold in [*sorted(set(scores[scores > 0].tolist())), np.inf]:
        missed = np.mean([bits[labels[p] & ~(scores[p] >= threshold)].sum() for p in kept])
        wrong = np.mean([bits[~labels[p] & (scores[p] >= threshold)].sum() for p in kept])
        best = min(best, float(np.hypot(missed, wrong)))
    return best


def random_case(seed, digits):
    """Some cases have terms no protein has, proteins without a term, or without a prediction."""
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(1, 12)), int(rng.integers(1, 9))
    labels = rng.random(shape) < rng.uniform(0.1, 0.6)
    labels[rng.random(shape[0]) < 0.1] = False
    labels[:, rng.random(shape[1]) < 0.1] = False
    labels[0, 0] = True
    scores = np.maximum(rng.random(shape) - rng.uniform(0, 0.5), 0)
    scores = scores.round(digits)
    scores[rng.random(shape[0]) < 0.1] = 0
    if digits == 0:
        scores[:] = rng.choice([0.0, 0.7])
    return labels, scores, rng.random(shape[1]) * 5


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 100_000), digits=st.sampled_from([0, 1, 2, 12]))
def test_fmax_and_smin_equal_brute_force(seed, digits):
    labels, scores, bits = random_case(seed, digits)
    best = fmax(labels, scores)
    assert best.f == pytest.approx(brute_fmax(labels, scores), abs=1e-12)
    least = smin(labels, scores, bits)
    assert least.s == pytest.approx(brute_smin(labels, scores, bits), abs=1e-9)
    assert least.s == pytest.approx(np.hypot(least.uncertainty, least.misinformation), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), digits=st.sampled_from([0, 1, 12]))
def test_weights_are_repeats_of_proteins(seed, digits):
    labels, scores, _ = random_case(seed, digits)
    curve = FmaxCurve(labels, scores)
    kept = np.flatnonzero(labels.any(axis=1))
    assert curve.proteins == len(kept)
    drawn = np.random.default_rng(seed).integers(len(kept), size=len(kept))
    weights = np.bincount(drawn, minlength=len(kept)).astype(float)
    again = kept[drawn]
    assert curve.best(weights).f == pytest.approx(brute_fmax(labels[again], scores[again]))
    assert curve.best() == curve.best(np.ones(len(kept)))


def test_a_curve_counts_nothing_where_no_protein_is_drawn_or_predicted():
    labels, scores = np.ones((2, 2), bool), np.array([[0.9, 0.5], [0.0, 0.0]])
    curve = FmaxCurve(labels, scores)
    assert curve.best(np.zeros(2)) == (0.0, 0.9, 0.0, 0.0, 0.0)
    assert curve.best(np.array([0.0, 3.0])) == (0.0, 0.9, 0.0, 0.0, 0.0)
    assert curve.best(np.array([2.0, 0.0])) == (1.0, 0.5, 1.0, 1.0, 1.0)


def test_metrics_take_a_curve_that_is_there():
    labels = np.array([[1, 0], [0, 1], [0, 1]], bool)
    scores, bits = np.array([[0.5, 0.2], [0.9, 0.3], [0.1, 0.8]]), np.ones(2)
    expected = evaluate_terms(labels, scores, bits)
    assert evaluate_terms(labels, scores, bits, FmaxCurve(labels, scores)) == expected


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_fmax_does_not_depend_on_order_or_scale(seed):
    labels, scores, _ = random_case(seed, 1)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(labels)), rng.permutation(labels.shape[1])
    shuffled = fmax(labels[rows][:, columns], scores[rows][:, columns])
    assert shuffled.f == pytest.approx(fmax(labels, scores).f)
    assert fmax(labels, scores**3).f == pytest.approx(fmax(labels, scores).f)


def test_threshold_reached_is_the_one_returned():
    labels, scores, _ = random_case(7, 2)
    best = fmax(labels, scores)
    labels, scores = labels[labels.any(axis=1)], scores[labels.any(axis=1)]
    chosen = scores >= best.threshold
    some = chosen.any(axis=1)
    assert best.coverage == pytest.approx(some.mean())
    right = (chosen & labels).sum(axis=1)
    assert best.recall == pytest.approx((right / labels.sum(axis=1)).mean())
    assert best.precision == pytest.approx((right[some] / chosen[some].sum(axis=1)).mean())


def test_proteins_without_a_term_are_left_out_and_counted():
    labels, scores, bits = random_case(3, 2)
    more = np.vstack([labels, np.zeros((2, labels.shape[1]), bool)])
    noisy = np.vstack([scores, np.ones((2, labels.shape[1]))])
    assert fmax(more, noisy).f == pytest.approx(fmax(labels, scores).f)
    assert smin(more, noisy, bits).s == pytest.approx(smin(labels, scores, bits).s)


def test_predicting_nothing():
    labels = np.array([[True, False], [True, True]])
    assert fmax(labels, np.zeros((2, 2))).f == 0.0
    least = smin(labels, np.zeros((2, 2)), np.array([2.0, 4.0]))
    assert (least.s, least.threshold, least.misinformation) == (4.0, np.inf, 0.0)


def test_predicting_all_right():
    labels, _, bits = random_case(5, 2)
    assert fmax(labels, labels * 0.4)[:4] == pytest.approx((1.0, 0.4, 1.0, 1.0))
    assert smin(labels, labels * 0.4, bits).s == pytest.approx(0.0, abs=1e-12)


def test_sparse_labels_are_the_same():
    labels, scores, bits = random_case(9, 2)
    matrix = sparse.csr_array(labels)
    assert fmax(matrix, scores) == fmax(labels, scores)
    assert smin(matrix, scores, bits) == smin(labels, scores, bits)


def test_per_term_metrics_equal_scikit_learn_and_skip_undefined_terms():
    rng = np.random.default_rng(0)
    labels = rng.random((50, 12)) < 0.3
    labels[:, 0], labels[:, 1] = False, True
    scores = rng.random((50, 12)).round(1)
    roc, aupr = roc_auc_per_term(labels, scores), macro_aupr(labels, scores)
    expected_roc = [roc_auc_score(labels[:, t], scores[:, t]) for t in range(2, 12)]
    expected_aupr = [average_precision_score(labels[:, t], scores[:, t]) for t in range(1, 12)]
    np.testing.assert_allclose(roc.values, [np.nan, np.nan, *expected_roc])
    np.testing.assert_allclose(aupr.values, [np.nan, *expected_aupr])
    assert (roc.mean, roc.terms) == (pytest.approx(np.mean(expected_roc)), 10)
    assert (aupr.mean, aupr.terms) == (pytest.approx(np.mean(expected_aupr)), 11)
    kept = labels.any(axis=1)
    assert micro_aupr(labels, scores) == pytest.approx(
        average_precision_score(labels[kept].ravel(), scores[kept].ravel())
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_information_content_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    terms = 8
    parents = np.tril(rng.random((terms, terms)) < 0.4, -1)
    labels = rng.random((30, terms)) < 0.2
    labels[:, -1] = False
    for term in range(terms - 1, 0, -1):  # children have higher numbers
        for parent in np.flatnonzero(parents[term]):
            labels[:, parent] |= labels[:, term]
    found = information_content(labels, parents)
    for term in range(terms):
        given_parents = labels[:, parents[term]].all(axis=1).sum()
        count = labels[:, term].sum()
        expected = np.log2(given_parents / count) if count else np.log2(given_parents + 1)
        assert found[term] == pytest.approx(expected)
    assert (found >= 0).all()


def test_select_terms_drops_roots_and_other_namespaces():
    terms = ["GO:0003674", "GO:0005488", "GO:0008150", "GO:0009987"]
    aspects = ["MF", "MF", "BP", "BP"]
    assert select_terms(terms, aspects, "BP").tolist() == [3]
    with pytest.raises(InputError, match="choose one of BP, MF, CC"):
        select_terms(terms, aspects, "XX")


def test_all_metrics_of_a_namespace():
    rng = np.random.default_rng(1)
    labels = rng.random((40, 15)) < 0.2
    labels[0] = False
    row = evaluate_terms(labels, rng.random((40, 15)), rng.random(15))
    assert row["proteins"] + row["proteins_without_term"] == 40
    assert row["proteins_without_term"] >= 1
    assert 0 < row["fmax"] < 1
    assert row["terms"] == 15


@pytest.mark.parametrize(
    ("labels", "scores", "match"),
    [
        ([[0, 0]], [[0.1, 0.2]], "no protein has a true term"),
        ([[1, 0]], [[0.1, -0.2]], "0 or more"),
        ([[1, 0]], [[0.1, np.inf]], "NaN or infinite"),
        ([[1, 0]], [[0.1]], "have shape"),
    ],
)
def test_bad_input(labels, scores, match):
    with pytest.raises(InputError, match=match):
        fmax(labels, scores)
    with pytest.raises(InputError, match=match):
        smin(labels, scores, np.ones(2))


def test_bad_information():
    with pytest.raises(InputError, match="each of 2 terms"):
        smin([[1, 0]], [[0.1, 0.2]], [1.0])
    with pytest.raises(InputError, match="for 2 terms"):
        information_content(np.ones((3, 2), bool), np.zeros((3, 3)))
    with pytest.raises(InputError, match="nothing to average"):
        roc_auc_per_term(np.ones((3, 2), bool), np.ones((3, 2)))


def test_a_thousand_proteins_and_two_thousand_terms_take_seconds():
    rng = np.random.default_rng(0)
    labels = rng.random((1000, 2000)) < 0.02
    scores = rng.random((1000, 2000))
    start = time.perf_counter()
    fmax(labels, scores)
    smin(labels, scores, np.ones(2000))
    assert time.perf_counter() - start < 30


def test_false_positives_of_proteins_without_a_term_count():
    labels = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], bool)
    scores = np.array([[0.6, 0.1], [0.2, 0.7], [0.9, 0.9], [0.8, 0.8]])
    expected = average_precision_score(labels.ravel(), scores.ravel())
    assert micro_aupr(labels, scores) == pytest.approx(expected)
    assert expected < 0.3
