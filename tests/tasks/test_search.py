"""Search against brute force, and the layouts of embedding files."""

from __future__ import annotations

import re
import sys

import h5py
import numpy as np
import pytest

from lcplm_graph import search
from lcplm_graph.embed import main as embed
from lcplm_graph.errors import DataError, InputError
from lcplm_graph.features.precomputed import read_embeddings
from lcplm_graph.map import main as draw_map
from lcplm_graph.search import main
from lcplm_graph.tasks.search import EmbeddingIndex

FASTA = ">a\nMKTAYIAKQ\n>b\nGGSGGSGG\n>c\nMKTAYIAKW\n>d\nWWCCWWHH\n"


def test_neighbours_are_those_of_standardised_cosines():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 6)).astype(np.float32) * [1, 10, 1, 1, 1, 0] + 5
    queries = rng.normal(size=(4, 6)).astype(np.float32) + 5
    neighbours, cosine = EmbeddingIndex(values.astype(np.float32)).search(queries, 3)
    spread = values.std(0)
    spread[5] = np.inf
    z, q = (values - values.mean(0)) / spread, (queries - values.mean(0)) / spread
    full = (q @ z.T) / np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(z, axis=1))
    np.testing.assert_array_equal(neighbours, np.argsort(-full, axis=1)[:, :3])
    np.testing.assert_allclose(cosine, -np.sort(-full, axis=1)[:, :3], atol=1e-5)


@pytest.mark.parametrize("cells", [1, 40, 1 << 26])
@pytest.mark.parametrize("top", [1, 4, 20, 99])
def test_of_equally_near_the_first_come_first_whatever_is_searched_at_a_time(
    monkeypatch, cells, top
):
    monkeypatch.setattr("lcplm_graph.tasks.search._CELLS", cells)
    rng = np.random.default_rng(0)
    values = rng.integers(-1, 2, (20, 2)).astype(np.float32)  # many are equal
    queries = rng.integers(-1, 2, (7, 2)).astype(np.float32)
    index = EmbeddingIndex(values)
    neighbours, cosine = index.search(queries, top)
    every = np.stack([index._directions(one[None]) @ index.units.T for one in queries])[:, 0]
    for own, places, found in zip(every.round(5), neighbours, cosine, strict=True):
        np.testing.assert_array_equal(places, np.argsort(-own, kind="stable")[:top])
        np.testing.assert_allclose(found, own[places], atol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_equal_embeddings_have_no_neighbours(count):
    with pytest.raises(InputError, match="to search in are equal"):
        EmbeddingIndex(np.ones((count, 4), np.float32))


def test_layouts_of_string(tmp_path):
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file.create_group("metadata").attrs["version"] = "12.0"
        file["proteins"] = np.array([b"9606.A", b"9606.B"])
        file["embeddings"] = values
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file["species/4932/proteins"] = np.array([b"4932.Q"])
        file["species/4932/embeddings"] = values[:1]
    one = read_embeddings(tmp_path / "one.h5")
    assert one.ids == ["9606.A", "9606.B"]
    np.testing.assert_array_equal(one.values, values)
    assert read_embeddings(tmp_path / "all.h5", "4932").ids == ["4932.Q"]
    with pytest.raises(DataError, match="holds 1 species, for example 4932; name one"):
        read_embeddings(tmp_path / "all.h5")


@pytest.mark.parametrize("suffix", ["h5", "npz", "parquet"])
def test_command_finds_a_protein_itself(tmp_path, suffix, capsys):
    (tmp_path / "p.fasta").write_text(FASTA)
    db, out = tmp_path / f"db.{suffix}", tmp_path / "o.tsv"
    assert embed([str(tmp_path / "p.fasta"), "--encoder", "composition", "--out", str(db)]) == 0
    words = [str(tmp_path / "p.fasta"), "--db", str(db), "--out", str(out), "--top", "2"]
    assert main(words) == 0
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert rows[0] == ["query", "rank", "protein", "cosine"]
    assert [row[2] for row in rows[1:] if row[1] == "1"] == ["a", "b", "c", "d"]
    assert rows[2][2] == "c"


def test_an_engine_that_is_missing_is_told_before_the_work(made, capsys, monkeypatch):
    def embedded(*_):
        raise AssertionError

    monkeypatch.chdir(made)
    monkeypatch.setattr(search, "_queries", embedded)
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert main(["p.fasta", "--db", "mean.npz", "--engine", "faiss", "--out", "o.tsv"]) == 1
    assert "faiss is not installed; use the exact search" in capsys.readouterr().err


@pytest.fixture
def made(tmp_path):
    (tmp_path / "p.fasta").write_text(FASTA)
    for name, more in {
        "mean.npz": ["--encoder", "composition"],
        "max.h5": ["--encoder", "lcplm-1m", "--pool", "max"],
        "tiny.npz": ["--encoder", "lcplm-1m", "--pool", "mean"],
    }.items():
        assert embed([str(tmp_path / "p.fasta"), *more, "--out", str(tmp_path / name)]) == 0
    return tmp_path


@pytest.mark.parametrize(
    ("query", "more", "message"),
    [
        ("tiny.npz", ["--db", "mean.npz"], "are of different encoders"),
        ("tiny.npz", ["--db", "max.h5"], "are of different pools .mean and max"),
        ("p.fasta", ["--db", "tiny.npz", "--pool", "max"], "are of different pools .max and mean"),
        ("p.fasta", ["--db", "mean.npz", "--encoder", "dipeptide"], "another encoder than dipep"),
        ("mean.npz", ["--db", "mean.npz", "--encoder", "composition"], "--encoder means nothing"),
        ("mean.npz", ["--db", "mean.npz", "--device", "cpu"], "--device means nothing"),
        ("mean.npz", ["--db", "mean.npz", "--species", "9606"], "--species 9606 means nothing"),
        ("p.fasta", ["--db", "max.h5", "--species", "9606"], "--species 9606 means nothing"),
    ],
)
def test_what_cannot_be_compared_is_refused(made, capsys, monkeypatch, query, more, message):
    monkeypatch.chdir(made)
    assert main([query, *more, "--out", "o.tsv"]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (made / "o.tsv").exists()


def test_either_file_may_hold_several_species(made, monkeypatch):
    monkeypatch.chdir(made)
    given = read_embeddings("max.h5")
    with h5py.File("all.h5", "w") as file:
        file["species/9606/proteins"] = np.array(given.ids, "S")
        file["species/9606/embeddings"] = given.values
    for query, db in (("all.h5", "max.h5"), ("max.h5", "all.h5"), ("all.h5", "all.h5")):
        assert main([query, "--db", db, "--species", "9606", "--out", "o.tsv"]) == 0


def test_a_map_refuses_a_species_that_the_file_cannot_have(made, capsys):
    words = [str(made / "mean.npz"), "--species", "9606", "--out", str(made / "m.png")]
    assert draw_map(words) == 1
    assert "not a file of several species" in capsys.readouterr().err
