"""What commands keep: counted and cleared by kind."""

from __future__ import annotations

import pytest

from lcplm_graph import data
from lcplm_graph.errors import DataError
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.files.kept import KINDS, clear, kept_folders, size_of
from lcplm_graph.models.composition import CompositionEncoder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path))
    for name, size in {
        "features/one/rows.npy": 100,
        "heads/LinkModel-1/model.safetensors": 20,
        "string_human/12.0/raw/links.txt.gz": 7,
        "string_human/12.0/processed/physical-700/data.safetensors": 5,
        "processed/PairPPI-1/data.safetensors": 6,
        "relatives/a.safetensors": 3,
        "mine/notes.txt": 9,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    (tmp_path / "features" / ".lock").write_bytes(b"123")
    return tmp_path


def _files(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_each_kind_is_counted(root):
    sizes = {kind: size_of(kept_folders(kind)) for kind in KINDS}
    assert sizes == {
        "features": (1, 100),
        "heads": (1, 20),
        "graphs": (2, 11),
        "walks": (0, 0),
        "corpora": (0, 0),
        "relatives": (1, 3),
        "fetched": (1, 7),
    }


def test_one_kind_goes_and_others_stay(root, capsys):
    before = _files(root)
    assert data.main(["clear", "graphs", "features", "graphs"]) == 0
    gone = set(before) - set(_files(root))
    assert gone == {
        "features/.lock",
        "features/one/rows.npy",
        "processed/PairPPI-1/data.safetensors",
        "string_human/12.0/processed/physical-700/data.safetensors",
    }
    assert "features   100 bytes freed" in capsys.readouterr().out
    assert not [path for path in root.rglob("*") if path.name.endswith(".cleared")]


def test_what_can_be_made_again_goes_and_what_was_fetched_stays(root):
    assert data.main(["clear", "made"]) == 0
    assert _files(root) == ["mine/notes.txt", "string_human/12.0/raw/links.txt.gz"]


def test_nothing_goes_if_one_word_is_wrong(root, capsys):
    before = _files(root)
    assert data.main(["clear", "features", "songs"]) == 1
    assert _files(root) == before
    assert "'songs' is not kept; known: made, features" in capsys.readouterr().err


def test_a_linked_folder_stays_linked(root, tmp_path_factory):
    away = tmp_path_factory.mktemp("scratch") / "features"
    (root / "features").rename(away)
    (root / "features").symlink_to(away)
    assert clear("features") == 100
    assert (root / "features").is_symlink() and list(away.iterdir()) == []


def test_what_a_killed_clearing_left_is_counted_and_goes_with_the_next(root):
    (root / "heads").rename(root / ".heads.cleared")
    assert size_of(kept_folders("heads")) == (1, 20)
    (root / "heads").mkdir()
    (root / "heads" / "new").write_bytes(b"12345")
    assert clear("heads") == 25
    assert _files(root / "heads") == [] and not (root / ".heads.cleared").exists()


def test_features_that_go_while_others_are_made_are_an_error(root):
    class Clears(CompositionEncoder):
        def embed(self, *args, **options):
            clear("features")
            return super().embed(*args, **options)

    with pytest.raises(DataError, match="features of 1 proteins were removed while others"):
        cached_embeddings("composition", ["MKV"])
        cached_embeddings(Clears(), ["MKV", "MKT"])


def test_the_table_names_all_kinds(root, capsys):
    assert data.main(["kept"]) == 0
    told = capsys.readouterr().out
    assert all(line.split()[0] in KINDS for line in told.splitlines()[1:8])
    assert str(root) in told
