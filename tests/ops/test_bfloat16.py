"""Kernels that read and write bfloat16: what float32 gives on the same operands, rounded once."""

from __future__ import annotations

import pytest
import torch

from lcplm_graph.ops.causal_conv import causal_conv
from lcplm_graph.ops.rms_norm import rms_norm
from lcplm_graph.ops.selective_scan import selective_scan, selective_scan_stateful

LOW = torch.bfloat16
RAGGED = torch.tensor([0, 1, 3, 6, 39, 102, 200], dtype=torch.int32)
ROUNDING = 2**-8
"""Half the spacing of bfloat16, relative to a number, at most."""


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(LOW)


def scan_operands(channels: int, rank: int) -> dict[str, torch.Tensor]:
    wide = normal(200, rank + 32)  # as a projection leaves them: rows apart
    delta, B, C = wide.split([rank, 16, 16], dim=1)
    return {
        "u": normal(200, channels, seed=1), "delta": delta, "B": B, "C": C,
        "A": -normal(channels, 16, seed=2).float().abs() * 4 - 0.1, "D": normal(channels, seed=3),
        "delta_bias": normal(channels, seed=4), "delta_weight": normal(channels, rank, seed=5),
        "residual": normal(200, channels, seed=6), "z": normal(200, 2 * channels)[:, channels:],
    }  # fmt: skip


def assert_rounded_once(low: torch.Tensor, exact: torch.Tensor) -> None:
    assert low.dtype == LOW
    difference = (low.double() - exact.double()).abs()
    assert bool((difference <= ROUNDING * exact.double().abs() * 1.01 + 1e-5).all())


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("channels", [32, 24])
@torch.no_grad()
def test_scan(channels: int, reverse: bool) -> None:
    tensors = scan_operands(channels, 3)
    options = {"cu_seqlens": RAGGED, "reverse": reverse}
    exact = selective_scan(**tensors, **options)
    assert exact.dtype == torch.float32
    before = tensors["u"].clone()
    assert_rounded_once(selective_scan(**tensors, dtype=LOW, **options), exact)
    assert torch.equal(tensors["u"], before)
    out, last = selective_scan_stateful(**tensors, dtype=LOW, **options)
    assert_rounded_once(out, exact)
    assert last.dtype == torch.float32
    torch.testing.assert_close(last, selective_scan_stateful(**tensors, **options)[1])
    over = selective_scan(**tensors, dtype=LOW, overwrite=True, **options)
    assert torch.equal(over, out)
    assert (over.data_ptr() == tensors["u"].data_ptr()) == (channels == 32)


@pytest.mark.parametrize("left_out", ["D", "delta_bias", "residual", "z"])
@torch.no_grad()
def test_scan_without(left_out: str) -> None:
    tensors = scan_operands(32, 3)
    del tensors[left_out]
    exact = selective_scan(**tensors, cu_seqlens=RAGGED)
    assert_rounded_once(selective_scan(**tensors, cu_seqlens=RAGGED, dtype=LOW), exact)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("channels", [32, 24])
@torch.no_grad()
def test_convolution(channels: int, reverse: bool) -> None:
    x, weight, bias = normal(200, channels), normal(channels, 4), normal(channels)
    options = {"cu_seqlens": RAGGED, "reverse": reverse}
    exact = causal_conv(x, weight, bias, **options)
    assert exact.dtype == torch.float32
    assert_rounded_once(causal_conv(x, weight, bias, dtype=LOW, **options), exact)


@torch.no_grad()
def test_norm_and_how_it_rounds() -> None:
    x, weight = normal(65, 48).float(), normal(48).float()
    exact = rms_norm(x, weight, 1e-5)
    # To nearest, ties to even, as torch rounds: the same bytes.
    assert torch.equal(rms_norm(x, weight, 1e-5, dtype=LOW), exact.to(LOW))
    x[3, 5] = torch.nan
    assert rms_norm(x, weight, 1e-5, dtype=LOW)[3].isnan().all()


def test_gradients_are_those_of_float32() -> None:
    x, weight = normal(65, 48).float().requires_grad_(), normal(48).float()
    y = normal(200, 32).requires_grad_()
    low = rms_norm(x, weight, 1e-5, dtype=LOW).float().sum()
    exact = rms_norm(x, weight, 1e-5).sum()
    torch.testing.assert_close(*(torch.autograd.grad(v, x)[0] for v in (low, exact)))
    low, exact = (
        causal_conv(y, normal(32, 4), cu_seqlens=RAGGED, dtype=d).float().sum() for d in (LOW, None)
    )
    assert torch.equal(*(torch.autograd.grad(v, y)[0] for v in (low, exact)))
