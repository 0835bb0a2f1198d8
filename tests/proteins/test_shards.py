"""Sequences from Arrow and Parquet shards: read as FASTA is, and refused as FASTA is."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lcplm_graph.errors import DataError
from lcplm_graph.evaluation.homology import read_known
from lcplm_graph.predict.asked import asked_proteins
from lcplm_graph.proteins.shards import content_sha256, sequence_files, store_sequences
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tasks.structures import read_chains
from lcplm_graph.training.corpus import fasta_of


def write(path, ids, sequences, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": ids, "sequence": sequences, **more}), path)
    return path


def test_a_folder_of_mixed_shards_is_one_store_in_name_order(tmp_path):
    write(tmp_path / "in" / "b.parquet", ["c", "d"], ["mkt*", "AJB"], taxon=[1, 2])
    SequenceStore.from_records(["a", "b"], ["MV", "MVL"], ["x", "y"]).save(
        tmp_path / "in" / "a.arrow"
    )
    (tmp_path / "in" / "readme.txt").write_text("no shard")
    store = store_sequences(tmp_path / "in", tmp_path / "all.arrow")
    assert store.ids == ["a", "b", "c", "d"]
    assert list(store) == ["MV", "MVL", "MKT", "AXB"]
    assert store.table["description"].to_pylist() == ["x", "y", "", ""]
    assert len(sequence_files(tmp_path / "in")) == 2
    before = content_sha256(tmp_path / "in")
    write(tmp_path / "in" / "b.parquet", ["c", "d"], ["MKT", "AXC"])
    assert content_sha256(tmp_path / "in") != before


@pytest.mark.parametrize(
    ("ids", "sequences", "what"),
    [
        (["a", "b"], ["MKT", "M1T"], r"record 'b'.*'1' at position 2"),
        (["a", "b"], ["MKT", ""], r"record 'b'.*is empty"),
        (["a", "b"], ["MKT", None], r"missing \(null\)"),
        (["a", "a"], ["MKT", "MV"], r"record 'a': the id occurs more than once"),
        (["a", "b"], ["MK*T", "MV"], r"record 'a'.*'\*' at position 3"),
    ],
)
def test_bad_shards_are_named(tmp_path, ids, sequences, what):
    path = write(tmp_path / "bad.parquet", ids, sequences)
    with pytest.raises(DataError, match=rf"bad\.parquet.*{what}"):
        store_sequences(path, tmp_path / "all.arrow")
    assert not (tmp_path / "all.arrow").exists()


def test_what_is_no_shard_is_refused(tmp_path):
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="not a readable shard"):
        store_sequences(tmp_path / "torn.parquet", tmp_path / "all.arrow")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "ids.parquet")
    with pytest.raises(DataError, match="there is no column sequence"):
        store_sequences(tmp_path / "ids.parquet", tmp_path / "all.arrow")
    with pytest.raises(DataError, match="no such file"):
        store_sequences(tmp_path / "none", tmp_path / "all.arrow")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"ends in \.parquet"):
        store_sequences(tmp_path / "empty", tmp_path / "all.arrow")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_called_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    readers = (
        sequence_files,
        read_known,
        read_chains,
        lambda path: asked_proteins([str(path)], dict),
        lambda path: fasta_of(f"fasta:{path}"),
    )
    for read in readers:
        with pytest.raises(DataError, match="this is a pipe or a device, which cannot be read"):
            read(tmp_path / "pipe")
