"""Fixtures of the dataset tests: a file server, and cards that point at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import file_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[file_server.FileServer]:
    """An HTTP server on 127.0.0.1; retries wait no time."""
    monkeypatch.setattr("lcplm_graph.datasets.transport.BACKOFF_SECONDS", 0.0)
    monkeypatch.delenv("LCPLM_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with file_server.running() as running:
        yield running


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root."""
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "data"))
    return tmp_path / "data"
