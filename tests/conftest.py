"""Shared fixtures and the switches of the test suite."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import file_server

# Before torch loads: waiting threads that spin starve the other test worker.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SHARED = Path(__file__).resolve().parents[2] / "shared"
STAND_INS = Path(__file__).resolve().parent / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch

        # Two workers with two spinning threads each would be slower than one.
        torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    import torch

    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def _own_data_root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """Keep tests away from the user's data root."""
    if "LCPLM_DATA" not in os.environ:
        root = tmp_path_factory.getbasetemp() / "lcplm-data"
        monkeypatch.setenv("LCPLM_DATA", str(root))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory of real data beside the checkout; tests that need it skip when it is absent."""
    path = SHARED / "data"
    if not path.is_dir():
        pytest.skip("the shared data directory is not beside this checkout")
    return path


class Benchmarks(NamedTuple):
    """A folder of benchmark files: our small stand-ins, or the whole files beside the checkout."""

    folder: Path
    whole: bool

    def file(self, name: str) -> Path:
        """Path of a file, whether packed (the whole ones) or plain (the stand-ins)."""
        packed = self.folder / f"{name}.gz"
        return packed if packed.is_file() else self.folder / name


@pytest.fixture(scope="session")
def stand_ins() -> Benchmarks:
    """The small files that come with the tests."""
    return Benchmarks(STAND_INS, whole=False)


@pytest.fixture(scope="session")
def whole_benchmarks(shared_data: Path) -> Benchmarks:
    """The whole files beside the checkout."""
    return Benchmarks(shared_data, whole=True)


@pytest.fixture(scope="session", params=["stand_ins", "whole_benchmarks"])
def benchmarks(request: pytest.FixtureRequest) -> Benchmarks:
    """Files of benchmarks, small and whole: a test that reads them runs on both."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """Directory of golden numbers beside the checkout."""
    path = SHARED / "golden"
    if not path.is_dir():
        pytest.skip("the shared golden directory is not beside this checkout")
    return path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[file_server.FileServer]:
    """An HTTP server on 127.0.0.1; retries wait no time."""
    monkeypatch.setattr("lcplm_graph.files.transport.BACKOFF_SECONDS", 0.0)
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
