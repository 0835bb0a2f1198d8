"""Interactions of relatives: by brute force, the same in either order, with the right weight."""

import itertools

import numpy as np
import pytest
import torch
from scipy import sparse

from lcplm_graph.errors import CheckpointError, InputError
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.inference import new_edges, partners_of
from lcplm_graph.heads.interologs import Interologs, interolog_weights
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.io import read_json, write_json
from lcplm_graph.splits.split import Split

NODES, NEW = 60, 4
FIT = FitOptions(steps=4, batch_size=64)


def paired_families(seed=0):
    """Proteins 2k and 2k + 1 are relatives; where one interacts, so does the other."""
    rng = np.random.default_rng(seed)
    families = np.array(list(itertools.combinations(range(NODES // 2), 2)))
    chosen = families[rng.permutation(len(families))[:75]]
    members = itertools.product((0, 1), repeat=2)
    edges = np.concatenate([2 * chosen + np.array(each) for each in members])
    weights = np.eye(NODES)
    own = np.arange(0, NODES, 2)
    weights[own, own + 1] = weights[own + 1, own] = 0.6
    return np.sort(edges, axis=1), sparse.csr_array(weights)


def split_of(edges, valid=0.3, seed=1):
    order = np.random.default_rng(seed).permutation(len(edges))
    held = edges[order[: round(valid * len(edges))]]
    known = edges[order[len(held) :]]
    return Split("C1", NODES, known, known, held, [0] * len(held))


def by_hand(weights, edges, i, j):
    dense, count = weights.toarray(), weights.shape[1]
    graph = np.zeros((count, count))
    graph[edges[:, 0], edges[:, 1]] = graph[edges[:, 1], edges[:, 0]] = 1
    near = {end: 1 + sum(dense[end, a] * graph[a].sum() for a in range(count)) for end in (i, j)}
    met = sum(dense[i, a] * dense[j, b] for a in range(count) for b in range(count) if graph[a, b])
    return np.sqrt(met / np.sqrt(near[i] * near[j]))


def test_evidence_is_what_one_counts_by_hand():
    rng = np.random.default_rng(0)
    weights = sparse.csr_array(rng.random((9, 7)) * (rng.random((9, 7)) < 0.4))
    edges = np.array([pair for pair in itertools.combinations(range(7), 2) if rng.random() < 0.4])
    edges = np.concatenate([edges, [[3, 3]]])  # a protein that interacts with itself, once
    evidence = Interologs(weights, edges)
    pairs = np.array(list(itertools.product(range(9), repeat=2)))
    found = evidence.of(pairs)
    np.testing.assert_allclose(found, [by_hand(weights, edges, i, j) for i, j in pairs], atol=1e-12)
    assert (found > 0).any()
    assert (found == 0).any()
    assert found.max() <= 1
    # To the last bit: the answer must not tell which protein was named first.
    np.testing.assert_array_equal(found, evidence.of(pairs[:, ::-1]))
    np.testing.assert_allclose(evidence.rows(np.arange(9)).ravel(), found, atol=1e-12)
    assert evidence.of(np.empty((0, 2), int)).shape == (0,)
    with pytest.raises(InputError, match="a pair of protein 7, but relatives among 7 proteins"):
        Interologs(weights, np.array([[0, 7]]))


def test_an_answer_is_the_same_alone_and_among_others():
    rng = np.random.default_rng(1)
    weights = sparse.csr_array(rng.random((300, 80)) * (rng.random((300, 80)) < 0.2))
    edges = np.unique(np.sort(rng.integers(80, size=(400, 2)), axis=1), axis=0)
    pairs = rng.integers(300, size=(9_000, 2))
    found = Interologs(weights, edges).of(pairs)
    for n in (0, 4_095, 4_096, 8_999):
        alone = Interologs(weights[pairs[n]], edges).of(np.array([[0, 1]]))
        assert alone[0] == found[n]


def test_evidence_does_not_depend_on_how_relatives_are_stored():
    rng = np.random.default_rng(2)
    dense = rng.random((40, 30)) * (rng.random((40, 30)) < 0.3)
    edges = np.unique(np.sort(rng.integers(30, size=(90, 2)), axis=1), axis=0)
    pairs = rng.integers(40, size=(500, 2))
    expected = Interologs(sparse.csr_array(dense), edges).of(pairs)
    stored = sparse.csr_array(dense)
    for start, stop in itertools.pairwise(stored.indptr.tolist()):
        for values in (stored.indices, stored.data):
            values[start:stop] = values[start:stop][::-1].copy()
    stored.has_sorted_indices = False
    given = stored.indices.copy()
    evidence = Interologs(stored, edges)
    np.testing.assert_array_equal(evidence.of(pairs), expected)
    np.testing.assert_array_equal(stored.indices, given)
    np.testing.assert_allclose(
        evidence.row(7, np.arange(40)),
        evidence.of(np.array([[7, j] for j in range(40)])),
        rtol=1e-12,
    )


def test_weights_are_of_a_class_and_never_against_an_interaction():
    rng = np.random.default_rng(0)
    labels, classes = rng.random(4_000) < 0.5, rng.integers(1, 4, 4_000)
    scores = labels + rng.normal(size=4_000)
    helps = np.where(classes == 2, labels, rng.random(4_000) < 0.5) * rng.random(4_000)
    first, second, third = interolog_weights(scores, helps, labels, classes)
    assert second > 5 * max(first, third)
    against = np.where(labels, 0.0, rng.random(4_000))
    assert interolog_weights(scores, against, labels, classes) == (0, 0, 0)
    assert interolog_weights(scores, np.zeros(4_000), labels, classes) == (0, 0, 0)
    # Beside scores that rank the wrong way evidence decides.
    wrong = interolog_weights(-scores, helps, labels, classes)[1]
    assert wrong * helps[classes == 2].std() > 50 * scores[classes == 2].std()
    # Too few of a class: what all pairs say.
    few = np.where(np.arange(4_000) < 20, 1, 2)
    one, two, three = interolog_weights(scores, helps, labels, few)
    assert one == three > 0
    assert one != two


def test_a_model_counts_relatives_wherever_it_answers(tmp_path):
    edges, weights = paired_families()
    order = np.random.default_rng(5).permutation(len(edges))
    unknown, split = edges[order[:60]], split_of(edges[order[60:]])
    torch.manual_seed(0)
    x = torch.randn(NODES, 8)
    plain = LinkModel.fit(x, split, members=2, options=FIT, conv="none")
    model = LinkModel.fit(x, split, members=2, options=FIT, conv="none", relatives=weights)
    assert plain.interolog_weight == (0, 0, 0)
    # Features say nothing here, relatives nearly all.
    assert min(model.interolog_weight) > 0
    pairs = np.array(list(itertools.combinations(range(NODES), 2)))
    scores = model.on(x, split, weights)
    added = scores.log_odds(pairs) - plain.on(x, split).log_odds(pairs)
    evidence = Interologs(weights, split.message).of(pairs)
    classes = split.classify(pairs)
    expected = np.array(model.interolog_weight)[classes - 1] * evidence
    np.testing.assert_allclose(added, np.stack([expected] * 2), rtol=1e-6, atol=1e-6)
    others = np.arange(1, NODES)
    mean = scores.log_odds(np.stack([np.zeros_like(others), others], axis=1)).mean(axis=0)
    np.testing.assert_allclose(scores.row(0, others), mean, rtol=1e-5, atol=1e-5)
    # Pairs that the graph lacks are found by the relatives' pairs, and not without them.
    held = {tuple(pair) for pair in unknown.tolist()}
    top = new_edges(scores, 30).pairs.tolist()
    without = new_edges(plain.on(x, split), 30).pairs.tolist()
    found, chance = (len(held & set(map(tuple, each))) for each in (top, without))
    assert found > 20
    assert chance < 10
    again = LinkModel.load(model.save(tmp_path / "head"))
    assert again.interolog_weight == model.interolog_weight
    with pytest.raises(InputError, match="looks at relatives of proteins, too; give `relatives`"):
        again.on(x, split)
    with pytest.raises(InputError, match="relatives of 59 proteins for a graph of 60 proteins"):
        again.on(x, split, weights[:59])
    # Nothing to choose a weight by: relatives do not count.
    blind = Split("C1", NODES, split.message, split.message, split.message[:0], [])
    assert model.judged(x, blind, weights).interolog_weight == (0, 0, 0)


def test_new_proteins_have_the_partners_of_their_relatives():
    edges, weights = paired_families()
    split = split_of(edges, valid=0.2)
    torch.manual_seed(0)
    x = torch.randn(NODES, 8)
    model = LinkModel.fit(x, split, members=2, options=FIT, conv="none", relatives=weights)
    # New protein n is a close relative of protein 7n, and its features say nothing.
    kin = np.zeros((NEW, NODES))
    kin[np.arange(NEW), 7 * np.arange(NEW)] = 0.9
    every = sparse.csr_array(sparse.vstack([weights, sparse.csr_array(kin)]))
    best = partners_of(model, x, split, torch.randn(NEW, 8), top=5, relatives=every)
    known = {tuple(pair) for pair in split.message.tolist()}
    for n, found in enumerate(best):
        partners = {j for j in range(NODES) if tuple(sorted((7 * n, j))) in known}
        assert len(partners & set(found.pairs[:, 1].tolist())) >= min(4, len(partners))


@pytest.mark.parametrize("weight", [[1.0], [1.0, 2.0, float("inf")], ["a", 1, 2], 3])
def test_damaged_weights_are_named(tmp_path, weight):
    edges, weights = paired_families()
    split = split_of(edges)
    model = LinkModel.fit(torch.randn(NODES, 8), split, members=1, options=FIT, conv="none",
                          relatives=weights)  # fmt: skip
    model.save(tmp_path)
    config = read_json(tmp_path / "config.json", "")
    write_json(tmp_path / "config.json", {**config, "interolog_weight": weight})
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        LinkModel.load(tmp_path)
    # As versions before this one wrote it.
    del config["interolog_weight"]
    write_json(tmp_path / "config.json", config)
    assert LinkModel.load(tmp_path).interolog_weight == (0, 0, 0)
