from __future__ import annotations

import numpy as np
import pytest

from lcplm_graph.errors import DataError
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.vocabulary import encode_residues
from lcplm_graph.walks.residues import ResidueTable


def store_of(*sequences):
    return SequenceStore.from_records([f"P{i}" for i in range(len(sequences))], sequences)


def test_rows_are_the_encoded_proteins():
    sequences = ["MKT", "mvlx", "ACDEFGHIK*", "M"]
    table = ResidueTable.from_store(store_of(*sequences))
    assert table.lengths.tolist() == [3, 4, 9, 1]
    for i, sequence in enumerate(sequences):
        row = table.tokens[table.offsets[i] : table.offsets[i + 1]]
        np.testing.assert_array_equal(row, encode_residues(sequence))
    assert len(table.tokens) == 17


def test_a_bad_letter_names_the_protein():
    with pytest.raises(ValueError, match="P1"):
        ResidueTable.from_store(store_of("MKT", "MK7"))


def test_saved_table_is_mapped(tmp_path):
    table = ResidueTable.from_store(store_of("MKT", "MV"))
    table.save(tmp_path / "residues")
    again = ResidueTable.open(tmp_path / "residues")
    assert isinstance(again.tokens, np.memmap)
    for one, other in zip(table, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_damaged_tables_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"tokens\.npy"):
        ResidueTable.open(tmp_path)
    ResidueTable.from_store(store_of("MKT", "MV")).save(tmp_path)
    np.save(tmp_path / "offsets.npy", np.array([0, 3, 6]))
    with pytest.raises(DataError, match="belong together"):
        ResidueTable.open(tmp_path)
    np.save(tmp_path / "offsets.npy", np.array([0.0, 5.0]))
    with pytest.raises(DataError, match="int64"):
        ResidueTable.open(tmp_path)
    (tmp_path / "tokens.npy").write_bytes(b"not numpy")
    with pytest.raises(DataError, match=r"tokens\.npy: cannot be read as an array"):
        ResidueTable.open(tmp_path)
