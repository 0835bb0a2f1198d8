"""Baselines against networkx and plain loops."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from lcplm_graph.errors import InputError, UnknownNameError
from lcplm_graph.evaluation.baselines import (
    LINK_BASELINES,
    LinkBaseline,
    naive_frequency,
    nearest_neighbour_transfer,
    standardised,
)


def random_pairs(seed, nodes=30):
    graph = nx.gnp_random_graph(nodes, 0.15, seed=seed)
    edges = np.array([sorted(edge) for edge in graph.edges], np.int64).reshape(-1, 2)
    rng = np.random.default_rng(seed)
    asked = rng.integers(nodes, size=(60, 2))
    return graph, edges, asked[asked[:, 0] != asked[:, 1]]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_link_baselines_equal_networkx(seed):
    graph, edges, asked = random_pairs(seed)
    expected = {
        "degree": [np.log1p(graph.degree[i]) + np.log1p(graph.degree[j]) for i, j in asked],
        "common_neighbours": [len(list(nx.common_neighbors(graph, i, j))) for i, j in asked],
        "adamic_adar": [s for _, _, s in nx.adamic_adar_index(graph, asked.tolist())],
        "resource_allocation": [
            s for _, _, s in nx.resource_allocation_index(graph, asked.tolist())
        ],
    }
    for name in LINK_BASELINES:
        baseline = LinkBaseline(name, edges, 30)
        np.testing.assert_allclose(baseline.score(asked), expected[name], atol=1e-12)
        rows = baseline.rows(np.arange(30))
        np.testing.assert_allclose(rows[asked[:, 0], asked[:, 1]], expected[name], atol=1e-12)


def test_link_baselines_take_long_lists_and_none():
    _, edges, _ = random_pairs(0)
    baseline = LinkBaseline("adamic_adar", edges, 30)
    many = np.tile([[0, 1]], (10_000, 1))
    assert len(set(baseline.score(many).tolist())) == 1
    assert baseline.score(np.empty((0, 2), np.int64)).shape == (0,)
    empty = LinkBaseline("common_neighbours", np.empty((0, 2), np.int64), 30)
    assert empty.score(many[:2]).tolist() == [0, 0]


def test_unknown_baseline():
    with pytest.raises(UnknownNameError, match="choose one of degree"):
        LinkBaseline("katz", np.empty((0, 2), np.int64), 3)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_naive_frequency(convert):
    labels = convert(np.array([[1, 0], [1, 1], [0, 0], [1, 0]], bool))
    assert naive_frequency(labels, 2).tolist() == [[0.75, 0.25]] * 2
    with pytest.raises(InputError, match="no training protein"):
        naive_frequency(labels[:0], 2)


@pytest.mark.parametrize("cells", [1, 100, 1 << 24])
@pytest.mark.parametrize("neighbours", [1, 3])
def test_nearest_neighbours_equal_a_plain_loop(monkeypatch, neighbours, cells):
    monkeypatch.setattr("lcplm_graph.evaluation.baselines._CELLS", cells)
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(40, 6)), rng.normal(size=(9, 6))
    labels = rng.random((40, 5)) < 0.4
    found = nearest_neighbour_transfer(train, labels, test, neighbours)
    for row, vector in zip(found, test, strict=True):
        cosine = train @ vector / np.linalg.norm(train, axis=1) / np.linalg.norm(vector)
        best = np.argsort(-cosine)[:neighbours]
        np.testing.assert_allclose(row, (cosine[best, None] * labels[best]).mean(axis=0))


@pytest.mark.parametrize("neighbours", [1, 2, 3])
def test_equally_near_proteins_share_their_places(neighbours):
    rng = np.random.default_rng(0)
    train = rng.normal(size=(6, 4))
    train[3], train[5] = train[1], 2 * train[1]  # three in one direction
    labels = rng.random((6, 5)) < 0.5
    labels[[1, 3, 5]] = np.eye(5, dtype=bool)[:3]
    test = train[1:2] + 0.1
    found = nearest_neighbour_transfer(train, labels, test, neighbours)
    assert found[0, :3].min() > 0
    for order in (np.arange(6)[::-1], rng.permutation(6)):
        again = nearest_neighbour_transfer(train[order], labels[order], test, neighbours)
        np.testing.assert_allclose(again, found, rtol=1e-12)


def test_what_training_never_saw_does_not_hide_the_rest():
    x = np.array([[1, 0, 0], [0, 1, 0], [0.9, 0.1, 0.01]])
    train = np.array([True, True, False])
    plain = standardised(x, train)
    assert plain[:, 2].tolist() == [0, 0, 0]
    found = nearest_neighbour_transfer(plain[train], np.eye(2, dtype=bool), plain[~train])
    assert found[0].tolist() == pytest.approx([1, 0])


def test_features_without_direction_are_refused():
    with pytest.raises(InputError, match="1 of 2 proteins are all zero"):
        nearest_neighbour_transfer([[1.0, 0], [0, 0]], np.ones((2, 1)), [[1.0, 0]])
    with pytest.raises(InputError, match="features are NaN"):
        nearest_neighbour_transfer([[1.0, np.nan]], np.ones((1, 1)), [[1.0, 0]])
    with pytest.raises(InputError, match="3 neighbours cannot be taken from 1"):
        nearest_neighbour_transfer([[1.0, 0]], np.ones((1, 1)), [[1.0, 0]], 3)


@pytest.mark.parametrize("name", LINK_BASELINES)
@pytest.mark.parametrize("wrong", [-1, 3])
def test_pairs_outside_the_graph_have_no_score(name, wrong):
    baseline = LinkBaseline(name, np.array([[0, 1], [1, 2]]), 3)
    with pytest.raises(InputError, match="names a protein outside"):
        baseline.score(np.array([[0, wrong]]))
    with pytest.raises(InputError, match="names a protein outside"):
        baseline.rows(np.array([wrong]))
