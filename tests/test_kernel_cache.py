"""Kernels need no home: a temporary folder stands in, and one that can be written is left alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numba
import pytest

from lcplm_graph import kernel_cache
from lcplm_graph.errors import LcPlmWarning
from lcplm_graph.guard import compiling_told, guarded
from lcplm_graph.io import forget_warnings


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(kernel_cache, "_usual_places", lambda: [tmp_path / "file" / "x"])
    # Root may write anywhere, so the answer is given here.
    monkeypatch.setattr(kernel_cache.os, "access", lambda *_: False)
    forget_warnings()
    yield
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)


def test_a_temporary_folder_stands_in(nowhere):
    with pytest.warns(LcPlmWarning, match="set NUMBA_CACHE_DIR"):
        kernel_cache.find_kernel_cache()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0
    kernel_cache.find_kernel_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)


def test_a_home_is_used(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(kernel_cache, "_usual_places", lambda: [tmp_path / "not" / "yet"])
    kernel_cache.find_kernel_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_a_home_that_may_not_be_looked_into_is_none(nowhere, monkeypatch, tmp_path):
    def refused(path, **_):
        if Path(path).is_relative_to(tmp_path / "file"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    real = os.stat
    monkeypatch.setattr(os, "stat", refused)
    assert not kernel_cache.can_write(tmp_path / "file" / "x")


def test_a_command_names_the_path_that_may_not_be_used(capsys):
    def action():
        raise PermissionError(13, "Permission denied", "/secret/a.fasta")

    assert guarded("embed", action) == 1
    told = "lcplm embed: /secret/a.fasta: permission denied; name a path that you may use\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("at_terminal", [True, False])
def test_compiling_is_told_once_and_only_at_a_terminal(
    at_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: at_terminal, raising=False)
    with compiling_told("toy"):
        for number in range(2):
            assert numba.njit(lambda x: x + 1)(number) == number + 1
    numba.njit(lambda x: x + 2)(1)
    printed = capsys.readouterr().err
    told = "lcplm toy: compiling kernels for this processor, which it does once\n"
    assert printed.replace("\r", "").strip(" ") == (told if at_terminal else "")
