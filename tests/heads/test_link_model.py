"""The parts of the link model: structure by brute force, gates, calibration, files."""

import itertools
import json

import numpy as np
import pytest
import torch
from scipy import sparse
from torch_geometric.data import Data

from lcplm_graph.errors import CheckpointError, ConfigError, InputError
from lcplm_graph.evaluation.metrics import calibration_error
from lcplm_graph.heads.calibration import Calibration
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.inference import partners_of
from lcplm_graph.heads.interologs import Interologs
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.link_scores import LinkScores, heard, speakers
from lcplm_graph.heads.recipe import (
    BASE,
    COMPOSITION,
    DIPEPTIDES,
    EVERY_CLASS,
    EXTREMES,
    NEW_ONLY,
    PARTS,
    Recipe,
)
from lcplm_graph.heads.structure import COLUMNS, PairStructure
from lcplm_graph.models.names import CONFIG
from lcplm_graph.pairs import pair_hashes
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.published import PublishedSplit
from lcplm_graph.splits.split import Labelled, Split


def some_graph(seed=0, nodes=14, edges=30):
    rng = np.random.default_rng(seed)
    pairs = np.array(list(itertools.combinations(range(nodes - 1), 2)))
    return pairs[np.sort(rng.permutation(len(pairs))[:edges])], nodes


def by_hand(edges, nodes, i, j):
    """Numbers of a pair in the graph without its own edge, by walking."""
    near = {v: set() for v in range(nodes)}
    whole = dict.fromkeys(range(nodes), 0)
    for a, b in edges.tolist():
        whole[a] += 1
        whole[b] += 1
        if {a, b} != {i, j}:
            near[a].add(b)
            near[b].add(a)
    common = near[i] & near[j]
    paths = sum(1 / np.sqrt(whole[u] * whole[v]) for u in near[i] for v in near[j] if v in near[u])
    return len(common), sum(1 / np.log(whole[u]) for u in common), paths


def test_structure_is_what_one_counts_by_hand():
    edges, nodes = some_graph()
    structure = PairStructure(edges, nodes)
    known = {tuple(pair) for pair in edges.tolist()}
    pairs = np.array(list(itertools.combinations(range(nodes), 2)))
    training, plain = structure.of(pairs, training=True), structure.of(pairs)
    for (i, j), row, other in zip(pairs.tolist(), training, plain, strict=True):
        count, adamic, paths = by_hand(edges, nodes, i, j)
        if row[-1]:
            found = row[[0, 1, 4]].double().exp() - 1
            assert found.tolist() == pytest.approx([count, adamic, paths], abs=1e-4)
        if (i, j) not in known and other[-1]:
            assert (other[4].double().exp() - 1).item() == pytest.approx(paths, abs=1e-4)
    for same in (True, False):
        turned = structure.of(pairs[::-1, ::-1], training=same).flip(0)
        assert torch.equal(structure.of(pairs, training=same), turned)
    # The last protein has no edge: nothing is said about it.
    assert not plain[(pairs == nodes - 1).any(axis=1)].any()
    for i, row in enumerate(structure.rows(np.arange(nodes))):
        own = np.array([[i, j] for j in range(nodes) if j != i])
        torch.testing.assert_close(row[own[:, 1]], structure.of(own), rtol=1e-5, atol=1e-6)
    assert len(COLUMNS) == plain.shape[1]


def test_in_training_the_own_edge_does_not_tell_by_degree():
    """A protein with one edge: its positive pair has none left, and neither has a negative."""
    structure = PairStructure(np.array([[0, 1], [2, 3], [3, 4]]), 5)
    positive, negative = structure.of(np.array([[0, 1], [0, 3]]), training=True)
    assert not positive.any()
    assert not negative.any()


def test_gated_features_count_for_known_proteins_only():
    torch.manual_seed(0)
    model = LinkPredictor(10, channels=8, conv="none", gated=4).eval()
    x, edges = torch.randn(3, 10), torch.tensor([[0, 1], [1, 0]])
    other = x.clone()
    other[:, 6:] += 1
    before, after = model.embed(x, edges), model.embed(other, edges)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])


def test_calibration_undoes_an_overconfident_score_class_by_class():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=6000)
    labels = rng.random(6000) < 1 / (1 + np.exp(-truth))
    classes = np.repeat([1, 2, 3], 2000)
    scores = truth * np.array([1, 3, 8])[classes - 1] + 2
    sure = Calibration.fit(scores, labels, classes)
    assert calibration_error(labels, sure.probability(scores, classes)) < 0.03
    raw = 1 / (1 + np.exp(-scores))
    assert calibration_error(labels, raw) > 0.1
    assert np.argsort(sure.slope).tolist() == [2, 1, 0]
    # A score that ranks the wrong way is worth nothing, not its opposite.
    turned = Calibration.fit(-truth, labels, classes)
    assert turned.slope == (0.0, 0.0, 0.0)
    assert Calibration.from_dict(json.loads(json.dumps(sure.as_dict()))) == sure


def test_no_probability_is_surer_than_those_of_the_validation_pairs():
    rng = np.random.default_rng(0)
    truth, labels = rng.normal(size=900), rng.random(900) < 0.5
    classes = np.repeat([1, 2, 3], 300)
    labels |= truth > 0.5
    sure = Calibration.fit(truth, labels, classes)
    seen = sure.log_odds(truth, classes)
    np.testing.assert_allclose(sure.probability(truth, classes), 1 / (1 + np.exp(-seen)))
    for number in (1, 2, 3):
        own = seen[classes == number]
        ends = sure.probability(np.array([-1e9, 52, 1e9]), np.full(3, number))
        np.testing.assert_allclose(
            ends, 1 / (1 + np.exp(-own[[own.argmin(), *[own.argmax()] * 2]]))
        )
    # Ranking goes on beyond.
    assert np.diff(sure.log_odds(np.array([50, 60]), np.array([3, 3])))[0] > 0
    # A model that was saved without the ends is read as before.
    old = {name: sure.as_dict()[name] for name in ("slope", "offset")}
    assert Calibration.from_dict(old).probability(np.array([1e9]), np.array([1]))[0] == 1


def test_a_class_with_few_pairs_of_one_label_is_calibrated_as_all_pairs():
    """Slope and offset of five negatives, or five positives, would be chance."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=900)
    labels = rng.random(900) < 1 / (1 + np.exp(-3 * truth))
    classes = np.full(900, 3)
    classes[np.flatnonzero(labels)[:150]] = 1
    classes[np.flatnonzero(~labels)[:150]] = 2
    classes[np.flatnonzero(~labels)[-5:]] = 1
    classes[np.flatnonzero(labels)[-5:]] = 2
    sure, every = (
        Calibration.fit(truth, labels, classes),
        Calibration.fit(truth, labels, 0 * classes),
    )
    for number in (0, 1):
        assert sure.slope[number] == every.slope[number]
        assert sure.offset[number] == every.offset[number]
    assert sure.slope[2] != every.slope[2]


def test_scores_that_say_nothing_leave_the_share_of_positives():
    classes, labels = np.full(400, 3), np.arange(400) < 300
    sure = Calibration.fit(np.zeros(400), labels, classes)
    np.testing.assert_allclose(sure.probability(np.array([-5.0, 5.0]), np.array([3, 3])), 0.75)


def test_the_probability_is_that_of_the_mean_of_the_log_odds():
    torch.manual_seed(0)
    edges = np.array([[0, 1], [1, 2]])
    split = Split("C1", 6, edges, edges, edges[:0], [])
    heads = [
        (LinkPredictor(4, channels=8, conv="none").eval(), 9 * torch.randn(6, 4)) for _ in "ab"
    ]
    scores, pairs = LinkScores(heads, split), np.array([[0, 3], [4, 5], [1, 2]])
    each = scores.log_odds(pairs)
    probability, spread = scores.probability(pairs)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-each.mean(axis=0))))
    own = 1 / (1 + np.exp(-each))
    np.testing.assert_allclose(spread, own.std(axis=0))
    assert (np.abs(own.mean(axis=0) - probability) > 1e-4).any()


def blocks_of(split, seed=0):
    torch.manual_seed(seed)
    widths = {BASE: 8, EXTREMES: 6, COMPOSITION: 4, DIPEPTIDES: 5}
    return {name: torch.randn(split.num_nodes, width) for name, width in widths.items()}


def known_split():
    edges, nodes = some_graph(nodes=60, edges=400)
    rng = np.random.default_rng(1)
    part = rng.permutation(len(edges))
    return Split("C1", nodes, edges[part[:300]], edges[part[:300]], edges[part[300:]], [0] * 100)


def test_members_take_turns_and_a_saved_model_says_the_same(tmp_path):
    split = known_split()
    blocks = blocks_of(split)
    model = LinkModel.fit(
        blocks, split, members=3, options=FitOptions(steps=4, batch_size=64), facts={"a": 1}
    )
    assert [recipe.conv for recipe in model.recipes] == ["GraphSAGE", "none", "none"]
    assert [recipe.gated for recipe in model.recipes] == ["", DIPEPTIDES, ""]
    assert [recipe.classes for recipe in model.recipes] == [EVERY_CLASS, EVERY_CLASS, NEW_ONLY]
    # These features say nothing, so that calibration would leave nothing to compare.
    model.calibration = Calibration()
    pairs = split.positives("valid")
    probability, spread = model.on(blocks, split).probability(pairs)
    again = LinkModel.load(model.save(tmp_path / "head"))
    assert again.facts == {"a": 1}
    found, _ = again.on(blocks, split).probability(pairs)
    # Weights are kept in half precision.
    np.testing.assert_allclose(found, probability, atol=5e-3)
    assert (spread > 0).all()
    (tmp_path / "head" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config.json is missing"):
        LinkModel.load(tmp_path / "head")
    with pytest.raises(InputError, match="needs the features 'base'"):
        model.on({EXTREMES: blocks[EXTREMES]}, split)


@pytest.mark.parametrize("members", [0, -1])
def test_no_members_are_refused(members):
    with pytest.raises(ConfigError, match="members must be at least 1"):
        LinkModel.fit({}, known_split(), members=members)


def test_a_member_for_new_proteins_changes_no_answer_about_known_ones():
    torch.manual_seed(0)
    edges = np.array([[0, 1], [1, 2]])
    split = Split("C1", 6, edges, edges, edges[:0], [])
    heads = [(LinkPredictor(4, channels=8, conv="none").eval(), torch.randn(6, 4)) for _ in "abc"]
    pairs = np.array([[0, 1], [0, 4], [4, 5], [3, 4]])
    with_it = LinkScores(heads, split, classes=[EVERY_CLASS, EVERY_CLASS, NEW_ONLY])
    all_of_them = LinkScores(heads, split).log_odds(pairs).mean(axis=0)
    others = LinkScores(heads[:2], split).log_odds(pairs).mean(axis=0)
    found = with_it.log_odds(pairs).mean(axis=0)
    np.testing.assert_allclose(found[:2], others[:2])
    np.testing.assert_allclose(found[2:], all_of_them[2:])
    assert (found[2:] != others[2:]).all()
    for pair, score in zip(pairs, found, strict=True):
        assert with_it.row(pair[0], pair[1:])[0] == pytest.approx(score)


def test_members_that_are_silent_about_known_pairs_have_the_mean_of_the_others_there():
    speaks = speakers([EVERY_CLASS, (2, 3), (3,), EVERY_CLASS])
    each = np.array([[1.0, 1, 1], [2, 2, 2], [4, 4, 4], [5, 5, 5]])
    found = heard(each, speaks, np.array([1, 3, 2]))
    assert found.tolist() == [[1, 1, 1], [3, 2, 2], [3, 4, 8 / 3], [5, 5, 5]]
    # Where nobody would speak, all do.
    assert speakers([(3,), (2, 3)]).tolist() == [[True, False, True], [True, True, True]]


def test_recipes_of_older_models_are_read():
    old = Recipe().as_dict()
    del old["classes"]
    assert Recipe.of({**old, "new_only": True}) == Recipe(classes=NEW_ONLY)
    assert Recipe.of({**old, "new_only": False}) == Recipe.of(old) == Recipe()


def test_pairs_of_new_proteins_alone_need_no_graph():
    rng = np.random.default_rng(0)
    parts = {}
    for name, low in (("train", 0), ("valid", 40), ("test", 70)):
        pairs = np.array(list(itertools.combinations(range(low, low + 30), 2)))
        parts[name] = Labelled(pairs, rng.random(len(pairs)) < 0.5)
    split = PublishedSplit.of(parts, 100)
    model = LinkModel.fit(
        blocks_of(split), split, members=2, options=FitOptions(steps=3, batch_size=64)
    )
    assert [recipe.blocks for recipe in model.recipes] == [(BASE, EXTREMES)] * 2
    assert all(member.between is None for member in model.members)


def test_facts_may_be_numbers_of_numpy_and_nothing_that_json_lacks(tmp_path):
    model = LinkModel([LinkPredictor(4, conv="none").eval()], [Recipe()])
    model.facts = {"farthest": np.float32(2), "pairs": np.int64(3)}
    assert LinkModel.load(model.save(tmp_path)).facts == {"farthest": 2.0, "pairs": 3}
    model.facts = {"when": np.datetime64("2020-01-01")}
    with pytest.raises(InputError, match="is of type date"):
        model.save(tmp_path)
    assert LinkModel.load(tmp_path).facts["pairs"] == 3


def test_a_folder_without_weights_is_named(tmp_path):
    """The reader of weights does not say which file is missing."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"link model, model\.safetensors is missing"):
        LinkModel.load(tmp_path)


def random_graph(nodes=100):
    rng = np.random.default_rng(0)
    index = torch.from_numpy(rng.integers(nodes, size=(2, 500)))
    split = make_split(Data(edge_index=index, num_nodes=nodes), "C1", seed=0)
    return torch.from_numpy(rng.normal(size=(nodes, 8)).astype(np.float32)), split


def test_features_of_any_size_are_kept_in_a_saved_model(tmp_path):
    x, split = random_graph()
    asked = split.positives("test")[:9]
    for factor in (1, 2000, 1e-4):
        model = LinkModel.fit(x * factor, split, members=1, options=FitOptions(steps=10, every=5))
        again = LinkModel.load(model.save(tmp_path / f"{factor}"))
        own = model.on(x * factor, split).probability(asked)[0]
        read = again.on(x * factor, split).probability(asked)[0]
        np.testing.assert_allclose(read, own, atol=2e-3)


def test_a_model_of_a_later_version_is_refused(tmp_path):
    x, split = random_graph()
    LinkModel.fit(x, split, members=1, options=FitOptions(steps=5, every=5)).save(tmp_path)
    path = tmp_path / CONFIG
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(CheckpointError, match="format 2, this version reads 1"):
        LinkModel.load(tmp_path)


WRONG_PAIRS = {
    "not found": (
        [[0, 1], [-1, 2]],
        r"pairs\[1\] = \[-1, 2\] names .*; -1 is a name that was not fo",
    ),
    "beyond the end": ([[0, 6]], r"pairs\[0\] = \[0, 6\] names a protein outside 0\.\.5$"),
    "not whole": ([[0.5, 1.0]], r"integers of shape \(n, 2\)"),
    "three": ([[0, 1, 2]], r"integers of shape \(n, 2\)"),
}


@pytest.mark.parametrize(("pairs", "match"), WRONG_PAIRS.values(), ids=WRONG_PAIRS)
def test_pairs_outside_the_graph_have_no_answer(pairs, match):
    edges = np.array([[0, 1], [1, 2]])
    split = Split("C1", 6, edges, edges, edges[:0], [])
    model = LinkPredictor(4, channels=8, conv="none").eval()
    scores = LinkScores([(model, torch.randn(6, 4))], split)
    near = Interologs(sparse.eye_array(6, format="csr"), edges)
    doors = (scores.probability, scores.log_odds, split.classify, PairStructure(edges, 6).of)
    for door in (*doors, near.of, lambda asked: pair_hashes(np.arange(6), asked)):
        with pytest.raises(InputError, match=match):
            door(np.array(pairs))


def test_proteins_outside_the_graph_have_no_row():
    split = known_split()
    features = torch.randn(split.num_nodes, 4)
    model = LinkModel([LinkPredictor(4, channels=8, conv="none").eval()], [Recipe()])
    scores = model.on(features, split)
    near = Interologs(sparse.eye_array(split.num_nodes, format="csr"), split.message)
    structure = PairStructure(split.message, split.num_nodes)
    for wrong in (-1, split.num_nodes):
        for door in (
            lambda node: scores.row(node, np.arange(3)),
            lambda node: scores.row(0, np.array([node])),
            lambda node: scores.rows(np.array([node])),
            lambda node: near.row(node, np.arange(3)),
            lambda node: near.row(0, np.array([node])),
            lambda node: next(structure.rows(np.array([node]))),
        ):
            with pytest.raises(InputError, match="names a protein outside"):
                door(wrong)
    with pytest.raises(InputError, match=r"nodes\[0\] = 60 names a protein outside"):
        next(partners_of(model, features, split, features[:2], np.array([60, -1])))
    with pytest.raises(InputError, match=r"nodes of shape \(1,\) for features of 2 proteins"):
        next(partners_of(model, features, split, features[:2], np.array([3])))


def test_views_of_pairs_have_the_answers_of_copies():
    split = known_split()
    model = LinkPredictor(4, channels=8, conv="none", structure=True).eval()
    scores = LinkScores([(model, torch.randn(split.num_nodes, 4))], split)
    turned = split.message[:, ::-1]
    np.testing.assert_array_equal(scores.log_odds(turned), scores.log_odds(turned.copy()))
    np.testing.assert_array_equal(scores.row(0, turned[:, 0]), scores.row(0, turned[:, 0].copy()))


def test_pairs_of_new_proteins_have_members_that_look_at_parts(tmp_path):
    rng = np.random.default_rng(0)
    pairs = np.array(list(itertools.combinations(range(60), 2)))
    labels = rng.random(len(pairs)) < 0.5
    own = pairs // 20
    published = {
        name: Labelled(pairs[rows], labels[rows])
        for number, name in enumerate(("train", "valid", "test"))
        for rows in [(own == number).all(axis=1)]
    }
    split = PublishedSplit.of(published, 60)
    blocks = {BASE: torch.randn(60, 8), EXTREMES: torch.randn(60, 8), PARTS: torch.randn(60, 32)}
    options = FitOptions(steps=4, batch_size=64, every=2)
    model = LinkModel.fit(blocks, split, members=3, options=options)
    assert [recipe.head for recipe in model.recipes] == ["link", "cross", "link"]
    asked = published["test"].pairs
    again = LinkModel.load(model.save(tmp_path)).on(blocks, split)
    scores = model.on(blocks, split)
    np.testing.assert_allclose(again.log_odds(asked), scores.log_odds(asked), atol=2e-2)
    node, others = int(asked[0, 0]), np.arange(40, 60)
    rows = scores.log_odds(np.stack([np.full(20, node), others], 1)).mean(axis=0)
    np.testing.assert_allclose(scores.row(node, others), rows, atol=1e-5)
    for without in (
        LinkModel.fit({BASE: blocks[BASE]}, split, members=1, options=options),
        LinkModel.fit(blocks, split, members=1, options=options, decoder="dot"),
        LinkModel.fit(blocks, split, members=1, options=options, conv="none"),
    ):
        assert [recipe.head for recipe in without.recipes] == ["link"]
    with pytest.raises(ConfigError, match="cross cannot take the place of all heads"):
        LinkModel.fit(blocks, split, head="cross")
