"""Ranks against a plain loop; retrieval against its definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.ranking import (
    rank_partners,
    sensitivity_to_first_false_positive,
    top_k_hits,
)


def random_case(seed, nodes=25, levels=5):
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(nodes, nodes)).astype(float)
    pairs = np.array([p for p in itertools.combinations(range(nodes), 2) if rng.random() < 0.15])
    return scores, pairs, pairs[rng.random(len(pairs)) < 0.4]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), block=st.integers(1, 30), some=st.booleans())
def test_ranks_equal_a_plain_loop(seed, block, some):
    scores, known, positives = random_case(seed)
    if not len(positives):
        return
    allowed = np.arange(0, 25, 2) if some else np.arange(25)
    ranks = rank_partners(
        lambda q: scores[q], positives, known, 25, allowed if some else None, block
    )
    partners = {tuple(p) for p in known.tolist()} | {tuple(p[::-1]) for p in known.tolist()}
    asked = {tuple(p) for p in positives.tolist()} | {tuple(p[::-1]) for p in positives.tolist()}
    assert set(zip(ranks.query.tolist(), ranks.target.tolist(), strict=True)) == asked
    by_protein: dict[int, list[float]] = {}
    for n, (i, j) in enumerate(zip(ranks.query, ranks.target, strict=True)):
        others = [c for c in allowed if c != i and (i, c) not in partners]
        above = sum(scores[i, c] > scores[i, j] for c in others)
        level = sum(scores[i, c] == scores[i, j] for c in others)
        assert ranks.optimistic[n] == 1 + above
        assert ranks.pessimistic[n] == 1 + above + level
        assert ranks.candidates[n] == 1 + len(others)
        by_protein.setdefault(int(i), []).append(1 / (1 + above + level / 2))
    assert ranks.mrr() == pytest.approx(np.mean([np.mean(v) for v in by_protein.values()]))


def test_mrr_equals_ogb_formula_for_one_partner_each():
    """OGB ranks one positive against a list of negatives: mean of optimistic and pessimistic."""
    rng = np.random.default_rng(0)
    nodes = 60
    scores = rng.integers(8, size=(nodes, nodes)).astype(float)
    pairs = np.array([[i, i + 30] for i in range(30)])
    ranks = rank_partners(lambda q: scores[q], pairs, pairs, nodes)
    reciprocal = []
    for i, j in [*pairs.tolist(), *pairs[:, ::-1].tolist()]:
        negative = np.delete(scores[i], [i, j])
        optimistic, pessimistic = (negative > scores[i, j]).sum(), (negative >= scores[i, j]).sum()
        reciprocal.append(1 / (0.5 * (optimistic + pessimistic) + 1))
    assert ranks.mrr() == pytest.approx(np.mean(reciprocal))


def test_constant_scores_get_the_middle_rank():
    pairs = np.array([[0, 1], [2, 3]])
    ranks = rank_partners(lambda q: np.zeros((len(q), 41)), pairs, pairs, 41)
    assert ranks.realistic.tolist() == [20.5] * 4  # 40 candidates
    assert ranks.hits(20) == 0.0


def test_hits_refuse_too_few_candidates():
    pairs = np.array([[0, 1]])
    ranks = rank_partners(lambda q: np.zeros((len(q), 10)), pairs, pairs, 10)
    with pytest.raises(InputError, match="9 candidates"):
        ranks.hits(20)


def test_perfect_scores_reach_one():
    _, known, positives = random_case(1)
    truth = np.zeros((25, 25))
    truth[positives[:, 0], positives[:, 1]] = truth[positives[:, 1], positives[:, 0]] = 1
    ranks = rank_partners(lambda q: truth[q], positives, known, 25)
    assert ranks.mrr() == ranks.hits(1) == 1.0


def test_bad_scores():
    pairs = np.array([[0, 1]])
    with pytest.raises(InputError, match="NaN"):
        rank_partners(lambda q: np.full((len(q), 3), np.nan), pairs, pairs, 3)
    with pytest.raises(InputError, match=r"gave \(2, 4\), not \(2, 3\)"):
        rank_partners(lambda q: np.zeros((len(q), 4)), pairs, pairs, 3)
    with pytest.raises(InputError, match="no positives"):
        rank_partners(lambda q: np.zeros((len(q), 3)), pairs[:0], pairs, 3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), k=st.integers(1, 5))
def test_top_k_equals_all_orders_of_the_ties(seed, k):
    rng = np.random.default_rng(seed)
    scores = rng.integers(3, size=(4, 6)).astype(float)
    reference, truth = rng.integers(3, size=6), rng.integers(3, size=4)
    expected = []
    for row, true in zip(scores, truth, strict=True):
        hits = []
        for order in itertools.permutations(range(6)):
            best = sorted(order, key=lambda r: -row[r])[:k]  # stable: ties as `order` has them
            hits.append(any(reference[r] == true for r in best))
        expected.append(np.mean(hits))
    np.testing.assert_allclose(top_k_hits(scores, reference, truth, k), expected)


def test_top_k_needs_k_references():
    with pytest.raises(InputError, match="Top-5 needs at least 5 references, not 2"):
        top_k_hits([[1.0, 2.0]], [0, 1], [0], 5)


def test_sensitivity_stops_at_the_first_false_positive():
    reference = np.array(["a", "a", "a", "b", "b"])
    scores = np.array(
        [
            [9, 8, 1, 5, 0],  # two of three before the first b
            [9, 8, 7, 1, 0],  # all
            [5, 4, 3, 5, 0],  # level with a b: none
            [np.nan, 8, 1, 5, 0],  # itself is not counted: one of two
            [9, 8, 7, 1, 0],  # no reference of its class
        ]
    )
    found = sensitivity_to_first_false_positive(scores, reference, ["a", "a", "a", "a", "z"])
    np.testing.assert_allclose(found, [2 / 3, 1, 0, 1 / 2, np.nan])
