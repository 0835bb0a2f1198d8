"""HDF5 of others that is damaged holds nothing up and ends nothing."""

import os

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lcplm_graph import apart
from lcplm_graph.errors import DataError
from lcplm_graph.features.formats import Embeddings, info_of, writer_for
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


TWO = np.eye(2, dtype=np.float32)
WRONG = {
    "whole numbers as ids": (np.arange(2), TWO, "ids of embeddings are text"),
    "ids in a column": (np.array([["a"], ["b"]]), TWO, "ids of embeddings are text"),
    "an empty id": (np.array(["", "b"]), TWO, "id of row 0 is empty"),
    "complex numbers": (np.array(["a", "b"]), TWO * 1j, "not of numbers"),
    "dates": (np.array(["a", "b"]), np.zeros((2, 1), "M8[s]"), "not of numbers"),
    "no width": (np.array(["a", "b"]), TWO[:, :0], "not of numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_embedding_is_not_read_as_one(tmp_path, name):
    ids, values, message = WRONG[name]
    np.savez(tmp_path / "a.npz", ids=ids, embeddings=values)
    with pytest.raises(DataError, match=message):
        read_embeddings(tmp_path / "a.npz")


def test_ids_of_all_layouts_are_text(tmp_path):
    np.savez(tmp_path / "a.npz", ids=np.array([b"a", b"b"]), embeddings=TWO.astype(">f8"))
    assert read_embeddings(tmp_path / "a.npz").ids == ["a", "b"]
    for ids in ([1, 2], ["a", None], [b"\xff", b"b"]):
        pq.write_table(pa.table({"id": ids, "embedding": TWO.tolist()}), tmp_path / "a.parquet")
        with pytest.raises(DataError, match="ids of embeddings are text"):
            read_embeddings(tmp_path / "a.parquet")


def test_a_pipe_is_no_file_of_embeddings(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="a pipe or a device"):
        read_embeddings(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.H5", "a.Npz", "a.PARQUET"])
def test_suffixes_in_capitals_are_the_same_formats(tmp_path, name):
    values = np.ones((2, 3), np.float32)
    own = Embeddings(["P1", "P2"], values, np.arange(2), None, {"pool": "mean"})
    writer_for(name)(tmp_path / name, own)
    found = read_embeddings(tmp_path / name)
    assert list(found.ids) == ["P1", "P2"] and found.values.tolist() == own.values.tolist()
    assert info_of(tmp_path / name) == {"pool": "mean"}
