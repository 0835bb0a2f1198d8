"""Negatives: never a positive, of the right class, matched in degree, and never endless."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from lcplm_graph.errors import InputError, LcPlmWarning, UnknownNameError
from lcplm_graph.io import forget_warnings
from lcplm_graph.pairs import degrees, mix, pair_keys
from lcplm_graph.splits.leakage import leakage_report
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.negatives import NEGATIVE_KINDS, _draw_from, _fill, _Group
from lcplm_graph.splits.parts import PARTS, Part
from lcplm_graph.splits.split import Split

pytestmark = pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")


def hub_graph(seed, nodes=400, edges=2500):
    """Return a graph whose degrees differ much, as those of protein graphs do."""
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, nodes + 1) ** 0.7
    index = rng.choice(nodes, size=(2, edges), p=weight / weight.sum())
    index = index[:, index[0] != index[1]]
    return Data(edge_index=torch.as_tensor(index), num_nodes=nodes)


def yeast_graph(folder):
    rows = [line.split() for line in (folder / "dscript_yeast/yeast_test.tsv").open()]
    number = {name: i for i, name in enumerate(sorted({r[0] for r in rows} | {r[1] for r in rows}))}
    index = [(number[a], number[b]) for a, b, label in rows if float(label) == 1 and a != b]
    return Data(edge_index=torch.tensor(index).T, num_nodes=len(number))


@pytest.mark.parametrize("kind", NEGATIVE_KINDS)
@pytest.mark.parametrize("split_kind", ["random", "C1", "node", "C3"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_negatives_keep_the_rules(kind, split_kind, seed):
    split = make_split(hub_graph(seed), split_kind, seed=seed)
    drawn = {}
    for part in (one.label for one in PARTS):
        try:
            pairs = split.negatives(part, kind, seed=seed)
        except InputError:
            if kind != "hard":  # few pairs of a small held-out part are two hops apart
                raise
            continue
        assert (pairs[:, 0] < pairs[:, 1]).all()
        keys = pair_keys(pairs, split.num_nodes)
        assert len(np.unique(keys)) == len(keys)
        avoid = split.train if part == "train" else split.known
        assert not np.isin(keys, pair_keys(avoid, split.num_nodes)).any()
        if split.node_part is not None:
            own = set(split.node_part[split.positives(part)].ravel().tolist())
            assert set(split.node_part[pairs].ravel().tolist()) <= own
            assert Part.NOWHERE not in own
        if kind != "uniform" or split.node_part is not None:
            expected = np.bincount(split.classify(split.positives(part)), minlength=4)
            found = np.bincount(split.classify(pairs), minlength=4)
            assert (found <= expected).all()
            assert found.sum() >= expected.sum() / 2
        drawn[part] = set(keys.tolist())
    parts = list(drawn.values())
    assert all(not a & b for i, a in enumerate(parts) for b in parts[:i])


def test_a_group_is_the_first_right_pairs_in_the_order_drawn():
    """One by one, as is said; the sampler sorts what it draws by the million."""
    avoid = np.arange(0, 900, 7)
    everyone = np.arange(30)
    group = _Group("any", 100, _draw_from(everyone, everyone), lambda pairs: pairs[:, 0] != 3)
    found = _fill(group, avoid, 30, "train", np.random.default_rng(5)).tolist()

    rng, expected, tries, stuck = np.random.default_rng(5), [], 100, False
    while len(expected) < 100:
        before = len(expected)
        for i, j in np.sort(group.draw(rng, tries, np.empty((0, 2), np.int64), stuck)).tolist():
            bucket = int(mix(np.array([30 * i + j], np.uint64))[0] % np.uint64(4))
            right = i != j and i != 3 and bucket < 2 and 30 * i + j not in avoid
            if right and [i, j] not in expected:
                expected.append([i, j])
        stuck = len(expected) - before < tries / 50
        tries = 2 * tries + 1024 if stuck else max(100 - len(expected), 64)
    assert found == expected[:100]


def test_hard_negatives_share_a_partner():
    split = make_split(hub_graph(1), "C1", seed=1)
    for part, graph in (("train", split.train), ("test", split.known)):
        near = np.zeros((split.num_nodes, split.num_nodes), bool)
        near[graph[:, 0], graph[:, 1]] = near[graph[:, 1], graph[:, 0]] = True
        pairs = split.negatives(part, "hard", ratio=0.5)
        assert (near[pairs[:, 0]] & near[pairs[:, 1]]).any(axis=1).all()


def test_training_negatives_do_not_know_held_out_pairs():
    """With very many draws some held-out positives must come up; avoiding them would leak."""
    split = make_split(hub_graph(2), "C1", seed=2)
    held_out = pair_keys(split.held_out, split.num_nodes)
    drawn = [pair_keys(split.negatives("train", seed=s), split.num_nodes) for s in range(10)]
    assert np.isin(np.concatenate(drawn), held_out).any()


def test_training_negatives_are_no_message_edges():
    """Edges that messages pass along interact, though the loss does not ask about them."""
    split = make_split(hub_graph(2), "C1", seed=2, disjoint=0.5)
    message = pair_keys(split.message, split.num_nodes)
    for kind in NEGATIVE_KINDS:
        drawn = [pair_keys(split.negatives("train", kind, seed=s), 400) for s in range(3)]
        assert not np.isin(np.concatenate(drawn), message).any()


def test_hard_negatives_of_new_proteins_have_a_partner_among_all_known_pairs():
    """In training new proteins have no partner, so none could be shared there."""
    split = make_split(hub_graph(1, nodes=150, edges=3000), "C3", seed=1, test=0.5)
    pairs = split.negatives("test", "hard", ratio=0.1)
    assert len(pairs) == round(0.1 * len(split.positives("test")))


def test_hard_negatives_are_ends_of_paths_that_are_equally_likely():
    """A star of ten leaves has 45 paths of two edges, twenty of three have 60: no star counts."""
    star = [[0, i] for i in range(1, 11)]
    small = [[4 * k + 11, 4 * k + 11 + leaf] for k in range(20) for leaf in (1, 2, 3)]
    centres = [[4 * k + 11, 4 * k + 15] for k in range(0, 18, 2)]
    split = Split("random", 91, star + small, star + small, centres, [1] * len(centres))
    drawn = np.concatenate([split.negatives("test", "hard", seed=s, ratio=0.5) for s in range(60)])
    # The held-out pairs make paths, too: 9 x 2 x 3 of them.
    assert (drawn < 11).all(axis=1).mean() == pytest.approx(45 / (45 + 60 + 54), abs=0.07)


def test_uniform_negatives_of_a_new_and_a_known_protein():
    """A training protein without a partner is new as well, but none of the held-out part."""
    rng = np.random.default_rng(0)
    train = [[i, i + 1] for i in range(19)]
    held_out = [[i, 20 + i] for i in range(10)]
    part = np.array([Part.TRAIN] * 20 + [Part.TEST] * 10 + [Part.TRAIN] * 70)
    split = Split("C2", 100, train, train, held_out, [1] * 10, node_part=part)
    pairs = split.negatives("test", "uniform", ratio=2, seed=int(rng.integers(9)))
    assert (part[pairs] == Part.TEST).any(axis=1).all()
    assert split.seen[pairs].any(axis=1).all()


@pytest.mark.parametrize("kind", NEGATIVE_KINDS)
def test_the_number_of_negatives_is_rounded(kind):
    split = make_split(hub_graph(4), "C1", seed=4)
    count = len(split.positives("test"))
    assert len(split.negatives("test", kind, ratio=(count / 2 - 0.4) / count)) == round(count / 2)


def test_stub_matching_keeps_every_degree_in_the_mean():
    split = make_split(hub_graph(3, nodes=6000, edges=12_000), "C1", seed=3)
    positive = degrees(split.positives("test"), split.num_nodes)
    negative = degrees(split.negatives("test", ratio=3), split.num_nodes) / 3
    assert np.corrcoef(positive, negative)[0, 1] > 0.97
    top = np.argsort(-positive)[:50]
    assert negative[top].sum() == pytest.approx(positive[top].sum(), rel=0.12)


def test_counts_follow_the_ratio_and_the_seed_decides():
    split = make_split(hub_graph(4), "C1", seed=4)
    count = len(split.positives("test"))
    assert len(split.negatives("test", ratio=2.5)) == round(2.5 * count)
    np.testing.assert_array_equal(split.negatives("test", seed=5), split.negatives("test", seed=5))
    assert not np.array_equal(split.negatives("test", seed=5), split.negatives("test", seed=6))


@pytest.mark.parametrize("kind", NEGATIVE_KINDS)
def test_a_full_graph_ends_with_an_error(kind):
    index = torch.combinations(torch.arange(12)).T
    split = make_split(Data(edge_index=index, num_nodes=12), "random", seed=0)
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"only 0 of .*; lower the ratio"):
        split.negatives("test", kind)
    assert time.perf_counter() - start < 10


def test_a_class_without_enough_negatives_is_counted():
    # The newest pair joins two proteins with no other: they cannot be paired otherwise.
    index = torch.cat([hub_graph(5).edge_index, torch.tensor([[400], [401]])], dim=1)
    time = torch.arange(index.shape[1]) // 2000
    graph = Data(edge_index=index, num_nodes=402, edge_time=time)
    split = make_split(graph, "temporal", valid=0, test_from=1)
    assert 3 in split.held_out_class
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="only 0 of 1 stub_matched negatives of C3 for test"):
        pairs = split.negatives("test")
    assert 3 not in split.classify(pairs)


def test_bad_arguments():
    split = make_split(hub_graph(0), "C1", valid=0.0)
    with pytest.raises(UnknownNameError, match="no 'easy' negatives"):
        split.negatives("test", "easy")
    with pytest.raises(InputError, match="above 0"):
        split.negatives("test", ratio=0)
    with pytest.raises(InputError, match="no part 'held_out'"):
        split.negatives("held_out")
    with pytest.raises(InputError, match="no positives"):
        split.negatives("valid")


@pytest.mark.parametrize(("graph", "of_uniform"), [("drawn", 0.75), ("yeast", 0.85)])
def test_degree_alone(request, graph, of_uniform):
    """Stub-matched negatives take away what a degree-only score gets from uniform ones."""
    if graph == "drawn":
        data = hub_graph(6, nodes=3000, edges=5000)
    else:
        data = yeast_graph(request.getfixturevalue("shared_data"))
    split = make_split(data, "random", seed=0)
    matched = leakage_report(split, negatives="stub_matched")
    uniform = leakage_report(split, negatives="uniform")
    assert 0.40 <= matched.degree_auroc <= 0.60
    assert uniform.degree_auroc > of_uniform


@pytest.mark.parametrize("kind", NEGATIVE_KINDS)
def test_more_negatives_than_pairs_are_refused_before_they_are_drawn(kind):
    """They were drawn first, which took hundreds of gigabytes."""
    split = make_split(hub_graph(0), "random")
    with pytest.raises(InputError, match="make fewer than 80000 pairs; lower the ratio"):
        split.negatives("test", kind, ratio=1e9)
    with pytest.raises(InputError, match="ratio must be a number, not '3'"):
        split.negatives("test", kind, ratio="3")
