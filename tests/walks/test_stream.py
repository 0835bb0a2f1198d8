from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from lcplm_graph.errors import InputError
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.tokens.vocabulary import BON, CLS, EDGE, EON, EOS, NO_EDGE, encode_residues
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream, WalkTokens

N = 40

pytestmark = pytest.mark.filterwarnings("ignore:.*their share of max_tokens")


def make_split(held_out=60, seed=0):
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(np.triu(np.ones((N - 1, N - 1)), 1))  # the last node stays alone
    pairs = pairs[rng.permutation(len(pairs))[: 100 + held_out]]
    message, supervision, held = pairs[:80], pairs[80:100], pairs[100:]
    return Split("random", N, message, supervision, held, np.ones(len(held)))


def make_sequences(low=1, high=120, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(low, high, N)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), n)) for n in lengths]


def make_stream(split=None, sequences=None, *, length=6, max_tokens=4000, **options):
    sequences = make_sequences() if sequences is None else sequences
    store = SequenceStore.from_records([f"P{i}" for i in range(N)], sequences)
    sampler = WalkSampler(split or make_split(), length, seed=options.pop("walk_seed", 0))
    return WalkStream(sampler, store, max_tokens=max_tokens, **options)


def parse(ids):
    """Residue arrays and markers of one stream, by its grammar alone."""
    ids = ids.tolist()
    assert ids[0] == CLS
    proteins, markers, t = [], [], 1
    while True:
        assert ids[t] == BON
        end = ids.index(EON, t)
        proteins.append(ids[t + 1 : end])
        t = end + 1
        if ids[t] == EOS:
            break
        assert ids[t] in (EDGE, NO_EDGE)
        markers.append(ids[t])
        t += 1
    assert t == len(ids) - 1
    return proteins, markers


def all_pairs(matrix):
    return {tuple(sorted(pair)) for pair in np.asarray(matrix).tolist()}


def test_streams_follow_the_grammar_and_say_where_things_lie():
    sequences = make_sequences()
    stream = make_stream(sequences=sequences, negative_rate=0.3)
    tokens = stream.walks(0, 120)
    nodes, negative = stream.sampler.hops(0, 120, 0.3)
    assert tokens.input_ids.dtype == np.int64
    assert tokens.cropped == 0
    first = np.cumsum(tokens.nodes_per_stream) - tokens.nodes_per_stream
    seen_markers = 0
    for s in range(120):
        begin, end = tokens.cu_seqlens[s : s + 2]
        proteins, markers = parse(tokens.input_ids[begin:end])
        path = nodes[s][nodes[s] >= 0]
        assert [encode_residues(sequences[v]).tolist() for v in path] == proteins
        expected = [NO_EDGE if x else EDGE for x in negative[s, 1 : len(path)]]
        assert markers == expected
        seen_markers += len(markers)
        here = slice(first[s], first[s] + tokens.nodes_per_stream[s])
        assert tokens.nodes[here].tolist() == path.tolist()
        for (a, b), protein in zip(tokens.spans[here], proteins, strict=True):
            assert tokens.input_ids[a:b].tolist() == protein
            assert begin < a <= b < end
    assert seen_markers == len(tokens.marker_positions) == len(tokens.marker_pairs)
    labels = np.where(tokens.marker_labels == 1, EDGE, NO_EDGE)
    np.testing.assert_array_equal(tokens.input_ids[tokens.marker_positions], labels)
    marks = np.isin(tokens.input_ids, [EDGE, NO_EDGE])
    np.testing.assert_array_equal(np.flatnonzero(marks), tokens.marker_positions)
    packed = tokens.packed
    assert packed.num_streams == 120
    assert packed.cu_seqlens[-1] == len(packed.input_ids)


def test_streams_that_are_joined_are_those_that_were_written_together():
    """Where proteins and markers lie moves with them; streams of several species are joined."""
    stream = make_stream(max_tokens=300, negative_rate=0.3)
    together = stream.walks(0, 30)
    joined = WalkTokens.joined([stream.walks(0, 7), *(stream[i] for i in range(7, 30))])
    for name in WalkTokens.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(joined, name), getattr(together, name), name)


def test_no_stream_marks_a_held_out_pair_as_an_edge():
    split = make_split(held_out=300)
    held, train = all_pairs(split.held_out), all_pairs(split.train)
    stream = make_stream(split, make_sequences(1, 4), negative_rate=0.4)
    tokens = stream.walks(0, 100_000)
    edge = all_pairs(tokens.marker_pairs[tokens.marker_labels == 1])
    no_edge = all_pairs(tokens.marker_pairs[tokens.marker_labels == 0])
    assert edge == all_pairs(split.message)
    assert not edge & held
    assert not no_edge & train
    assert all(a != b for a, b in no_edge)
    # Avoiding held-out pairs would give them away by elimination.
    walked = set(split.message.ravel().tolist())
    reachable = {pair for pair in held if walked.issuperset(pair)}
    assert len(reachable) > 200
    assert reachable <= no_edge


def test_held_out_pairs_are_as_often_no_edge_as_any_other():
    split = make_split(held_out=300)
    tokens = make_stream(split, negative_rate=0.5).walks(0, 6000)
    pairs = tokens.marker_pairs[tokens.marker_labels == 0]
    matrix = np.zeros((N, N))
    for a, b in split.train:
        matrix[a, b] = matrix[b, a] = 1
    degree = np.bincount(split.message.ravel(), minlength=N)
    law = (matrix == 0) * degree * ~np.eye(N, dtype=bool)
    law = law / law.sum(1, keepdims=True)
    held = np.zeros((N, N), bool)
    held[split.held_out[:, 0], split.held_out[:, 1]] = True
    held |= held.T
    chance = (law * held).sum(1)[pairs[:, 0]]
    hits = held[pairs[:, 0], pairs[:, 1]].sum()
    assert abs(hits - chance.sum()) < 3 * np.sqrt((chance * (1 - chance)).sum())
    assert hits > 1000


def test_streams_do_not_depend_on_what_is_held_out():
    split = make_split()
    blind = Split("random", N, split.message, split.supervision, [], [])
    one, two = (make_stream(s, negative_rate=0.4).walks(0, 500) for s in (split, blind))
    np.testing.assert_array_equal(one.input_ids, two.input_ids)


def test_any_order_and_chunking_gives_the_same_streams():
    stream = make_stream(max_tokens=200, negative_rate=0.2)
    whole = stream.walks(0, 90)
    for i in (0, 7, 89):
        part = whole.input_ids[whole.cu_seqlens[i] : whole.cu_seqlens[i + 1]]
        np.testing.assert_array_equal(stream[i].input_ids, part)
    batches = [stream.batch(b, 650) for b in range(30)]
    assert stream.walks_per_batch(650) == 3
    np.testing.assert_array_equal(np.concatenate([b.input_ids for b in batches]), whole.input_ids)
    assert all(len(b.input_ids) <= 650 for b in batches)
    assert sum(b.cropped for b in batches) == whole.cropped > 0


def test_walks_cut_short_are_their_beginnings():
    stream = make_stream(negative_rate=0.3)
    whole = stream.walks(0, 60)
    assert whole.cropped == 0
    for length in (1, 2, 5):
        first = stream.walks(0, 60, length)
        assert np.array_equal(first.nodes_per_stream, np.minimum(whole.nodes_per_stream, length))
        for one, all_of_it in zip(split_streams(first), split_streams(whole), strict=True):
            assert np.array_equal(one[:-1], all_of_it[: len(one) - 1])
    lone = stream.walks(0, 60, 1)
    assert len(lone.marker_positions) == 0


def split_streams(tokens):
    return np.split(tokens.input_ids, tokens.cu_seqlens[1:-1])


def test_seeds_change_walks_and_windows_apart():
    options = {"max_tokens": 100, "negative_rate": 0.0}
    base = make_stream(**options).walks(0, 50)
    windows = make_stream(**options, seed=1).walks(0, 50)
    walks = make_stream(**options, walk_seed=1, seed=0).walks(0, 50)
    np.testing.assert_array_equal(base.nodes, windows.nodes)
    assert (base.windows != windows.windows).any()
    assert not np.array_equal(base.nodes, walks.nodes)


def best_shares(lengths, budget):
    """Largest cap at which all fit, by trying."""
    cap = max(c for c in range(max(lengths) + 1) if sum(min(n, c) for n in lengths) <= budget)
    return [min(n, cap) for n in lengths]


@pytest.mark.parametrize("max_tokens", [67, 100, 223, 400])
def test_long_proteins_share_what_short_ones_leave(max_tokens):
    sequences = make_sequences()
    tokens = make_stream(sequences=sequences, max_tokens=max_tokens).walks(0, 200)
    table = ResidueTable.from_store(SequenceStore.from_records(map(str, range(N)), sequences))
    sizes = np.diff(tokens.cu_seqlens)
    assert sizes.max() <= max_tokens
    ends = np.cumsum(tokens.nodes_per_stream)
    cropped = 0
    for begin, end in itertools.pairwise([0, *ends]):
        lengths = [len(sequences[v]) for v in tokens.nodes[begin:end]]
        m = end - begin
        spans = tokens.spans[begin:end]
        expected = best_shares(lengths, max_tokens - 1 - 3 * m)
        assert (spans[:, 1] - spans[:, 0]).tolist() == expected
        cropped += sum(e < n for e, n in zip(expected, lengths, strict=True))
    assert tokens.cropped == cropped
    for v, (a, b), window in zip(tokens.nodes, tokens.spans, tokens.windows, strict=True):
        source = table.offsets[v] + window
        assert source + b - a <= table.offsets[v + 1]
        np.testing.assert_array_equal(tokens.input_ids[a:b], table.tokens[source : source + b - a])


def test_windows_are_uniform():
    tokens = make_stream(sequences=["ACDEFGHIKLMNPQRSTVWY"] * N, length=2, max_tokens=27)
    drawn = tokens.walks(0, 8000)
    two = np.repeat(drawn.nodes_per_stream, drawn.nodes_per_stream) == 2
    windows = drawn.windows[two]
    assert (drawn.spans[two, 1] - drawn.spans[two, 0] == 10).all()
    counts = np.bincount(windows, minlength=11)
    expected = len(windows) / 11
    z = (((counts - expected) ** 2 / expected).sum() - 10) / np.sqrt(20)
    assert len(counts) == 11
    assert abs(z) < 3


def test_a_lone_protein_is_a_stream_of_its_own():
    stream = make_stream(negative_rate=0.0)
    nodes = stream.sampler.walks(0, N)
    lone = int(np.flatnonzero(nodes[:, 0] == N - 1)[0])
    tokens = stream[lone]
    assert tokens.nodes.tolist() == [N - 1]
    assert len(tokens.marker_positions) == 0
    assert tokens.marker_pairs.shape == (0, 2)
    assert parse(tokens.input_ids)[1] == []


def test_cropping_is_announced_once():
    forget_warnings()
    sequences = ["ACDEFGHIK" * 10] * N
    with pytest.warns(UserWarning, match=f"{N} of {N} proteins are longer than 8"):
        make_stream(sequences=sequences, max_tokens=67)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_stream(sequences=sequences, max_tokens=67)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"max_tokens": 66}, "give at least 67"),
        ({"max_tokens": 0}, "at least 67"),
        ({"max_tokens": None}, "max_tokens must be a whole number"),
        ({"max_tokens": 100.0}, "max_tokens must be a whole number"),
        ({"negative_rate": -0.1}, "negative_rate"),
        ({"negative_rate": float("nan")}, "negative_rate"),
        ({"negative_rate": "a"}, "negative_rate must be a number, not 'a'"),
    ],
)
def test_bad_options_are_refused(change, word):
    with pytest.raises(InputError, match=word):
        make_stream(**change)


@pytest.mark.parametrize("length", [0, -1, 1.5])
def test_walks_are_cut_to_one_protein_at_least(length):
    """Of -1, walks lost their last protein."""
    with pytest.raises(InputError, match="length of a walk must be a whole number from 1"):
        make_stream().walks(0, 3, length=length)
    with pytest.raises(InputError, match="length of a walk must be a whole number from 1"):
        WalkSampler(make_split(), length)


def test_graphs_and_sequences_must_belong_together():
    sampler = WalkSampler(make_split(), 6)
    store = SequenceStore.from_records(["a", "b"], ["MKT", "MV"])
    with pytest.raises(InputError, match="40 proteins but the store has 2"):
        WalkStream(sampler, store, max_tokens=500)
    with pytest.raises(InputError, match="sequences as a SequenceStore"):
        WalkStream(sampler, None, max_tokens=500)
    with pytest.raises(InputError, match="holds no walk"):
        make_stream().batch(0, 3999)
    with pytest.raises(InputError, match="counted from 0"):
        make_stream()[-1]


def test_a_stream_is_of_a_sampler():
    stream = make_stream()
    with pytest.raises(InputError, match="walks come from a WalkSampler, not a WalkStream"):
        WalkStream(stream, stream.residues, max_tokens=256)
