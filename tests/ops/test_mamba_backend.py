"""The mamba-ssm / causal-conv1d path, with stand-ins of those packages' documented semantics.

The real kernels need a GPU; what is tested here is everything around them: padding, reversal by
each stream's own length, and the order of residual and gate.
"""

from __future__ import annotations

import sys
import types

import pytest
import torch
import torch.nn.functional as F

from lcplm_graph import backends
from lcplm_graph.ops.causal_conv import causal_conv
from lcplm_graph.ops.causal_conv import mamba as conv_kernel
from lcplm_graph.ops.selective_scan import ScanOperands, selective_scan
from lcplm_graph.ops.selective_scan import mamba as scan_kernel

CU = torch.tensor([0, 1, 4, 23, 40], dtype=torch.int32)


def scan_stand_in(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """Padded (batch, channels, length) scan as mamba-ssm documents it."""
    dt = delta if delta_bias is None else delta + delta_bias[:, None]
    dt = F.softplus(dt) if delta_softplus else dt
    h = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    outputs = []
    for t in range(u.shape[2]):
        h = torch.exp(dt[:, :, t, None] * A) * h
        h = h + (dt[:, :, t] * u[:, :, t])[..., None] * B[:, None, :, t]
        outputs.append((h * C[:, None, :, t]).sum(-1))
    y = torch.stack(outputs, dim=2)
    y = y if D is None else y + D[:, None] * u
    return y if z is None else y * F.silu(z)


def conv_stand_in(x, weight, bias=None, activation=None):
    """Padded depthwise causal convolution as causal-conv1d documents it."""
    taps = weight.shape[1]
    y = F.conv1d(F.pad(x, (taps - 1, 0)), weight[:, None], bias, groups=x.shape[1])
    return F.silu(y) if activation == "silu" else y


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    interface = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = scan_stand_in
    conv = types.ModuleType("causal_conv1d")
    conv.causal_conv1d_fn = conv_stand_in
    for name, module in {
        "mamba_ssm": types.ModuleType("mamba_ssm"),
        "mamba_ssm.ops": types.ModuleType("mamba_ssm.ops"),
        "mamba_ssm.ops.selective_scan_interface": interface,
        "causal_conv1d": conv,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("with_gate", [False, True])
def test_scan(reverse: bool, with_residual: bool, with_gate: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    u, delta, residual, z = torch.randn(4, 40, 6, generator=generator, dtype=torch.float64)
    B, C = torch.randn(2, 40, 3, generator=generator, dtype=torch.float64)
    A = -torch.rand(6, 3, generator=generator, dtype=torch.float64)
    D, bias = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    residual = residual if with_residual else None
    z = z if with_gate else None
    operands = {
        "u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": bias,
        "residual": residual, "z": z, "cu_seqlens": CU, "reverse": reverse,
    }  # fmt: skip
    got, _ = scan_kernel.run(ScanOperands(**operands))
    expected = selective_scan(**operands, backend="reference")
    torch.testing.assert_close(got, expected)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("reverse", [False, True])
def test_conv(reverse: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    bias = torch.randn(6, generator=generator, dtype=torch.float64)
    got = conv_kernel.run(x, weight, bias, CU, reverse)
    expected = causal_conv(x, weight, bias, cu_seqlens=CU, reverse=reverse, backend="reference")
    torch.testing.assert_close(got, expected)


def test_says_what_the_kernels_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_installed", lambda _: "1.0")
    usable, reason = conv_kernel.supports("cuda", torch.float32, taps=5)
    assert not usable
    assert reason == "causal-conv1d computes 2 to 4 taps, not 5"
    assert conv_kernel.supports("cuda", torch.float32, taps=4)[0]
    assert scan_kernel.supports("cuda", torch.float32)[0]
    assert not scan_kernel.supports("cuda", torch.float32, stateful=True)[0]
    assert not scan_kernel.supports("cpu", torch.float32)[0]
