"""The registry: ours, those of installed packages, and what happens when one is broken."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from lcplm_graph import io
from lcplm_graph.errors import LcPlmWarning, PluginError, UnknownNameError
from lcplm_graph.registry import Registry

GROUP = "lcplm_graph.tests"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a package that has these entry points, as pip would: its metadata on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def installed(package: str, entries: dict[str, str], code: str = "") -> None:
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {place}" for name, place in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, module, raising=False)

    io.forget_warnings()
    return installed


def test_an_installed_package_adds_by_its_metadata_alone(install) -> None:
    install("their-things", {"theirs": "their_things:value"}, "value = 7")
    registry: Registry[float] = Registry("thing", GROUP, ours="math:tau")
    assert registry.names() == ("ours", "theirs")
    assert "their_things" not in sys.modules
    assert registry["theirs"] == 7
    assert registry.is_ours("ours")
    assert not registry.is_ours("theirs")


def test_ours_stays_where_a_name_is_taken(install) -> None:
    install("their-things", {"ours": "their_things:value"}, "value = 7")
    registry: Registry[float] = Registry("thing", GROUP, ours="math:e")
    with pytest.warns(LcPlmWarning, match="'ours' of the package their-things is left out"):
        assert registry["ours"] == pytest.approx(2.71828, abs=1e-5)


def test_a_broken_package_is_named_and_harms_no_other(install) -> None:
    install("broken-things", {"theirs": "broken_things:value"}, "raise OSError('no disk')")
    registry: Registry[float] = Registry("thing", GROUP, ours="math:pi")
    assert registry["ours"] > 3
    with pytest.raises(PluginError, match=r"broken-things cannot be imported .*: OSError: no disk"):
        registry["theirs"]


def test_unknown_names_and_names_twice() -> None:
    registry: Registry[float] = Registry("thing", GROUP, ours="math:pi")
    with pytest.raises(UnknownNameError, match="unknown thing 'other'; known: ours"):
        registry["other"]
    registry.add("more", 1.0)
    registry.add("place", "math:inf")
    assert registry["more"] == 1.0
    assert registry["place"] == float("inf")
    for name in ("ours", "more", "place"):
        with pytest.raises(PluginError, match="already"):
            registry.add(name, 2.0)
    registry.remove("more")
    assert registry.names() == ("ours", "place")
