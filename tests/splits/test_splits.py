"""Splits: what each kind promises, on random graphs."""

import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from lcplm_graph.errors import (
    ConfigError,
    DataError,
    InputError,
    LcPlmWarning,
    LeakageError,
    UnknownNameError,
)
from lcplm_graph.io import forget_warnings
from lcplm_graph.pairs import distinct, distinct_pairs, pair_graph, pair_hashes, pair_keys
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.kinds import KINDS, by_proteins
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.parts import PARTS, Part
from lcplm_graph.splits.published import PublishedSplit
from lcplm_graph.splits.sets import SPLIT_KINDS
from lcplm_graph.splits.split import Labelled, Split

PLAIN_KINDS = [kind for kind in SPLIT_KINDS if kind != "cluster"]


def random_graph(seed, nodes=120, edges=900):
    rng = np.random.default_rng(seed)
    index = rng.integers(nodes, size=(2, edges))
    index = index[:, index[0] != index[1]]
    both = torch.as_tensor(np.concatenate([index, index[::-1]], axis=1))
    return Data(
        edge_index=both,
        edge_weight=torch.rand(both.shape[1] // 2).repeat(2),
        num_nodes=nodes,
        taxon=torch.as_tensor(rng.integers(12, size=nodes)),
        edge_time=torch.as_tensor(rng.integers(2000, 2024, size=index.shape[1])).repeat(2),
    )


def split_of(kind, seed=0, graph=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LcPlmWarning)
        return make_split(
            random_graph(seed) if graph is None else graph, kind, seed=seed, **options
        )


def keys(split, pairs):
    return set(pair_keys(pairs, split.num_nodes).tolist())


@pytest.mark.parametrize("kind", PLAIN_KINDS)
@settings(max_examples=15, deadline=None)
@example(seed=894, disjoint=0.0)
@given(seed=st.integers(0, 10_000), disjoint=st.sampled_from([0.0, 0.3]))
def test_sets_are_disjoint_canonical_and_complete(kind, seed, disjoint):
    graph = random_graph(seed)
    try:
        split = split_of(kind, seed, graph, disjoint=disjoint)
    except InputError as error:  # a small species may have no pair within it, which is refused
        assume("leaves no" not in str(error))
        raise
    held_out, dropped, train = (
        keys(split, p) for p in (split.held_out, split.dropped, split.train)
    )
    assert not held_out & train
    assert not dropped & (train | held_out)
    everything = np.unique(np.sort(graph.edge_index.numpy().T, axis=1), axis=0)
    assert held_out | train | dropped == keys(split, everything)
    for pairs in (split.message, split.supervision, split.held_out, split.dropped):
        assert (pairs[:, 0] < pairs[:, 1]).all()
        assert len(keys(split, pairs)) == len(pairs)
    if disjoint:
        assert not keys(split, split.message) & keys(split, split.supervision)
        assert len(split.supervision) == round(disjoint * len(train))
    else:
        assert keys(split, split.message) == keys(split, split.supervision)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_classes_count_the_proteins_seen(seed):
    split = split_of("node", seed)
    seen = set(split.train.ravel().tolist())
    for (i, j), number in zip(split.held_out.tolist(), split.held_out_class.tolist(), strict=True):
        assert number == 1 + (i not in seen) + (j not in seen)
    assert set(split.held_out_class.tolist()) == {1, 2, 3}


@pytest.mark.parametrize(("kind", "only"), [("C1", 1), ("C2", 2), ("C3", 3), ("species", 3)])
def test_held_out_pairs_are_of_the_class_named(kind, only):
    """In graphs of few edges too, where training proteins lose their only one."""
    for seed in range(8):
        graphs = [random_graph(seed), random_graph(seed, edges=300)]
        for graph in graphs if kind == "species" else [*graphs, random_graph(seed, edges=110)]:
            split = split_of(kind, seed, graph, test=0.3, valid=0.3)
            assert set(split.held_out_class.tolist()) == {only}


def test_proteins_of_published_negatives_were_seen_in_training():
    """A model learned from them, too: their test pairs are no pairs of new proteins."""
    train = Labelled(np.array([[0, 1], [2, 3]]), np.array([True, False]))
    test = Labelled(np.array([[2, 4], [3, 0], [5, 4]]), np.array([True, False, True]))
    split = PublishedSplit.of({"train": train, "valid": test, "test": test}, 6)
    assert split.classify(test.pairs).tolist() == [2, 1, 3]
    assert split.held_out_class.tolist() == [2, 2, 3, 3]


def test_pairs_of_a_protein_that_is_left_out_are_in_no_part():
    graph = pair_graph(Data(edge_index=torch.tensor([[0, 0, 0, 2], [1, 2, 3, 3]]), num_nodes=4))
    parts = np.array([Part.TRAIN, Part.TRAIN, Part.NOWHERE, Part.TEST], np.int8)
    found = by_proteins(graph, parts, inside=True, across=True).pair_part
    assert found.tolist() == [Part.TRAIN, Part.NOWHERE, Part.TEST, Part.NOWHERE]


def test_what_belongs_to_a_pair_is_sorted_with_it():
    """Parts and weights stay with their pairs, in whichever order pairs are given."""
    message, held_out = np.array([[3, 4], [0, 1], [2, 1]]), np.array([[2, 5], [6, 0], [1, 5]])
    weight, part = np.array([0.25, 0.5, 0.75]), np.array([1, 0, 1])
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        split = Split(
            "random",
            7,
            message[order],
            message[order],
            held_out[order],
            part[order],
            message_weight=weight[order],
        )
        assert split.message.tolist() == [[0, 1], [1, 2], [3, 4]]
        assert split.message_weight.tolist() == [0.5, 0.75, 0.25]
        assert split.positives("valid").tolist() == [[0, 6]]
        assert split.positives("test").tolist() == [[1, 5], [2, 5]]


@pytest.mark.parametrize("kind", ["C3", "species"])
def test_no_protein_is_shared(kind):
    for seed in range(8):
        split = split_of(kind, seed)
        sets = [set(split.positives(p).ravel().tolist()) for p in ("train", "valid", "test")]
        assert sum(map(len, sets)) == len(set.union(*sets))


def test_species_named_are_held_out():
    graph = random_graph(3)
    split = split_of("species", graph=graph, valid_taxa=[2], test_taxa=[5, 7])
    taxon = graph.taxon.numpy()
    assert set(taxon[split.positives("test")].ravel().tolist()) <= {5, 7}
    assert set(taxon[split.positives("valid")].ravel().tolist()) == {2}


def test_temporal_holds_out_the_newest():
    graph = random_graph(4)
    split = split_of("temporal", graph=graph, valid_from=2015, test_from=2020)
    first: dict[tuple[int, int], int] = {}
    for column, year in zip(graph.edge_index.T.tolist(), graph.edge_time.tolist(), strict=True):
        pair = (min(column), max(column))
        first[pair] = min(first.get(pair, 9999), year)
    for part, low, high in (("train", 0, 2015), ("valid", 2015, 2020), ("test", 2020, 9999)):
        found = {tuple(p) for p in split.positives(part).tolist()}
        assert found == {p for p, year in first.items() if low <= year < high}


def test_a_published_split_is_saved_with_its_negatives(tmp_path):
    pairs = np.array([[0, 1], [2, 3], [1, 4], [4, 4]])
    parts = {
        part.label: Labelled((pairs + part) % 7, np.array([True, False, True, True]))
        for part in PARTS
    }
    split = PublishedSplit.of(parts, 7, {"from": "tables"})
    assert repr(split).startswith("PublishedSplit('published', 7 proteins; pairs: 2 message, ")
    for cls in (Split, PublishedSplit):
        found = cls.load(split.save(tmp_path / "s"))
        assert isinstance(found, PublishedSplit)
        assert found.fingerprint == split.fingerprint
        assert found.info == split.info
        for name, part in parts.items():
            np.testing.assert_array_equal(found.labelled(name).pairs, part.pairs)
            np.testing.assert_array_equal(found.labelled(name).labels, part.labels)
    # As saved by 0.2, without the labelled pairs.
    with np.load(tmp_path / "s.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if "published" not in name}
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(DataError, match="the labelled train pairs are missing, which versions"):
        Split.load(tmp_path / "s.json")


@pytest.mark.parametrize("kind", ["random", "C1", "C2", "C3", "node", "species", "temporal"])
def test_a_fraction_of_nothing_holds_nothing_out(kind):
    for part, other in (("valid", "test"), ("test", "valid")):
        counts = split_of(kind, graph=random_graph(4), **{part: 0, other: 0.3}).counts()
        assert counts[part] == 0 < counts[other]


def test_weights_follow_their_pairs():
    graph = random_graph(5)
    split = split_of("C3", graph=graph)
    largest: dict[tuple[int, int], float] = {}
    weights = graph.edge_weight.tolist()
    for column, weight in zip(graph.edge_index.T.tolist(), weights, strict=True):
        pair = (min(column), max(column))
        largest[pair] = max(largest.get(pair, 0.0), weight)
    assert split.message_weight.tolist() == pytest.approx(
        [largest[tuple(pair)] for pair in split.message.tolist()]
    )


def test_fingerprint_knows_pairs_not_their_order():
    split = split_of("C1")
    arguments = {"held_out": split.held_out, "held_out_part": split.held_out_part}
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(split.message)[:, ::-1]
    same = Split("C1", split.num_nodes, shuffled, split.supervision[::-1], **arguments)
    assert same.fingerprint == split.fingerprint
    fewer = Split("C1", split.num_nodes, split.message[1:], split.supervision, **arguments)
    other_part = Split(
        "C1",
        split.num_nodes,
        split.message,
        split.supervision,
        split.held_out,
        1 - split.held_out_part,
    )
    other_kind = Split("random", split.num_nodes, split.message, split.supervision, **arguments)
    larger = Split("C1", split.num_nodes + 1, split.message, split.supervision, **arguments)
    prints = [s.fingerprint for s in (split, fewer, other_part, other_kind, larger)]
    assert len(set(prints)) == 5


@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_same_seed_same_split_and_saved_split_is_the_same(kind, tmp_path):
    split = split_of(kind, 7, disjoint=0.2)
    assert split_of(kind, 7, disjoint=0.2).fingerprint == split.fingerprint
    again = Split.load(split.save(tmp_path / "deep" / "split"))
    assert again.fingerprint == split.fingerprint
    assert again.info == split.info
    for name in ("message_weight", "held_out_part", "node_part"):
        np.testing.assert_array_equal(getattr(again, name), getattr(split, name))
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["split.json", "split.npz"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: split_of("C3", np.int64(1)),
        lambda: split_of("C1", 1, test=np.float32(0.2)),
        lambda: make_split(
            Data(edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=4), "temporal",
            time=[1, 2, 3], valid_from=np.int64(2), test_from=np.int64(3),
        ),
        lambda: Split("random", np.int64(5), [[0, 1]], [[0, 1]], [[1, 2]], [1]),
        lambda: Split("random", 5, [[0, 1]], [[0, 1]], [], [], info={"a": [np.int64(3)]}),
    ],
)  # fmt: skip
def test_numbers_of_numpy_are_saved_as_plain_ones(make, tmp_path):
    split = make()
    again = Split.load(split.save(tmp_path / "split"))
    assert again.info == split.info
    assert again.fingerprint == split.fingerprint


def test_a_split_that_cannot_be_saved_leaves_the_one_that_is_there(tmp_path):
    """The arrays were replaced before the description was known to be writable."""
    path = split_of("C1", 1).save(tmp_path / "split")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    bad = Split("random", 5, [[0, 1]], [[0, 1]], [], [], info={"a": {1, 2}})
    with pytest.raises(
        InputError, match=r"split\.json cannot hold .*\{1, 2\} is of type set.*; give"
    ):
        bad.save(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_other_seed_other_split():
    graph = random_graph(0)
    assert (
        make_split(graph, "C1", seed=1).fingerprint != make_split(graph, "C1", seed=2).fingerprint
    )


def test_damaged_files_are_refused(tmp_path):
    path = split_of("C1", 1).save(tmp_path / "a")
    split_of("C1", 2).save(tmp_path / "b")
    (tmp_path / "a.npz").write_bytes((tmp_path / "b.npz").read_bytes())
    with pytest.raises(DataError, match="not those that the JSON file describes"):
        Split.load(path)
    (tmp_path / "a.npz").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"a\.json: this is not a saved split"):
        Split.load(path)
    (tmp_path / "a.npz").unlink()
    with pytest.raises(DataError, match="one is missing"):
        Split.load(path)
    header = json.loads((tmp_path / "b.json").read_text())
    del header["kind"]
    (tmp_path / "b.json").write_text(json.dumps(header))
    with pytest.raises(DataError, match="not a saved split"):
        Split.load(tmp_path / "b")


def test_check_names_the_pair():
    pairs = [[0, 1], [1, 2], [2, 3]]
    leaking = Split("random", 5, pairs, pairs, [[3, 2], [3, 4]], [0, 1])
    with pytest.raises(LeakageError, match=r"1 held-out pairs .* \(C, D\)"):
        leaking.check(protein_id=list("ABCDE"))
    with pytest.raises(LeakageError, match=r"\(0, 4\) is held out twice"):
        Split("random", 5, pairs, pairs, [[0, 4], [4, 0]], [0, 1]).check()
    with pytest.raises(LeakageError, match=r"\(0, 1\) is twice in message"):
        Split("random", 5, [[0, 1], [1, 0]], pairs, [[0, 4]], [1]).check()
    with pytest.raises(LeakageError, match=r"training saw, for example \(3, 4\)"):
        Split("C3", 5, pairs, pairs, [[3, 4]], [1]).check()
    with pytest.raises(LeakageError, match=r"a protein of a validation pair, .* \(5, 6\)"):
        Split("C3", 7, pairs, pairs, [[4, 5], [5, 6]], [0, 1]).check()


def test_random_split_says_once_that_it_is_transductive():
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="transductive"):
        make_split(random_graph(0), "random")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_split(random_graph(0), "random")


def test_self_loops_are_counted():
    forget_warnings()
    graph = Data(edge_index=torch.tensor([[0, 1, 2, 3, 4], [0, 2, 3, 4, 5]]), num_nodes=6)
    with pytest.warns(LcPlmWarning, match="1 self loops"):
        split = make_split(graph, "random", valid=0, test=0.3)
    assert len(split.known) == 4


@pytest.mark.parametrize(
    ("kind", "options", "error", "match"),
    [
        ("nodes", {}, UnknownNameError, "no split 'nodes'; choose one of random"),
        ("random", {"test": 1.0}, ConfigError, "leave something to train on"),
        ("random", {"disjoint": 1.0}, ConfigError, "fractions"),
        ("C1", {"identity": 0.3}, ConfigError, "no such option"),
        ("species", {"test_taxa": [99]}, InputError, "taxon 99"),
        ("species", {"taxon": [1, 2]}, InputError, r"shape \(2,\)"),
        ("temporal", {"time": [1.0]}, InputError, "per column"),
        ("temporal", {"valid_from": 9, "test_from": 5}, ConfigError, "lies after"),
        ("temporal", {"valid_from": 3, "valid": 0}, ConfigError, "valid=0 holds nothing out and"),
        ("temporal", {"test_from": 3, "test": 0}, ConfigError, "test=0 holds nothing out and"),
        ("cluster", {}, InputError, "needs `sequences`"),
        ("C3", {"test": 0.001, "valid": 0.0}, InputError, "leaves no test pair"),
    ],
)
def test_bad_requests(kind, options, error, match):
    with pytest.raises(error, match=match):
        split_of(kind, **options)


@pytest.mark.parametrize(
    ("pairs", "match"),
    [
        ([[0, 9]], r"message\[0\] = \[0, 9\] names a protein outside 0..4"),
        ([[1, 2], [3, 3]], "joins protein 3 with itself"),
        ([[0.5, 1.0]], "must be integers"),
        ([0, 1], "must be integers of shape"),
    ],
)
def test_bad_pairs(pairs, match):
    with pytest.raises(InputError, match=match):
        Split("random", 5, pairs, [], [], [])


@pytest.mark.parametrize("num_nodes", [None, 9])
@pytest.mark.parametrize("count", [0, 1, 60])
def test_distinct_pairs_are_the_unique_rows(count, num_nodes):
    pairs = np.random.default_rng(0).integers(9, size=(count, 2))
    found = distinct_pairs(pairs, num_nodes)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.unique(pairs, axis=0))


@pytest.mark.parametrize("values", [[], [0], [2**64 - 1, 0, 7, 0, 2**64 - 1]])
def test_distinct_numbers_are_the_unique_ones(values):
    hashes = np.array(values, np.uint64)
    np.testing.assert_array_equal(distinct(hashes), np.unique(hashes))


def test_pair_hashes_ignore_order_and_ids():
    digests = np.random.default_rng(0).integers(0, 2**64, 3000, dtype=np.uint64)
    pairs = np.random.default_rng(1).integers(0, 3000, (200_000, 2))
    hashes = pair_hashes(digests, pairs)
    np.testing.assert_array_equal(hashes, pair_hashes(digests, pairs[:, ::-1]))
    order = np.random.default_rng(2).permutation(3000)
    where = np.argsort(order)
    np.testing.assert_array_equal(hashes, pair_hashes(digests[order], where[pairs]))
    different = len(np.unique(np.sort(pairs, axis=1), axis=0))
    assert len(np.unique(hashes)) == different


def test_copies_of_a_protein_do_not_bring_a_training_pair_back():
    """Protein 40 + k has the sequence and the partners of protein k, for ten of 40 proteins."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("LAGVSERTID"), 30)) for _ in range(40)]
    store = SequenceStore.from_records([f"p{i}" for i in range(50)], texts + texts[:10])
    single = [(i, j) for i in range(40) for j in range(i + 1, 40) if rng.random() < 0.3]
    copies = np.array(single + [(40 + i, j) for i, j in single if i < 10])
    graph = Data(edge_index=torch.from_numpy(copies.T), num_nodes=50)
    for kind in ("random", "C1", "node"):
        split = make_split(graph, kind, sequences=store)
        hashes = [pair_hashes(store.digests(), p) for p in (split.train, split.held_out)]
        assert not np.isin(hashes[1], hashes[0]).any()
        parts = [hashes[1][split.held_out_part == n] for n in (0, 1)]
        assert not np.isin(parts[1], parts[0]).any()
        assert split.info["held_out_pairs_repeated_by_sequence"] > 0
        assert len(split.known) == len(copies)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, np.nan, 1.0], r"edge_weight\[1\] of the pair \[1, 2\] is nan"),
        ([1.0, 1.0, -0.5], r"edge_weight\[2\] .*is -0.5"),
        ([2.0, 1.0, 1.0], r"edge_weight\[0\] .*is 2"),
        ([1.0], r"edge_weight has the shape \(1,\) for 3 edges"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message):
    edges = torch.tensor([[0, 1, 2], [1, 2, 3]])
    graph = Data(edge_index=edges, num_nodes=4, edge_weight=torch.tensor(weights))
    with pytest.raises(InputError, match=message):
        make_split(graph, "random")


def test_seeds_and_ratios_that_are_none_are_refused():
    ring = torch.arange(40)
    graph = Data(edge_index=torch.stack([ring, (ring + 1) % 40]), num_nodes=40)
    for seed in (-1, 0.5):
        with pytest.raises(ConfigError, match="a seed is"):
            make_split(graph, "random", seed=seed)
    split = make_split(graph, "random")
    with pytest.raises(ConfigError, match="a seed is"):
        split.negatives("test", seed=-1)
    for ratio in (np.inf, np.nan, 0, -1):
        with pytest.raises(InputError, match="must be a finite number above 0"):
            split.negatives("test", ratio=ratio)


@pytest.mark.parametrize(
    ("kind", "options", "error", "match"),
    [
        ("C3", {"test": "a"}, ConfigError, "test must be a number, not 'a'"),
        ("C3", {"valid": None}, ConfigError, "valid must be a number, not None"),
        ("C3", {"disjoint": [0.1]}, ConfigError, "disjoint must be a number"),
        ("species", {"test_taxa": 3}, InputError, "`test_taxa` must be a list of taxa, not 3"),
        ("species", {"valid_taxa": "12"}, InputError, "`valid_taxa` must be a list of taxa"),
        ("species", {"valid_taxa": ["x"]}, InputError, "valid_taxa must be numbers"),
        ("temporal", {"test_from": "2008"}, ConfigError, "test_from must be a number, not '2008'"),
        ("C1", {"sequences": {"a": "MKT"}}, InputError, "a SequenceStore, not dict"),
    ],
)
def test_options_of_a_wrong_type_get_one_sentence(kind, options, error, match):
    graph = random_graph(0)
    graph.taxon = np.arange(graph.num_nodes) % 4
    graph.edge_time = np.arange(graph.edge_index.shape[1])
    with pytest.raises(error, match=match):
        make_split(graph, kind, **options)


def test_taxa_may_be_in_any_list():
    graph = random_graph(0)
    graph.taxon = np.arange(graph.num_nodes) % 4
    prints = {
        make_split(graph, "species", valid_taxa=make([2, 1]), test_taxa=make([3])).fingerprint
        for make in (list, tuple, np.array, set, torch.tensor)
    }
    assert len(prints) == 1


def test_supervision_is_message_or_shares_no_pair_with_it():
    pairs = [[0, 1], [1, 2], [2, 3]]
    with pytest.raises(InputError, match=r"1 of 2 supervision pairs are message .* \(0, 1\); let"):
        Split("random", 5, pairs, [[0, 1], [3, 4]], [[0, 4]], [1]).check()
    with pytest.raises(InputError, match="2 of 2 supervision pairs are message pairs"):
        Split("random", 5, pairs, pairs[:2], [[0, 4]], [1]).check()
    for supervision in (pairs, [[0, 2], [1, 3]], []):
        Split("random", 5, pairs, supervision, [[0, 4]], [1]).check()


def test_a_kind_that_does_not_exist_would_prove_nothing_and_is_refused():
    edges = np.array([[0, 1]])
    with pytest.raises(UnknownNameError, match="no kind of split 'c3'; there are random, C1"):
        Split("c3", 2, edges, edges, edges[:0], [])
    assert {*KINDS, "cluster"} == set(SPLIT_KINDS)
