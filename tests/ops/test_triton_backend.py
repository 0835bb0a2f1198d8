"""The Triton backend: its checks in a process of their own, when it is chosen, what it compiles to.

Triton decides at import whether it interprets, so the interpreter gets a fresh process; the checks
run in it are those that a CUDA device gets.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lcplm_graph.backends import backend_report, backend_status, choose_backend
from lcplm_graph.errors import BackendError
from lcplm_graph.ops.causal_conv import causal_conv

pytest.importorskip("triton")

HERE = Path(__file__).parent
CHECKS = [["triton_scan_checks.py"], ["triton_conv_checks.py", "triton_model_checks.py"]]


def run_checks(files: list[str], interpret: bool) -> None:
    """Run files of checks; fail with their output, or if anything was skipped."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment.pop("TRITON_INTERPRET", None)
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    command = [
        sys.executable,
        "-m",
        "pytest",
        *(str(HERE / name) for name in files),
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=HERE.parents[1], check=False
    )
    summary = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in summary
    assert "skipped" not in summary


@pytest.mark.parametrize("files", CHECKS)
def test_in_the_interpreter(files: list[str]) -> None:
    run_checks(files, interpret=True)


@pytest.mark.gpu
@pytest.mark.parametrize("files", CHECKS)
def test_on_a_device(files: list[str]) -> None:
    run_checks(files, interpret=False)


def test_never_chosen_on_the_cpu_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose_backend("selective_scan", torch.zeros(1)) == "numba"
    assert "not triton: runs on CUDA; on the CPU only by name" in backend_report()


def test_needs_the_interpreter_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cu = torch.tensor([0, 2], dtype=torch.int32)
    x, weight = torch.zeros(2, 4), torch.zeros(4, 3)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(BackendError, match="set TRITON_INTERPRET=1"):
        causal_conv(x, weight, cu_seqlens=cu, backend="triton")
    monkeypatch.setenv("LCPLM_BACKEND", "triton")
    with pytest.raises(BackendError, match="set TRITON_INTERPRET=1"):
        causal_conv(x, weight, cu_seqlens=cu)
    with pytest.raises(BackendError, match="float64"):
        causal_conv(x.double(), weight, cu_seqlens=cu)


def test_interpreter_switched_on_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    from lcplm_graph.ops.triton_math import INTERPRETED

    assert not INTERPRETED, "this process must not interpret"
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    cu = torch.tensor([0, 2], dtype=torch.int32)
    with pytest.raises(BackendError, match="before Python starts"):
        causal_conv(torch.zeros(2, 4), torch.zeros(4, 3), cu_seqlens=cu, backend="triton")


def test_preferred_on_cuda_where_the_device_can_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    assert backend_status("selective_scan", "triton", "cuda").usable
    assert not backend_status("selective_scan", "triton", "cuda", torch.float64).usable
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    status = backend_status("selective_scan", "triton", "cuda")
    assert not status.usable
    assert status.reason == "needs compute capability 8.0, the device has 7.5"
