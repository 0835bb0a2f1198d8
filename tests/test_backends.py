"""One dispatcher: every operation is shown, forced and extended in the same way."""

from __future__ import annotations

import importlib.metadata
import types

import numpy as np
import pytest
import torch

from lcplm_graph import backends
from lcplm_graph.errors import BackendError, PluginError, UnknownNameError
from lcplm_graph.ops.causal_conv import causal_conv
from lcplm_graph.ops.random_walk import random_walk
from lcplm_graph.ops.random_walk.tables import make_graph, make_law
from lcplm_graph.ops.rms_norm import rms_norm
from lcplm_graph.ops.selective_scan import selective_scan

CU = torch.tensor([0, 1, 4], dtype=torch.int32)
PATH = make_graph(3, np.array([[0, 1], [1, 2]]))


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def scan(backend: str | None = None):
    u, states = rows(4, 16), rows(4, 2)
    return selective_scan(u, u, -rows(16, 2).abs(), states, states, cu_seqlens=CU, backend=backend)


def conv(backend: str | None = None):
    return causal_conv(rows(4, 16), rows(16, 3), cu_seqlens=CU, backend=backend)


def norm(backend: str | None = None):
    return rms_norm(rows(4, 16), rows(16), 1e-5, backend=backend)


def walk(backend: str | None = None):
    asked = {"seed": 0, "first": 0, "count": 5, "length": 4}
    return torch.from_numpy(random_walk(PATH, make_law(), backend=backend, **asked)[0])


OPS = {"selective_scan": scan, "causal_conv": conv, "rms_norm": norm, "random_walk": walk}
every_op = pytest.mark.parametrize("op", OPS)


def test_the_report_shows_every_operation() -> None:
    assert backends.operations() == tuple(OPS)
    chosen = [line.split()[:4] for line in backends.backend_report().splitlines() if "->" in line]
    assert chosen == [["cpu", op, "->", "numba"] for op in OPS]


@every_op
def test_the_argument_and_the_variable_choose_alike(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.testing.assert_close(OPS[op]("reference"), OPS[op]("numba"))
    ran = []
    reference = backends.KERNELS[f"{op}.reference"]
    run = reference.run
    monkeypatch.setattr(reference, "run", lambda *args: ran.append(op) or run(*args))
    OPS[op]("reference")
    monkeypatch.setenv("LCPLM_BACKEND", "reference")
    OPS[op]()
    OPS[op]("numba")
    assert ran == [op, op]


@every_op
def test_unknown_backends_are_refused(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="unknown backend 'fast'; known: auto, triton"):
        OPS[op]("fast")
    monkeypatch.setenv("LCPLM_BACKEND", "fast")
    with pytest.raises(UnknownNameError, match="unknown backend 'fast'"):
        OPS[op]()


def test_an_operation_without_such_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="random_walk here: it has numba, reference only"):
        walk("triton")
    # The variable is for all operations, so it cannot mean those that have nothing of the name.
    monkeypatch.setenv("LCPLM_BACKEND", "triton")
    walk()
    norm()


@every_op
def test_a_package_adds_a_kernel(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = types.ModuleType("their_kernel")
    reference, asked = backends.KERNELS[f"{op}.reference"], []

    def supports(device, dtype, *, forced=False, **traits):
        asked.append((device, forced))
        return True, "theirs 1.0"

    kernel.supports, kernel.run = supports, reference.run
    backends.KERNELS.add(f"{op}.theirs", kernel)
    try:
        assert backends.backends_of(op)[-2:] == ("theirs", "reference")
        torch.testing.assert_close(OPS[op]("theirs"), OPS[op]("reference"))
        assert asked[0] == ("cpu", True)
        monkeypatch.setenv("LCPLM_BACKEND", "theirs")
        assert backends.choose_kernel(op, None if op == "random_walk" else rows(1)) is kernel
    finally:
        backends.KERNELS.remove(f"{op}.theirs")
    with pytest.raises(UnknownNameError, match="theirs"):
        OPS[op]("theirs")


def test_a_broken_package_stands_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = importlib.metadata.EntryPoint("rms_norm.theirs", "not_there", "lcplm_graph.kernels")
    monkeypatch.setitem(backends.KERNELS._places, "rms_norm.theirs", broken)
    monkeypatch.setattr(backends.KERNELS, "changes", -1)
    assert norm().shape == (4, 16)
    status = backends.backend_status("rms_norm", "theirs", "cpu")
    assert not status.usable
    assert "cannot be imported from not_there" in status.reason
    with pytest.raises(PluginError, match="ModuleNotFoundError"):
        norm("theirs")


def test_the_norm_runs_pytorchs_own_where_its_kernel_cannot() -> None:
    assert backends.choose_backend("rms_norm", rows(1), width=20) == "torch"
    assert backends.choose_backend("rms_norm", rows(1).double(), width=16) == "torch"
    x, weight = rows(2, 3, 16), rows(16)
    expected = torch.nn.functional.rms_norm(x, (16,), weight, 1e-5)
    torch.testing.assert_close(rms_norm(x, weight, 1e-5), expected)
