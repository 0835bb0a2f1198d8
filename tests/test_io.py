"""Files that cannot be written: one sentence, nothing left behind."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import time

import pytest
from filelock import FileLock, Timeout

from lcplm_graph.errors import ConfigError, LcPlmWarning, WriteError
from lcplm_graph.io import (
    atomic_path,
    claimed_name,
    copy_folder,
    forget_warnings,
    locked_folder,
    read_json,
    staged_files,
    waiting_lock,
    whole_folder,
    write_json,
    written,
)
from lcplm_graph.seeds import checked_seed


@pytest.mark.parametrize("write", [atomic_path, staged_files, whole_folder])
@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "only be read")],
)
def test_a_full_disk_is_told_with_the_place(tmp_path, write, number, reason):
    with (
        pytest.raises(WriteError, match=rf"cannot write .*x\.npz: .*{reason}"),
        write(tmp_path / "x.npz"),
    ):
        raise OSError(number, os.strerror(number))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("write", [atomic_path, locked_folder])
def test_a_path_through_a_file(tmp_path, write):
    (tmp_path / "file").touch()
    with (
        pytest.raises(WriteError, match="a file and no folder"),
        write(tmp_path / "file" / "x" / "y"),
    ):
        pass


def test_a_folder_is_copied_but_for_some_names(tmp_path):
    for name in ("a/x", "a/sub/y", "a/sub/old.npy", "b/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    copy_folder(tmp_path / "a", tmp_path / "b", without=("*.npy",))
    found = {str(p.relative_to(tmp_path / "b")) for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert found == {"x", "sub/y"} and (tmp_path / "b" / "x").read_text() == "a/x"
    (tmp_path / "b" / "x").unlink()
    (tmp_path / "b" / "x").symlink_to("/dev/full")
    with pytest.raises(WriteError, match="b: the disk is full"), written(tmp_path / "b"):
        copy_folder(tmp_path / "a", tmp_path / "b")


def test_who_waits_for_another_is_told(tmp_path):
    holds, ends = threading.Event(), threading.Event()

    def other():
        with locked_folder(tmp_path / "made"):
            holds.set()
            ends.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    holds.wait(30)
    forget_warnings()
    threading.Timer(0.5, ends.set).start()
    with (
        pytest.warns(LcPlmWarning, match="made: another process works there"),
        waiting_lock(tmp_path / "made" / ".lock", tmp_path / "made", patience=0.1),
    ):
        assert ends.is_set()
    thread.join()


def test_other_errors_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x"):
        (tmp_path / "none").read_text()
    with pytest.raises(OSError, match="no number"), atomic_path(tmp_path / "x"):
        raise OSError("no number")


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", None, 2**63])
def test_what_is_no_seed(seed):
    with pytest.raises(ConfigError, match="a seed is a whole number"):
        checked_seed(seed)


def test_what_a_killed_process_left_is_written_over(tmp_path):
    (tmp_path / ".x.part.txt").write_text("half")
    (tmp_path / ".m.part").mkdir()
    (tmp_path / ".m.part" / "half").touch()
    (tmp_path / ".m.part.lock").touch()
    with atomic_path(tmp_path / "x.txt") as temporary:
        temporary.write_text("whole")
    with whole_folder(tmp_path / "m") as made:
        (made / "a").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "x.txt"]
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["a"]


def test_two_that_write_one_file_do_not_meet(tmp_path):
    with atomic_path(tmp_path / "x") as first, atomic_path(tmp_path / "x") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "x").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_had_stepped_aside_comes_back(tmp_path):
    (tmp_path / ".m.old").mkdir()
    (tmp_path / ".m.old" / "a").touch()
    with pytest.raises(KeyError), whole_folder(tmp_path / "m"):
        raise KeyError
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["a"]


def _write_folders(path, letter, write):
    for _ in range(5):
        with write(path) as folder:
            for name in ("a", "b"):
                (folder / name).write_text(letter)


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path) -> None:
    file = tmp_path / "notes"
    file.write_text("mine")
    with pytest.raises(WriteError, match="is a file and no folder"), whole_folder(file):
        pass
    with pytest.raises(WriteError, match="is a file and no folder"), atomic_path(file / "a"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("write", [staged_files, whole_folder])
def test_files_of_two_writers_at_once_belong_to_one_of_them(tmp_path, monkeypatch, write):
    replace = os.replace
    monkeypatch.setattr("os.replace", lambda *a: (replace(*a), time.sleep(0.01)))
    run = multiprocessing.get_context("fork").Process
    writers = [run(target=_write_folders, args=(tmp_path / "m", x, write)) for x in "xy"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len({(tmp_path / "m" / name).read_text() for name in ("a", "b")}) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["a", "b"]


def test_json_holds_file_names_that_are_no_utf_8(tmp_path):
    content = {"file": os.fsdecode(b"net\xff.tsv"), "title": "Größe"}
    write_json(tmp_path / "a.json", content)
    assert "Größe" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json", "") == content


def test_a_folder_that_takes_no_file_is_no_endless_loop(tmp_path, monkeypatch):
    def busy(*args, **options):
        raise Timeout("lock")

    monkeypatch.setattr(FileLock, "acquire", busy)
    with pytest.raises(WriteError, match="it takes no file"), claimed_name(tmp_path, "x", ".part"):
        pass
