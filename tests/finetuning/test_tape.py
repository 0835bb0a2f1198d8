"""TAPE's LMDB and JSON files as examples: what its published layout holds, and faults in it."""

from __future__ import annotations

import json
import pickle

import lmdb
import numpy as np
import pytest

from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.finetuning.from_tape import tape_examples
from lcplm_graph.tokens.masking import IGNORE


def write_lmdb(path, records, protocol=4):
    with lmdb.open(str(path), map_size=1 << 22) as db, db.begin(write=True) as transaction:
        for i, record in enumerate(records):
            transaction.put(str(i).encode(), pickle.dumps(record, protocol))
        transaction.put(b"num_examples", pickle.dumps(len(records), protocol))


def secondary(number: int, **changes):
    sequence = "MKTAYIAKQR"[: 6 + number % 4]
    length = len(sequence)
    record = {
        "id": f"d{number}".encode(), "primary": sequence, "protein_length": length,
        "evolutionary": np.ones((length, 20), np.float32), "valid_mask": np.ones(length, bool),
        "ss3": np.arange(length) % 3, "ss8": np.arange(length) % 8, "asa_max": np.ones(length),
    }  # fmt: skip
    return record | changes


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("level", [None, "ss8"])
def test_secondary_structure(protocol, level, tmp_path):
    for part, count in (("train", 8), ("valid", 3), ("cb513", 2), ("casp12", 1)):
        records = [secondary(i) for i in range(count)]
        write_lmdb(tmp_path / f"secondary_structure_{part}.lmdb", records, protocol)
    found = tape_examples(tmp_path, level)
    assert found.kind == "residue" and len(found) == 14
    classes = 8 if level else 3
    assert found.label_names == tuple(map(str, range(classes)))
    length = len(found.proteins.sequences[found.proteins.rows[1, 0]])
    assert found.labels[1].tolist() == [i % classes for i in range(length)]
    assert sorted(set(found.parts)) == ["test_casp12", "test_cb513", "train", "valid"]
    assert found.proteins.names[0] == "d0"


def test_residues_without_a_label_and_json(tmp_path):
    record = secondary(0, id="a", ss3=[0, 1, 2, -1, 1, 0])
    for name in ("evolutionary", "valid_mask", "ss8", "asa_max"):
        del record[name]
    for part in ("train", "valid", "cb513"):
        (tmp_path / f"secondary_structure_{part}.json").write_text(json.dumps([record]))
    assert tape_examples(tmp_path).labels[0].tolist() == [0, 1, 2, IGNORE, 1, 0]


@pytest.mark.parametrize(
    ("family", "field"), [("fluorescence", "log_fluorescence"), ("stability", "stability_score")]
)
def test_numbers_of_proteins(family, field, tmp_path):
    for part in ("train", "valid", "test"):
        records = [
            {"primary": "MKT" + "G" * i, "protein_length": 3 + i, "num_mutations": i,
             field: np.array([i / 2], np.float32), "id": str(i)}
            for i in range(4)
        ]  # fmt: skip
        write_lmdb(tmp_path / f"{family}_{part}.lmdb", records)
    found = tape_examples(tmp_path)
    assert found.kind == "regression" and found.label_names == (field,)
    np.testing.assert_allclose(found.labels, [0, 0.5, 1, 1.5] * 3)
    assert found.parts == ["train"] * 4 + ["valid"] * 4 + ["test"] * 4
    # One protein in several parts is one protein.
    assert len(found.proteins.sequences) == 4
    with pytest.raises(ConfigError, match=f"{family} has none"):
        tape_examples(tmp_path, "ss3")


def test_remote_homology(tmp_path):
    for part in ("train", "valid", "test_family_holdout"):
        records = [
            {"primary": "MKTAYI", "fold_label": 7 * i, "superfamily_label": i, "family_label": 1}
            for i in range(3)
        ]
        write_lmdb(tmp_path / f"remote_homology_{part}.lmdb", records)
    found = tape_examples(tmp_path)
    assert found.kind == "multiclass" and found.label_names == ("0", "7", "14")
    assert found.labels.tolist() == [0, 1, 2] * 3
    assert found.parts[-1] == "test_family_holdout"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ss3": np.zeros(3, int)}, r"record '1': 'ss3' has the shape \(3,\) for a protein of 7"),
        ({"ss3": np.full(7, 0.5)}, "holds no class numbers"),
        ({"ss3": np.array(list("HHHHHHH"))}, "missing or holds no numbers"),
        ({"ss3": None}, "'ss3' is missing"),
        ({"primary": ""}, "no sequence"),
    ],
)
def test_faults_are_named_with_file_and_record(changes, told, tmp_path):
    records = [secondary(0), secondary(1, **changes)]
    write_lmdb(tmp_path / "secondary_structure_train.lmdb", records)
    with pytest.raises(DataError, match=told) as caught:
        tape_examples(tmp_path)
    assert "secondary_structure_train.lmdb" in str(caught.value)


def test_a_folder_of_nothing_or_of_two_tasks(tmp_path):
    with pytest.raises(DataError, match="no secondary_structure_<part>"):
        tape_examples(tmp_path)
    for family in ("stability", "fluorescence"):
        (tmp_path / f"{family}_train.json").write_text("[]")
    with pytest.raises(DataError, match="files of fluorescence and of stability"):
        tape_examples(tmp_path)
