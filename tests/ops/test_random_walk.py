from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np
import pytest

from lcplm_graph.errors import InputError, UnknownNameError
from lcplm_graph.ops.random_walk import random_walk
from lcplm_graph.ops.random_walk.tables import make_graph, make_law

LAWS = {
    "uniform": {},
    "weighted": {"weighted": True},
    "explore": {"p": 1.0, "q": 0.5},
    "stay": {"p": 0.25, "q": 4.0},
    "stay weighted": {"p": 0.25, "q": 4.0, "weighted": True},
    "never back": {"p": 50.0, "q": 0.7, "weighted": True},
    # Nearly every trial is refused, so the exact scan decides.
    "scan": {"p": 1e6, "q": 1e-6},
    "scan weighted": {"p": 1e6, "q": 1e-6, "weighted": True},
}


def random_graph(n=12, density=0.45, seed=0):
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(np.triu(rng.random((n, n)) < density, 1))
    return pairs, rng.uniform(0.05, 1.0, len(pairs)).astype(np.float32)


def build(n, pairs, weight, law, **kwargs):
    return make_graph(n, pairs, weight if law.weighted else None, **kwargs)


def dense(n, pairs, weight=None):
    matrix = np.zeros((n, n))
    matrix[pairs[:, 0], pairs[:, 1]] = 1.0 if weight is None else weight
    return matrix + matrix.T


def node2vec_row(matrix, u, v, p, q):
    bias = np.where(matrix[u] > 0, 1.0, 1.0 / q)
    bias[u] = 1.0 / p
    row = matrix[v] * bias
    return row / row.sum()


def chi_square_z(observed, expected):
    """How many standard deviations chi-square lies from its mean; rows are states."""
    big = expected >= 5
    count = (big.sum(1) - 1).clip(0).sum()
    scaled = np.where(big, expected, 0)
    scaled *= (np.where(big, observed, 0).sum(1) / np.maximum(scaled.sum(1), 1e-300))[:, None]
    statistic = ((observed - scaled)[big] ** 2 / scaled[big]).sum()
    return (statistic - count) / np.sqrt(2 * count)


def step_counts(n, graph, law, walks=20_000, length=24, seed=5):
    """Transitions (previous, at) -> next of many walks, (n * n, n)."""
    nodes, _ = random_walk(graph, law, seed=seed, first=0, count=walks, length=length)
    u, v, x = (nodes[:, i : length - 2 + i].ravel().astype(np.int64) for i in range(3))
    return np.bincount((u * n + v) * n + x, minlength=n**3).reshape(n * n, n)


@pytest.mark.parametrize("bits", [True, False], ids=["bitmap", "search"])
@pytest.mark.parametrize("name", LAWS)
def test_transition_law_is_exact(name, bits):
    n, options = 12, LAWS[name]
    pairs, weight = random_graph(n)
    law = make_law(**options)
    observed = step_counts(n, build(n, pairs, weight, law, adjacency_bits=bits), law)
    matrix = dense(n, pairs, weight if law.weighted else None)
    p, q = options.get("p", 1.0), options.get("q", 1.0)
    exact = np.zeros((n * n, n))
    for u, v in np.argwhere(matrix > 0):
        exact[u * n + v] = node2vec_row(matrix, u, v, p, q)
    visits = observed.sum(1, keepdims=True)
    assert observed[exact == 0].sum() == 0
    assert abs(chi_square_z(observed, exact * visits)) < 3
    # And edge by edge, in the state seen most often.
    busiest = int(visits.argmax())
    row, total = exact[busiest], int(visits[busiest, 0])
    sigma = np.sqrt(total * row * (1 - row))
    assert (abs(observed[busiest] - total * row) <= 3 * sigma + 1e-9).all()


def test_law_test_can_fail():
    n = 12
    pairs, _ = random_graph(n)
    matrix = dense(n, pairs)
    law = make_law(p=1.0, q=0.5)
    observed = step_counts(n, make_graph(n, pairs), law)
    wrong = np.zeros((n * n, n))
    for u, v in np.argwhere(matrix > 0):
        wrong[u * n + v] = node2vec_row(matrix, u, v, 1.0, 0.55)
    assert chi_square_z(observed, wrong * observed.sum(1, keepdims=True)) > 10


@pytest.mark.parametrize(
    ("density", "excluded"), [(0.2, 0), (0.45, 8), (0.8, 0)], ids=["sparse", "excluded", "dense"]
)
def test_negative_hops_are_stub_matched(density, excluded):
    n = 14
    pairs, _ = random_graph(n, density, seed=3)
    matrix = dense(n, pairs)
    others = np.argwhere(np.triu(matrix == 0, 1))[:excluded]
    graph = make_graph(n, pairs, excluded=others)
    law = make_law(negative_rate=0.5)
    nodes, negative = random_walk(graph, law, seed=1, first=0, count=20_000, length=20)
    here, there = nodes[:, :-1], nodes[:, 1:]
    jumped = negative[:, 1:] == 1
    observed = np.zeros((n, n))
    np.add.at(observed, (here[jumped], there[jumped]), 1)
    allowed = (matrix == 0) & ~np.eye(n, dtype=bool) & (dense(n, others) == 0)
    exact = allowed * matrix.sum(0)
    some = exact.sum(1) > 0
    exact[some] /= exact[some].sum(1, keepdims=True)
    assert observed[~allowed].sum() == 0
    assert abs(chi_square_z(observed, exact * observed.sum(1, keepdims=True))) < 3
    # Every other hop is along an edge; the rate is as asked where a partner exists.
    walked = ~jumped & (there >= 0)
    assert (matrix[here[walked], there[walked]] > 0).all()
    tries = some[here] & (here >= 0) & (there >= 0)
    rate, total = jumped[tries].mean(), tries.sum()
    assert abs(rate - 0.5) < 3 * np.sqrt(0.25 / total)


def test_rare_partners_are_found_by_their_degree():
    # Node 0 is joined to all but nodes 1 and 2, which hold 3 of 3,000 edge ends.
    clique = np.argwhere(np.triu(np.ones((55, 55)), 1)) + 3
    pairs = np.concatenate([clique, [[0, v] for v in range(3, 58)], [[1, 3], [1, 4], [2, 3]]])
    nodes, negative = random_walk(
        make_graph(58, pairs), make_law(negative_rate=1.0), seed=0, first=0, count=100_000, length=2
    )
    from_zero = nodes[nodes[:, 0] == 0, 1]
    assert set(from_zero) == {1, 2}
    share, total = (from_zero == 1).mean(), len(from_zero)
    assert abs(share - 2 / 3) < 3 * np.sqrt(2 / 9 / total)
    assert negative[nodes[:, 0] == 0, 1].all()


def test_after_a_negative_hop_the_step_is_first_order():
    n = 12
    pairs, _ = random_graph(n)
    matrix = dense(n, pairs)
    law = make_law(p=0.1, q=8.0, negative_rate=0.5)
    nodes, negative = random_walk(
        make_graph(n, pairs), law, seed=2, first=0, count=20_000, length=20
    )
    after = (negative[:, 1:-1] == 1) & (negative[:, 2:] == 0)
    observed = np.zeros((n, n))
    np.add.at(observed, (nodes[:, 1:-1][after], nodes[:, 2:][after]), 1)
    exact = matrix / matrix.sum(1, keepdims=True)
    assert abs(chi_square_z(observed, exact * observed.sum(1, keepdims=True))) < 3


@pytest.mark.parametrize("negative_rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", LAWS)
def test_backends_agree_bit_for_bit(name, negative_rate):
    pairs, weight = random_graph(30, 0.12, seed=8)
    keep = (pairs != 4).all(1)
    pairs, weight = pairs[keep], weight[keep]
    law = make_law(**LAWS[name], negative_rate=negative_rate)
    graph = build(30, pairs, weight, law, excluded=np.array([[4, 5], [0, 9]]), adjacency_bits=True)
    asked = {"seed": -7, "first": 11, "count": 150, "length": 9}
    fast, slow = (random_walk(graph, law, backend=b, **asked) for b in ("numba", "reference"))
    np.testing.assert_array_equal(fast[0], slow[0])
    np.testing.assert_array_equal(fast[1], slow[1])


@pytest.mark.parametrize("name", ["weighted", "stay weighted"])
def test_same_walks_for_any_chunks_and_threads(name):
    pairs, weight = random_graph(300, 0.05, seed=2)
    law = make_law(**LAWS[name], negative_rate=0.1)
    graph = build(300, pairs, weight, law)

    def run(first, count):
        return random_walk(graph, law, seed=3, first=first, count=count, length=15)[0]

    whole = run(0, 1000)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(run(0, 1000), whole)
    finally:
        numba.set_num_threads(before)
    cuts = [0, 1, 33, 64, 500, 999, 1000]
    parts = [run(a, b - a) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(random_walk(graph, law, seed=4, first=0, count=9, length=15)[0],
                              whole[:9])  # fmt: skip


def test_small_return_parameter_costs_no_rejections():
    law = make_law(p=0.25, q=4.0)
    least = min(law.accept_return, law.accept_common, law.accept_far)
    assert least / 2**32 == 0.25
    assert law.excess == 3.0
    law = make_law(p=1e-6, q=1.0)
    assert min(law.accept_return, law.accept_common, law.accept_far) == 2**32


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_graphs_without_much_in_them(backend):
    def run(graph, negative_rate=0.0, length=6, **law):
        law = make_law(negative_rate=negative_rate, **law)
        asked = {"seed": 0, "first": 0, "count": 8, "length": length}
        return random_walk(graph, law, backend=backend, **asked)

    none = np.empty((0, 2), np.int64)
    for rate in (0.0, 0.5):
        nodes, negative = run(make_graph(1, none), rate)
        assert (nodes[:, 0] == 0).all()
        assert (nodes[:, 1:] == -1).all()
        assert not negative.any()
    # Two components and a node alone: nobody crosses, the lone node stands still.
    graph = make_graph(8, np.array([[0, 1], [1, 2], [3, 4], [4, 5], [3, 5], [6, 2]]))
    nodes, _ = run(graph, p=0.5, q=2.0)
    for walk in nodes:
        home = {0, 1, 2, 6} if walk[0] in (0, 1, 2, 6) else {3, 4, 5}
        assert set(walk) <= ({7, -1} if walk[0] == 7 else home)
        assert (walk[1:] >= 0).all() == (walk[0] != 7)
    # The lone node takes no part in negative hops, or it would be seen with negatives only.
    nodes, negative = run(graph, 1.0)
    lone = nodes[:, 0] == 7
    assert negative[~lone, 1:].all()
    assert not negative[lone].any()
    assert not (nodes[:, 1:] == 7).any()
    # In a complete graph nobody has a negative partner: hops are ordinary ones.
    graph = make_graph(4, np.argwhere(np.triu(np.ones((4, 4)), 1)))
    nodes, negative = run(graph, 1.0)
    assert (nodes >= 0).all()
    assert not negative.any()
    # A walk of one protein is its start.
    assert sorted(run(graph, length=1)[0][:4, 0]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"p": 0.0}, "p must"),
        ({"p": -1.0}, "p must"),
        ({"q": 0.0}, "q must"),
        ({"q": float("nan")}, "q must"),
        ({"p": float("inf")}, "p must"),
        ({"negative_rate": 1.5}, "negative_rate"),
        ({"negative_rate": float("nan")}, "negative_rate"),
    ],
)
def test_bad_laws_are_refused(options, word):
    with pytest.raises(InputError, match=word):
        make_law(**options)


@pytest.mark.parametrize(
    ("pairs", "weight", "word"),
    [
        ([[0, 0]], None, "itself"),
        ([[0, 1], [1, 0]], None, "more than once"),
        ([[0, 9]], None, "outside"),
        ([[-1, 2]], None, "outside"),
        ([[0.5, 1.0]], None, "integers"),
        ([[0, 1]], [0.0], "positive"),
        ([[0, 1]], [np.nan], "positive"),
        ([[0, 1]], [1.0, 2.0], "shape"),
    ],
)
def test_bad_graphs_are_refused(pairs, weight, word):
    with pytest.raises(InputError, match=word):
        make_graph(3, np.array(pairs), weight)


def test_bad_requests_are_refused():
    graph = make_graph(2, np.array([[0, 1]]))
    good = {"seed": 0, "first": 0, "count": 1, "length": 2}
    for wrong, word in (({"length": 0}, "length"), ({"first": -1}, "counted"),
                        ({"count": -1}, "counted"), ({"first": 1 << 63}, "counted")):  # fmt: skip
        with pytest.raises(InputError, match=word):
            random_walk(graph, make_law(), **(good | wrong))
    with pytest.raises(InputError, match="weights"):
        random_walk(graph, make_law(weighted=True), **good)
    with pytest.raises(UnknownNameError, match="reference"):
        random_walk(graph, make_law(), backend="gpu", **good)


def test_edges_in_any_order_make_the_same_graph():
    pairs, weight = random_graph(40, 0.3)
    order = np.random.default_rng(1).permutation(len(pairs))
    straight = make_graph(40, pairs, weight, adjacency_bits=True)
    shuffled = make_graph(40, pairs[order][:, ::-1], weight[order], adjacency_bits=True)
    for one, other in zip(straight, shuffled, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(straight.strength, dense(40, pairs, weight).sum(0), rtol=1e-6)
