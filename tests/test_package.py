"""The package as a whole: import time, lazy names, the command line, files, backends."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch

import lcplm_graph
from lcplm_graph import backends, io
from lcplm_graph.__main__ import COMMANDS, main
from lcplm_graph.errors import LcPlmWarning, UnknownNameError
from lcplm_graph.moved import MOVED


def test_import_is_fast_and_light() -> None:
    code = (
        "import sys, time; t = time.process_time(); import lcplm_graph; "
        "dt = time.process_time() - t; "
        "heavy = {'transformers', 'torch_geometric', 'lightning'} & set(sys.modules); "
        "print(dt, sorted(heavy))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert all(run.stdout.split(maxsplit=1)[1].strip() == "[]" for run in runs)
    assert min(float(run.stdout.split()[0]) for run in runs) < 0.5


@pytest.mark.parametrize("name", lcplm_graph.__all__)
def test_public_names_exist(name: str) -> None:
    assert getattr(lcplm_graph, name) is not None
    assert name in dir(lcplm_graph)


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lcplm_graph.nothing  # noqa: B018


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_main(command: str) -> None:
    module = command.replace("-", "_")
    assert callable(importlib.import_module(f"lcplm_graph.{module}").main)


def test_command_line(capsys: pytest.CaptureFixture) -> None:
    assert main([]) == 0
    assert "usage: lcplm COMMAND" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["evalute"])
    assert "unknown command 'evalute', did you mean 'evaluate'?" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lcplm-graph {lcplm_graph.__version__}\n"
    main(["doctor"])
    printed = capsys.readouterr().out
    assert "selective_scan  -> numba" in printed
    assert "not mamba_ssm: mamba_ssm is not installed" in printed


def test_exit_status_is_that_of_the_command() -> None:
    command = [sys.executable, "-m", "lcplm_graph", "data", "show", "no-such-dataset"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no-such-dataset" in done.stderr
    assert "Traceback" not in done.stderr


def test_show_backends(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LCPLM_BACKEND", "reference")
    lcplm_graph.show_backends()
    assert "LCPLM_BACKEND=reference overrides" in capsys.readouterr().out


def test_slow_fallback_warns_once_by_name() -> None:
    io.forget_warnings()
    data = torch.zeros(1, dtype=torch.float64)
    with pytest.warns(LcPlmWarning, match="selective_scan runs its slow reference") as caught:
        assert backends.choose_backend("selective_scan", data) == "reference"
        assert backends.choose_backend("selective_scan", data) == "reference"
    assert len(caught) == 1


def test_kernels_use_torchs_threads_and_leave_them_alone() -> None:
    # A process of its own, because Numba's threads start once.
    code = """
import torch, numba
torch.set_num_threads(1)
from lcplm_graph.ops.causal_conv import causal_conv
cu = torch.tensor([0, 9], dtype=torch.int32)
for threads in (1, 1, 2, 2, 1):
    torch.set_num_threads(threads)
    causal_conv(torch.zeros(9, 16), torch.zeros(16, 4), cu_seqlens=cu)
    print(torch.get_num_threads(), numba.get_num_threads())
"""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == ["1 1", "1 1", "2 2", "2 2", "1 1"]


def test_forced_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    data = torch.zeros(1)
    assert backends.choose_backend("causal_conv", data) == "numba"
    monkeypatch.setenv("LCPLM_BACKEND", "reference")
    assert backends.choose_backend("causal_conv", data) == "reference"
    assert backends.choose_backend("causal_conv", data, requested="numba") == "numba"
    with pytest.raises(UnknownNameError, match="known: auto"):
        backends.choose_backend("causal_conv", data, requested="cuda")


def test_atomic_path_keeps_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), io.atomic_path(target) as path:
        path.write_text("half")
        1 / 0  # noqa: B018
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_tokenizing_is_importable_without_model_libraries() -> None:
    started = time.perf_counter()
    code = "import lcplm_graph.tokens.vocabulary, sys; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_old_module_names_still_import(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"lcplm_graph.{new}")
    spec = module.__spec__
    monkeypatch.delitem(sys.modules, f"lcplm_graph.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=f"lcplm_graph.{new}"):
        assert importlib.import_module(f"lcplm_graph.{old}") is module
    assert module.__spec__ is spec
    assert module.__name__ == f"lcplm_graph.{new}"


def test_no_folder_at_the_top_shadows_a_package() -> None:
    """A folder on sys.path is a package to Python: ours must not be Hugging Face's `datasets`."""
    root = Path(lcplm_graph.__file__).resolve().parents[1]
    code = "from importlib.machinery import PathFinder; "
    code += f"raise SystemExit(PathFinder.find_spec('datasets', [{str(root)!r}]) is not None)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_missing_is_installed_by_an_extra_of_ours() -> None:
    """Its versions are then those that the package is tested with."""
    root = Path(__file__).parents[1]
    extras = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    said = [
        name
        for path in (root / "lcplm_graph").rglob("*.py")
        for name in re.findall(r"pip install ([\w'\[.-]+)", path.read_text("utf-8"))
    ]
    assert said and {name.partition("[")[2] for name in said} <= set(extras), said
