"""Intervals: right in the mean over many data sets, seeded, and wide where pairs share proteins."""

import numpy as np
import pytest

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.bootstrap import bootstrap_mean, bootstrap_pairs, bootstrap_proteins
from lcplm_graph.evaluation.metrics import auroc


def pair_case(seed, proteins=80):
    """Return pairs whose labels and scores both depend on their proteins: not independent."""
    rng = np.random.default_rng(seed)
    pairs = rng.integers(proteins, size=(900, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    hub, effect = rng.normal(size=(2, proteins))
    labels = rng.random(len(pairs)) < 1 / (1 + np.exp(1 - hub[pairs].sum(axis=1)))
    return labels, labels + effect[pairs].sum(axis=1) + rng.normal(size=len(pairs)), pairs


def test_pairs_interval_holds_the_value_and_repeats_with_the_seed():
    case = pair_case(0)
    first = bootstrap_pairs(auroc, *case, resamples=100, seed=3)
    assert first.low < first.value < first.high
    assert first.value == auroc(*case[:2])
    assert bootstrap_pairs(auroc, *case, resamples=100, seed=3) == first
    assert bootstrap_pairs(auroc, *case, resamples=100, seed=4) != first
    assert str(first).startswith(f"{first.value:.3f} [")


def test_interval_covers_the_truth_where_one_over_pairs_does_not():
    truth = np.mean([auroc(*pair_case(seed)[:2]) for seed in range(1000, 1200)])
    ours = naive = 0
    for seed in range(40):
        labels, scores, pairs = pair_case(seed)
        found = bootstrap_pairs(auroc, labels, scores, pairs, resamples=40, level=0.9)
        ours += found.low <= truth <= found.high

        def of_rows(rows, labels=labels, scores=scores):
            return auroc(labels[rows], scores[rows])

        over_pairs = bootstrap_proteins(of_rows, len(labels), resamples=40, level=0.9)
        naive += over_pairs.low <= truth <= over_pairs.high
    assert ours / 40 >= 0.75
    assert naive / 40 <= 0.75


def test_interval_holds_what_the_seed_of_a_member_makes():
    labels, scores, pairs = pair_case(0)
    # Only the first member knows anything; a resample without it (8 of 27) is at chance.
    members = np.stack([labels, np.zeros(len(labels)), np.zeros(len(labels))])
    found = bootstrap_pairs(auroc, labels, members, pairs, resamples=100)
    assert found[:3] == (1.0, 0.5, 1.0)
    # Members that agree add nothing.
    equal = bootstrap_pairs(auroc, labels, np.stack([scores] * 2), pairs, resamples=20)
    assert equal == bootstrap_pairs(auroc, labels, scores, pairs, resamples=20)


def test_mean_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        found = bootstrap_mean(rng.exponential(size=60), resamples=300, level=0.9, seed=trial)
        inside += found.low <= 1.0 <= found.high
    assert 0.8 <= inside / 200 <= 0.97


def test_drawing_groups_covers_the_truth_where_drawing_members_does_not():
    """Members of a group are equal here, so there are 30 independent values, not 240."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 8)
    by_group = by_member = 0
    for trial in range(50):
        values = rng.normal(size=30)[groups]
        found = bootstrap_mean(values, groups, resamples=100, level=0.9, seed=trial)
        by_group += found.low <= 0 <= found.high
        found = bootstrap_mean(values, resamples=100, level=0.9, seed=trial)
        by_member += found.low <= 0 <= found.high
    assert by_group >= 39
    assert by_member <= 33


def test_groups_count_by_their_members():
    """Whichever groups are drawn, large or small: the mean of equal values is that value."""
    found = bootstrap_mean([0.5] * 9, [0, 0, 0, 0, 0, 1, 2, 3, 4], resamples=50)
    assert found[:3] == (0.5, 0.5, 0.5)


def test_any_metric_of_proteins():
    values = np.arange(50.0)
    found = bootstrap_proteins(lambda rows: float(values[rows].mean()), 50, resamples=100)
    assert found.value == 24.5
    assert found.low < 24.5 < found.high


def test_bad_input():
    labels, scores, pairs = pair_case(2)
    with pytest.raises(InputError, match="pairs for"):
        bootstrap_pairs(auroc, labels, scores, pairs[1:])
    with pytest.raises(InputError, match="level=95"):
        bootstrap_mean([1.0, 2.0], level=95)
    with pytest.raises(InputError, match="no value"):
        bootstrap_mean([])
    with pytest.raises(InputError, match="make no interval"):
        bootstrap_mean([1.0])
    with pytest.raises(InputError, match="make no interval"):
        bootstrap_mean([1.0, 2.0], ["a", "a"])
    with pytest.raises(InputError, match="1 groups for 2 values"):
        bootstrap_mean([1.0, 2.0], ["a"])
    few = np.array([True, False]), np.array([0.2, 0.1]), np.array([[0, 1], [2, 3]])
    with pytest.raises(InputError, match="resamples have both classes"):
        bootstrap_pairs(auroc, *few)
