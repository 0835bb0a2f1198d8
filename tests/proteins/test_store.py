"""The sequence store, in memory and memory-mapped."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lcplm_graph import SequenceStore
from lcplm_graph.errors import DataError, InputError
from lcplm_graph.pairs import pair_hashes
from lcplm_graph.proteins.digests import wide_digests
from lcplm_graph.splits.leakage import saw_edges
from lcplm_graph.tokens.vocabulary import encode_residues, normal_form

IDS, SEQUENCES = ["a", "b", "c", "d"], ["MKT", "MV", "M", "MKTAY"]


@pytest.fixture
def store():
    return SequenceStore.from_records(IDS, SEQUENCES, ["first", "", "", ""])


def test_order_lengths_and_access(store):
    assert (len(store), store.ids, list(store)) == (4, IDS, SEQUENCES)
    assert store.lengths.tolist() == [3, 2, 1, 5]
    assert store.lengths.dtype == np.int64
    assert [store[i] for i in (0, 3, -1, np.int64(1))] == ["MKT", "MKTAY", "MKTAY", "MV"]
    assert repr(store) == "SequenceStore(4 proteins, 11 residues)"


@pytest.mark.parametrize("index", [4, -5])
def test_out_of_range(store, index):
    with pytest.raises(IndexError):
        store[index]


@pytest.mark.parametrize("index", ["b", 1.5, None, slice(0, 2)])
def test_a_store_is_asked_by_number(store, index):
    """1.5 was protein 1; others ended in an error of Python."""
    with pytest.raises(InputError, match="the sequence of a protein's number"):
        store[index]


def test_index_of(store):
    assert store.index_of(["d", "none", "a"]).tolist() == [3, -1, 0]
    assert store.index_of("b").tolist() == [1]
    assert store.index_of([]).tolist() == []


def test_select_by_numbers_and_by_mask(store):
    assert store.select([2, 0]).ids == ["c", "a"]
    assert list(store.select(np.array([True, False, False, True]))) == ["MKT", "MKTAY"]
    assert len(store.select([])) == 0
    for wrong in ([4], [-1], np.array([True, False]), 2, slice(0, 2)):
        with pytest.raises(InputError):
            store.select(wrong)


def test_digests_are_those_of_hashlib_and_of_the_sequence_alone(store):
    expected = [
        int.from_bytes(hashlib.blake2b(s.encode()).digest()[:8], "little") for s in SEQUENCES
    ]
    assert store.digests().tolist() == expected
    assert store.digests().dtype == np.uint64
    renamed = SequenceStore.from_records(list("wxyz"), SEQUENCES)
    assert (renamed.digests() == store.digests()).all()


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_save_and_open(store, tmp_path, compression):
    path = store.save(tmp_path / "s.arrow", compression)
    again = SequenceStore.open(path)
    assert again.table.equals(store.table)
    assert again.select([3, 1]).ids == ["d", "b"]
    assert pd.read_feather(path)["sequence"].tolist() == SEQUENCES


def test_an_opened_store_is_mapped_not_read(tmp_path):
    big = SequenceStore.from_records([str(i) for i in range(2000)], ["M" * 5000] * 2000)
    path = big.save(tmp_path / "s.arrow")
    before = pa.total_allocated_bytes()
    again = SequenceStore.open(path)
    assert again[1999] == "M" * 5000
    assert pa.total_allocated_bytes() - before < 100_000


def test_fasta_straight_to_disk_equals_fasta_in_memory(tmp_path):
    path = tmp_path / "x.fa"
    path.write_text("".join(f">{i} d\n{s}\n" for i, s in zip(IDS, SEQUENCES, strict=True)))
    mapped = SequenceStore.from_fasta(path, tmp_path / "x.arrow")
    assert mapped.table.equals(SequenceStore.from_fasta(path).table)


@pytest.mark.parametrize(
    ("ids", "sequences"), [(["a", "a"], ["M", "K"]), (["a"], ["M", "K"]), (["a", "b"], ["M", ""])]
)
def test_bad_records(ids, sequences):
    with pytest.raises(InputError):
        SequenceStore.from_records(ids, sequences)


def test_files_that_are_no_store(tmp_path):
    (tmp_path / "x").write_bytes(b"not arrow at all")
    other = pa.table({"name": ["a"]})
    with (
        pa.OSFile(str(tmp_path / "y"), "wb") as sink,
        pa.ipc.new_file(sink, other.schema) as writer,
    ):
        writer.write_table(other)
    for name in ("x", "y", "none"):
        with pytest.raises(DataError, match=str(tmp_path / name)):
            SequenceStore.open(tmp_path / name)


def test_a_hash_is_of_the_normal_form():
    """Case, a final stop and letters outside the alphabet make no other protein."""
    plain = SequenceStore.from_records(list("abc"), ["MKTX", "MV", "M-V"])
    spelt = SequenceStore.from_records(list("abc"), ["mktj*", "mv*", "m-v"])
    assert list(spelt) == ["MKTX", "MV", "M-V"]
    assert spelt.lengths.tolist() == [4, 2, 3]
    raw = SequenceStore(pa.table({"id": ["a", "b", "c"], "sequence": ["mktJ", "MV*", "m-V"]}))
    for store in (spelt, raw):
        assert (store.digests() == plain.digests()).all()
        assert (wide_digests(store) == wide_digests(plain)).all()
    pairs = np.array([[0, 1], [1, 2]])
    seen = np.sort(pair_hashes(plain.digests(), pairs))
    assert saw_edges(seen, raw.digests(), pairs) == 2
    assert encode_residues("mktJ*").tolist() == encode_residues(normal_form("mktJ*")).tolist()


@pytest.mark.parametrize(
    ("ids", "sequences", "message"),
    [
        ([1, 2], ["M", "K"], r"^ids: .* number 0 \(from 0\) is 1 of type int"),
        (["a", None], ["M", "K"], r"^ids: .* number 1 \(from 0\) is None"),
        (["a", "b"], ["M", None], "^sequences: .* that of 'b' is None"),
        (["a", "P1\r"], ["M", "K"], r"the id 'P1\\r' holds a line break"),
        (["P1\nP2", "b"], ["M", "K"], "holds a line break"),
        (["a", "b"], ["M", "--"], "record 'b': its sequence has gaps only"),
        (["a", "b"], ["M", "*"], "record 'b': its sequence is empty"),
        (["a", "b"], ["M", "M T"], "record 'b'.*' ' at position 2"),
    ],
)
def test_bad_records_are_named(ids, sequences, message):
    with pytest.raises(InputError, match=message):
        SequenceStore.from_records(ids, sequences)


def test_damaged_offsets_and_text_are_refused_before_anything_is_computed(tmp_path):
    path = SequenceStore.from_records(["abc", "xyz"], ["MKT", "MVL"]).save(tmp_path / "x.arrow")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            store = SequenceStore.open(path)
            list(store), store.ids, store.digests()
        except DataError:
            continue
        assert len(store) == 2


@pytest.mark.parametrize(
    ("ids", "sequences"), [(["a", None], ["MK", "MV"]), (["a", "b"], ["MK", None]), (["a"], [1])]
)
def test_columns_with_gaps_or_numbers_are_no_store(tmp_path, ids, sequences):
    table = pa.table({"id": ids, "sequence": sequences, "description": [""] * len(ids)})
    with pa.ipc.new_file(tmp_path / "s.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match=r"s\.arrow: .*(are missing|not text)"):
        SequenceStore.open(tmp_path / "s.arrow")
