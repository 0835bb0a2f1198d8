"""`RemoteHomology`: TAPE's layouts, SCOPe, pickles that must not run."""

from __future__ import annotations

import json
import os
import pickle
import tarfile
from pickle import UnpicklingError

import lmdb
import numpy as np
import pytest
from cases.dataset import ProteinDatasetCase

from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.inert_pickle import inert_loads
from lcplm_graph.errors import ConfigError, DataError, LcPlmWarning

PARTS = ("train", "valid", "test_fold_holdout", "test_family_holdout", "test_superfamily_holdout")
MASKS = ("train_mask", "val_mask", "test_fold_mask", "test_family_mask", "test_superfamily_mask")


def records_of(part):
    number = PARTS.index(part)
    return [
        {
            "primary": "MKT" + "ACDEFG"[number] * (i + 1),
            "id": f"d{part}{i}",
            "fold_label": number,
            "superfamily_label": 10 + i,
            "family_label": 20 + i,
            "class_label": 0,
            "protein_length": 4 + i,
        }
        for i in range(2)
    ]


def write_lmdb(path, records, protocol=3):
    with lmdb.open(str(path), map_size=1 << 22) as db, db.begin(write=True) as transaction:
        for i, record in enumerate(records):
            content = record if isinstance(record, bytes) else pickle.dumps(record, protocol)
            transaction.put(str(i).encode(), content)
        transaction.put(b"num_examples", pickle.dumps(len(records), protocol))


def write_json(path, records, protocol=None):
    path.write_text(json.dumps(records))


def check(dataset):
    data = dataset[0]
    assert len(dataset.sequences) == data.num_nodes == 10
    for number, mask in enumerate(MASKS):
        rows = data[mask].nonzero().ravel().tolist()
        assert rows == [rows[0], rows[0] + 1]
        assert data.fold[rows].tolist() == data.y[rows].tolist() == [number, number]
        assert data.superfamily[rows].tolist() == [10, 11]
        assert data.family[rows].tolist() == [20, 21]
        assert dataset.sequences[rows[1]] == "MKT" + "ACDEFG"[number] * 2


class TestRemoteHomology(ProteinDatasetCase):
    @pytest.fixture
    def dataset(self, tmp_path):
        for part in PARTS:
            write_json(tmp_path / f"remote_homology_{part}.json", records_of(part))
        return RemoteHomology(tmp_path, root=tmp_path / "root")


@pytest.mark.parametrize(("suffix", "write"), [("lmdb", write_lmdb), ("json", write_json)])
def test_tape(tmp_path, suffix, write):
    folder = tmp_path / "remote_homology"
    folder.mkdir()
    for part in PARTS:
        write(folder / f"remote_homology_{part}.{suffix}", records_of(part))
    check(RemoteHomology(folder, root=tmp_path / "a"))
    with tarfile.open(tmp_path / "remote_homology.tar.gz", "w:gz") as tar:
        tar.add(folder, "remote_homology")
    check(RemoteHomology(tmp_path / "remote_homology.tar.gz", root=tmp_path / "b"))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_in_old_and_new_pickles(tmp_path, protocol):
    record = records_of("train")[0] | {
        "fold_label": np.int64(7),
        "evolutionary": np.ones((3, 20), np.float32),
        "solvent_accessibility": np.arange(3.0),
        "id": b"d1abc",
    }
    write_lmdb(tmp_path / "remote_homology_train.lmdb", [record], protocol)
    dataset = RemoteHomology(tmp_path, root=tmp_path / "root")
    assert dataset[0].fold.tolist() == [7]
    assert dataset.sequences.ids == ["d1abc"]


class _Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_runs_nothing(tmp_path, protocol):
    harm = tmp_path / "harm"
    record = records_of("train")[0] | {"extra": _Harm(harm)}
    write_lmdb(tmp_path / "remote_homology_train.lmdb", [record], protocol)
    with pytest.raises(DataError, match=r"record '0'.*mkdir is not allowed"):
        RemoteHomology(tmp_path, root=tmp_path / "root")
    assert not harm.exists()
    # The same bytes do harm when they are trusted, so the test can fail.
    pickle.loads(pickle.dumps(_Harm(harm), protocol))
    assert harm.exists()


def test_the_same_sequence_in_training_and_test_is_said(tmp_path):
    write_json(tmp_path / "remote_homology_train.json", records_of("train"))
    write_json(tmp_path / "remote_homology_test_fold_holdout.json", records_of("train"))
    with pytest.warns(LcPlmWarning) as said:
        dataset = RemoteHomology(tmp_path, root=tmp_path / "root")
    assert "2 ids occur again" in str(said[0].message)
    assert "2 sequences of test_fold_mask also occur in training" in str(said[1].message)
    assert dataset.report["test_fold_sequences_in_training"] == 2
    assert dataset.sequences.ids[2] == "dtrain0#2"


SCOPE = """>d1aaaa_ a.1.1.1 (A:) one
MKTA
>d1bbbb_ a.1.1.0 (B:) two
MKTC
>d1cccc_ b.2.1.3 (C:) three
MKTD
"""


def test_scope(tmp_path):
    fasta = tmp_path / "scope.fa"
    fasta.write_text(SCOPE)
    data = RemoteHomology(fasta, root=tmp_path)[0]
    assert data.fold.tolist() == [0, 0, 1]
    assert data.fold_names == ["a.1", "b.2"]
    assert data.family.tolist() == [0, -1, 1]
    assert data.family_names == ["a.1.1.1", "b.2.1.3"]
    labels = tmp_path / "labels.tsv"
    labels.write_text("domain\tfamily\tsplit\nd1cccc_\tb.2.1.9\ttrain\nd9\ta.1.1.1\tvalid\n")
    dataset = RemoteHomology(fasta, labels, root=tmp_path)
    assert dataset[0].family_names == ["b.2.1.9"]
    assert dataset.report["without_label"] == 2
    assert dataset.report["labels_without_sequence"] == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="for FASTA files"):
        RemoteHomology(tmp_path / "empty", labels, root=tmp_path)


def test_scope_with_a_fixed_split(benchmarks, tmp_path):
    fasta, labels = (benchmarks.file(f"scope40/{name}") for name in ("scope40.fasta", "labels.tsv"))
    dataset = RemoteHomology(fasta, labels, root=tmp_path)
    data = dataset[0]
    # Training, validation, test of families, test of superfamilies.
    sizes = [10817, 691, 783, 548] if benchmarks.whole else [3, 1, 2, 2]
    names = ("train_mask", "val_mask", "test_family_mask", "test_superfamily_mask")
    assert {mask: int(data[mask].sum()) for mask in MASKS if mask in data} == dict(
        zip(names, sizes, strict=True)
    )
    assert dataset.report["domains"] == len(dataset.sequences) == sum(sizes)
    # A superfamily of the superfamily test is not in training, its fold is.
    train, test = data.train_mask, data.test_superfamily_mask
    assert not set(data.superfamily[test].tolist()) & set(data.superfamily[train].tolist())
    assert set(data.fold[test].tolist()) <= set(data.fold[train].tolist())


def test_a_database_that_ends_its_reader_is_damaged(tmp_path):
    path = tmp_path / "remote_homology_train.lmdb"
    labels = {"fold_label": 0, "superfamily_label": 0, "family_label": 0}
    write_lmdb(path, [{"primary": "MKT" * 900, **labels}] * 9)
    # LMDB maps the file and is sure that all of it is there.
    os.truncate(path / "data.mdb", 3 * 4096)
    with pytest.raises(DataError, match=r"the LMDB database is damaged"):
        RemoteHomology(tmp_path, root=tmp_path)


def test_a_pickle_that_would_take_all_memory_is_refused():
    # A damaged byte names the place 1,879,048,191 of a table that is grown to it.
    with pytest.raises(UnpicklingError, match="names the place 1879048191 in 12 bytes"):
        inert_loads(b"\x80\x04}r\xff\xff\xff\x6fK\x01s.")
