"""HDF5 of others that is damaged holds nothing up and ends nothing."""

import h5py
import numpy as np
import pytest

from lcplm_graph import apart
from lcplm_graph.errors import DataError
from lcplm_graph.features.formats import info_of
from lcplm_graph.features.precomputed import read_embeddings


def write(path, rows=2):
    with h5py.File(path, "w") as file:
        file["proteins"] = [b"9.a", b"9.b"]
        file.create_dataset("embeddings", (rows, 4), np.float32, chunks=(2, 4))
    return path


def test_what_takes_too_long_is_damaged(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5")
    assert read_embeddings(path).ids == ["9.a", "9.b"]
    monkeypatch.setattr(apart, "_SECONDS", 0.0)
    with pytest.raises(DataError, match=r"a\.h5: damaged: it cannot be read within 0 s"):
        read_embeddings(path)


def test_how_a_file_was_made_is_unknown_where_it_takes_too_long(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs["encoder"] = "composition"
    assert info_of(path) == {"encoder": "composition"}
    monkeypatch.setattr(apart, "_SECONDS", 0.0)
    assert info_of(path) is None


def test_what_promises_more_than_it_holds_is_damaged(tmp_path):
    with pytest.raises(DataError, match=r"'embeddings' promises 16,000,000,000,000 bytes"):
        read_embeddings(write(tmp_path / "a.h5", rows=10**12))
