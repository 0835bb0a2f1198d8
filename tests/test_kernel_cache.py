"""Kernels need no home: a temporary folder stands in, and one that can be written is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lcplm_graph import kernel_cache
from lcplm_graph.errors import LcPlmWarning
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
