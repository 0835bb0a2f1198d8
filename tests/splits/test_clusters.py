"""Similar proteins: alignment against a plain one, search against MMseqs2, clusters, borders."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from lcplm_graph.errors import BackendError, ConfigError, DataError, InputError
from lcplm_graph.pairs import pair_hashes
from lcplm_graph.proteins.alignment import (
    BAND,
    GAP_EXTEND,
    GAP_OPEN,
    LETTERS,
    SCORES,
    align_banded,
    encode,
    index_seeds,
)
from lcplm_graph.proteins.search import homologous_pairs, pairs_across
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.clusters import cluster_parts, greedy_clusters, read_clusters
from lcplm_graph.splits.leakage import leakage_report, saw_edges
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split

needs_mmseqs = pytest.mark.skipif(
    shutil.which("mmseqs") is None, reason="MMseqs2 is not on the PATH"
)


def random_protein(rng, length):
    return "".join(rng.choice(list(LETTERS), length))


def relative(rng, protein, identity):
    """Replace residues and, now and then, delete or insert a short stretch."""
    letters = [c if rng.random() < identity else str(rng.choice(list(LETTERS))) for c in protein]
    at = int(rng.integers(20, len(letters) - 20))
    return "".join(letters[:at] + letters[at + int(rng.integers(0, 6)) :])


@pytest.fixture(scope="module")
def families():
    """Return 60 families of 1 to 6 relatives at about 50-90 % identity, and each one's family."""
    rng = np.random.default_rng(0)
    sequences, family = [], []
    for number in range(60):
        founder = random_protein(rng, int(rng.integers(120, 400)))
        for _ in range(1 + number % 6):
            sequences.append(relative(rng, founder, rng.uniform(0.7, 0.95)))
            family.append(number)
    return SequenceStore.from_records([f"p{i}" for i in range(len(sequences))], sequences), family


def plain_smith_waterman(a, b):
    """Gotoh's recursion over the whole matrix, score only."""
    none = -(10**6)
    match = np.zeros((len(a) + 1, len(b) + 1), int)
    gap_a, gap_b = np.full_like(match, none), np.full_like(match, none)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            gap_a[i, j] = max(match[i - 1, j] - GAP_OPEN, gap_a[i - 1, j] - GAP_EXTEND)
            gap_b[i, j] = max(match[i, j - 1] - GAP_OPEN, gap_b[i, j - 1] - GAP_EXTEND)
            diagonal = match[i - 1, j - 1] + SCORES[a[i - 1], b[j - 1]]
            match[i, j] = max(0, diagonal, gap_a[i, j], gap_b[i, j])
    return match.max()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), identity=st.floats(0.2, 1.0))
def test_alignment_equals_the_whole_matrix_when_the_band_holds_it(seed, identity):
    rng = np.random.default_rng(seed)
    first = random_protein(rng, 60)
    second = relative(rng, first, identity)
    a, b = (encode([s]).codes for s in (first, second))
    score, same, pairs, from_a, to_a, from_b, to_b = align_banded(
        a, b, 0, 70, SCORES, GAP_OPEN, GAP_EXTEND
    )
    assert score == plain_smith_waterman(a, b)
    if score:
        assert 0 <= same <= pairs <= min(to_a - from_a, to_b - from_b) + 1


def test_alignment_of_a_known_pair():
    first = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQ"
    second = first[:30] + first[36:]
    a, b = (encode([s]).codes for s in (first, second))
    score, same, pairs, *ends = align_banded(a, b, 0, BAND, SCORES, GAP_OPEN, GAP_EXTEND)
    alike = sum(SCORES[c, c] for c in b)
    assert score == alike - GAP_OPEN - 5 * GAP_EXTEND
    assert (same, pairs) == (60, 60)
    assert ends == [0, 65, 0, 59]


def test_blosum62_is_symmetric_and_has_its_known_diagonal():
    np.testing.assert_array_equal(SCORES, SCORES.T)
    assert np.diag(SCORES)[:20].tolist() == [
        4, 5, 6, 6, 9, 5, 5, 6, 8, 4, 4, 5, 5, 6, 7, 4, 5, 11, 7, 4,
    ]  # fmt: skip


def test_seed_words_stay_inside_their_sequence():
    index = index_seeds(encode(["MKTAYIAK", "MKTAYIAKX", "MK"]))
    assert (index.words >= 0).sum() == 4
    assert index.owner[index.positions].max() == 1


def test_search_finds_families_and_nothing_else(families):
    store, family = families
    hits = homologous_pairs(store, method="kmer", identity=0.3, coverage=0.5)
    found = {tuple(p) for p in hits.pairs.tolist()}
    n = len(store)
    expected = {(i, j) for i in range(n) for j in range(i + 1, n) if family[i] == family[j]}
    assert found <= expected
    assert len(found) >= 0.98 * len(expected)
    assert hits.identity.min() >= 0.3
    assert hits.coverage.min() >= 0.5


def test_search_between_two_sets_equals_search_within_one(families):
    store, _ = families
    within = homologous_pairs(store, method="kmer").pairs
    between = homologous_pairs(store, store, method="kmer").pairs
    between = np.unique(np.sort(between[between[:, 0] != between[:, 1]], axis=1), axis=0)
    shared = set(map(tuple, within.tolist())) & set(map(tuple, between.tolist()))
    assert len(shared) >= 0.99 * len(within)


def test_what_is_found_between_two_proteins_depends_on_them_alone(families):
    store, _ = families
    some = np.arange(0, len(store), 2)
    everything = {tuple(p) for p in homologous_pairs(store, method="kmer").pairs.tolist()}
    subset = homologous_pairs(store.select(some), method="kmer").pairs
    chosen = set(some.tolist())
    expected = {p for p in everything if chosen.issuperset(p)}
    assert {tuple(p) for p in some[subset].tolist()} == expected


def test_identity_and_coverage_are_cut_offs(families):
    store, _ = families
    strict = homologous_pairs(store, method="kmer", identity=0.7)
    loose = homologous_pairs(store, method="kmer", identity=0.3)
    assert 0 < len(strict.pairs) < len(loose.pairs)
    assert len(strict.pairs) == (loose.identity >= 0.7).sum()
    domain = [store[0], store[0][:50]]
    assert len(homologous_pairs(domain, method="kmer", coverage=0.8).pairs) == 0
    assert len(homologous_pairs(domain, method="kmer", coverage=0.0).pairs) == 1


@pytest.mark.parametrize("method", ["kmer", pytest.param("mmseqs", marks=needs_mmseqs)])
def test_bits_rank_the_hits_and_the_e_value_cuts_them_off(families, method):
    """A protein with itself has the most bits: by BLOSUM62, about two for each residue."""
    store, _ = families
    hits = homologous_pairs(store, store, method=method)
    itself = hits.pairs[:, 0] == hits.pairs[:, 1]
    assert itself.sum() == len(store)
    most = np.zeros(len(store), np.float32)
    np.maximum.at(most, hits.pairs[:, 0], hits.bits)
    np.testing.assert_array_equal(hits.bits[itself], most)
    per_residue = hits.bits[itself] / store.lengths
    assert per_residue.min() > 1.9 and per_residue.max() < 2.6
    strict = homologous_pairs(store, store, method=method, e_value=1e-60)
    assert itself.sum() <= len(strict.pairs) < len(hits.pairs)
    assert strict.bits.min() > hits.bits.min()


@needs_mmseqs
@pytest.mark.parametrize("least", [{"identity": 1e-5}, {"coverage": 1e-5}])
def test_mmseqs2_takes_tiny_thresholds(families, least):
    store, _ = families
    some = store.select(np.arange(6))
    none = dict.fromkeys(least, 0)
    found, expected = (homologous_pairs(some, some, method="mmseqs", **o) for o in (least, none))
    np.testing.assert_array_equal(found.pairs, expected.pairs)


@pytest.mark.slow
@needs_mmseqs
@pytest.mark.parametrize("of", ["families", "yeast"])
def test_built_in_search_finds_what_mmseqs2_finds(request, families, of):
    if of == "families":
        store, _ = families
    else:
        yeast = request.getfixturevalue("shared_data") / "dscript_yeast/yeast.fasta"
        store = SequenceStore.from_fasta(yeast)
        store = store.select(np.arange(0, len(store), 4))
    ours = {tuple(p) for p in homologous_pairs(store, method="kmer").pairs.tolist()}
    hits = homologous_pairs(store, method="mmseqs")
    theirs = [tuple(p) for p in hits.pairs[hits.identity >= 0.4].tolist()]
    assert len(theirs) > 100
    assert sum(p in ours for p in theirs) >= 0.95 * len(theirs)


@given(
    pairs=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40),
    lengths=st.lists(st.integers(1, 9), min_size=20, max_size=20),
)
def test_greedy_clusters_are_stars_around_the_longest(pairs, lengths):
    similar = {(min(p), max(p)) for p in pairs if p[0] != p[1]}
    array = np.array(sorted(similar), np.int64).reshape(-1, 2)
    cluster = greedy_clusters(array, np.array(lengths))
    assert sorted(set(cluster.tolist())) == list(range(cluster.max() + 1))
    for number in range(cluster.max() + 1):
        members = np.flatnonzero(cluster == number)
        longest = max(lengths[m] for m in members)
        assert any(
            lengths[f] == longest
            and all(m == f or (min(m, f), max(m, f)) in similar for m in members)
            for f in members
        )


def family_graph(families, seed=0):
    store, _ = families
    rng = np.random.default_rng(seed)
    index = rng.integers(len(store), size=(2, 1500))
    index = index[:, index[0] != index[1]]
    return Data(edge_index=torch.as_tensor(index), num_nodes=len(store))


def test_cluster_split_has_no_homologue_across_its_border(families):
    store, family = families
    graph = family_graph(families)
    split = make_split(graph, "cluster", sequences=store, method="kmer", progress=False, seed=1)
    report = leakage_report(split, store, method="kmer")
    assert report.ok()
    assert report.homologues == report.shared_proteins == report.shared_pairs == 0
    for part in ("valid", "test"):
        own = {family[i] for i in split.positives(part).ravel()}
        assert own
        assert not own & {family[i] for i in split.train.ravel()}


def test_border_is_cleared_even_with_useless_clusters(families):
    """Every protein its own cluster: only the search across the border helps."""
    store, _ = families
    split = make_split(
        family_graph(families),
        "cluster",
        sequences=store,
        method="kmer",
        progress=False,
        clusters=np.arange(len(store)),
        valid=0.0,
        test=0.5,
    )
    assert split.info["proteins_taken_out_at_border"] > 10
    assert leakage_report(split, store, method="kmer").ok("cluster")


def test_test_proteins_are_unlike_validation_ones_too():
    """The state of a model that is kept on validation proteins must not know tested ones."""
    rng = np.random.default_rng(0)
    founders = [random_protein(rng, 60) for _ in range(12)]
    sequences = [relative(rng, founder, 0.8) for founder in founders for _ in range(3)]
    store = SequenceStore.from_records(map(str, range(36)), sequences)
    parts, info = cluster_parts(
        store,
        np.random.default_rng(0),
        0.5,
        0.4,
        method="kmer",
        clusters=np.arange(36),
        progress=False,
    )
    valid, test = (np.flatnonzero(parts == part) for part in (0, 1))
    assert len(valid)
    assert len(test)
    assert not len(pairs_across(store.select(valid), store.select(test), method="kmer"))
    assert info["proteins_taken_out_at_border"] == (parts == -2).sum()


@pytest.mark.parametrize("held_out_first", [True, False])
def test_border_is_searched_from_both_sides(held_out_first):
    """Repeats have several diagonals, of which the built-in search extends the first one met."""
    rng = np.random.default_rng(0)
    units = [random_protein(rng, 60) for _ in range(60)]
    first, second = (
        ["".join(relative(rng, unit, 0.8) for _ in range(4)) for unit in units] for _ in range(2)
    )
    there, back = (
        homologous_pairs(a, b, method="kmer").pairs.tolist()
        for a, b in ((first, second), (second, first))
    )
    either = {(i, j) for i, j in there} | {(i, j) for j, i in back}
    assert len(either) > max(len(there), len(back))
    assert {tuple(p) for p in pairs_across(first, second, method="kmer").tolist()} == either
    # Each protein a cluster of its own, so that the border alone keeps relatives apart.
    sequences = first + second if held_out_first else second + first
    store = SequenceStore.from_records(map(str, range(120)), sequences)
    parts, _ = cluster_parts(
        store,
        np.random.default_rng(1),
        0.0,
        0.5,
        method="kmer",
        clusters=np.arange(120),
        progress=False,
    )
    test, train = (store.select(np.flatnonzero(parts == part)) for part in (1, -1))
    for one, other in ((test, train), (train, test)):
        assert not len(homologous_pairs(one, other, method="kmer").pairs)


def test_c3_split_is_no_cluster_split(families):
    store, _ = families
    report = leakage_report(make_split(family_graph(families), "C3"), store, method="kmer")
    assert report.ok()
    assert report.ok("C3")
    assert not report.ok("cluster")
    assert f"homologues in training (>= 30% identity, 50% coverage)  {report.homologues}" in str(
        report
    )


def test_same_pair_under_other_ids_is_found():
    sequences = ["MKTAYIAKQRQISFVK", "MADEEKLPPGWEKRMS", "MVLSPADKTNVKAAWG"] * 2
    store = SequenceStore.from_records(list("abcdef"), sequences)
    # (0, 1) and (3, 4) have the same two sequences.
    pairs = [[0, 1], [1, 2]]
    split = Split("C3", 6, pairs, pairs, [[3, 4]], [1]).check()
    digests = store.digests()
    assert saw_edges(np.sort(pair_hashes(digests, split.train)), digests, split.held_out) == 1
    assert saw_edges(np.empty(0, np.uint64), digests, split.held_out) == 0


def test_report_without_sequences_says_so():
    split = make_split(family_graph_of(200), "C3", seed=2, test=0.4)
    report = leakage_report(split)
    assert report.homologues is None
    assert "not searched" in str(report)
    with pytest.raises(InputError, match="judged by a search"):
        report.ok("cluster")


def family_graph_of(nodes):
    index = np.random.default_rng(0).integers(nodes, size=(2, 600))
    index = index[:, index[0] != index[1]]
    return Data(edge_index=torch.as_tensor(index), num_nodes=nodes)


def test_report_counts_shared_pairs_and_proteins():
    train = [[0, 1], [1, 2], [2, 3], [0, 4]]
    split = Split("random", 40, train, train, [[2, 1], [3, 7]], [1, 1])
    report = leakage_report(split, negatives="uniform")
    assert (report.pairs, report.shared_pairs, report.shared_proteins) == (2, 1, 3)
    assert not report.ok()


def test_cluster_file(tmp_path):
    path = tmp_path / "clusters.tsv"
    path.write_text("a\ta\na\tb\nc\tc\n")
    assert read_clusters(path, ["c", "b", "a"]).tolist() == [1, 0, 0]
    with pytest.raises(DataError, match=r"record 'd': 1 of 2 proteins are in no cluster"):
        read_clusters(path, ["a", "d"])
    path.write_text("a\ta\nc\ta\n")
    with pytest.raises(DataError, match="line 2, record 'a': is in two clusters"):
        read_clusters(path, ["a"])
    path.write_text("a a\n")
    with pytest.raises(DataError, match="line 1: 1 columns separated by tabs, 2 expected"):
        read_clusters(path, ["a"])


def test_bad_searches(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="no search 'blast'"):
        homologous_pairs(["MK"], method="blast")
    with pytest.raises(ConfigError, match="must be within"):
        homologous_pairs(["MK"], identity=30)
    for wrong in (0, -1, np.nan, np.inf):
        with pytest.raises(ConfigError, match="must be a finite number above 0"):
            homologous_pairs(["MK"], e_value=wrong)
    with pytest.raises(InputError, match="the built-in search takes 65535"):
        homologous_pairs(["M" * 70_000], method="kmer")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="not on the PATH"):
        homologous_pairs(["MK"], method="mmseqs")


def test_nothing_to_search():
    assert homologous_pairs([], method="kmer").pairs.shape == (0, 2)
    assert homologous_pairs(["MKV", "MKV"], method="kmer").pairs.shape == (0, 2)
