"""Checks of the Triton convolution; see `triton_scan_checks.py`."""

from __future__ import annotations

import pytest
import torch

from lcplm_graph.ops.causal_conv import causal_conv
from lcplm_graph.ops.causal_conv.triton_ops import INTERPRETED, TOKENS, conv_op
from lcplm_graph.tokens.packing import cu_seqlens_of

DEVICE = "cpu" if INTERPRETED else "cuda"
LENGTHS = [1, 2, TOKENS - 1, TOKENS, TOKENS + 1, 2 * TOKENS + 1]


SOME_LENGTHS = [2, TOKENS + 1]


def operands(channels: int, taps: int, lengths=SOME_LENGTHS, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = {"x": (sum(lengths), channels), "weight": (channels, taps), "bias": (channels,)}
    return {k: torch.randn(*s, generator=generator).to(dtype) for k, s in shapes.items()}


def run(tensors, cu, reverse, backend, weights):
    leaves = {k: v.detach().clone().requires_grad_() for k, v in tensors.items()}
    out = causal_conv(**leaves, cu_seqlens=cu, reverse=reverse, backend=backend)
    grads = torch.autograd.grad((out * weights.to(out)).sum(), list(leaves.values()))
    return out.detach(), dict(zip(leaves, grads, strict=True))


def both(tensors, reverse: bool, lengths=SOME_LENGTHS):
    cu = cu_seqlens_of(lengths)
    weights = torch.randn(tensors["x"].shape, generator=torch.Generator().manual_seed(1))
    exact = {k: v.double() for k, v in tensors.items()}
    here = {k: v.to(DEVICE) for k, v in tensors.items()}
    got = run(here, cu.to(DEVICE), reverse, "triton", weights)
    return got, run(exact, cu, reverse, "reference", weights)


def assert_close(got, expected, grad_tolerance: float = 5e-6) -> None:
    torch.testing.assert_close(got[0].cpu().double(), expected[0], rtol=1e-5, atol=2e-6)
    for name, grad in got[1].items():
        exact = expected[1][name]
        assert float((grad.cpu() - exact).norm() / exact.norm()) < grad_tolerance, name


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("channels", "taps"), [(5, 4), (3, 1)] + [(300, 4)] * (not INTERPRETED))
def test_equals_float64_reference(channels: int, taps: int, reverse: bool) -> None:
    assert_close(*both(operands(channels, taps, LENGTHS), reverse, LENGTHS))


def test_without_bias() -> None:
    tensors = operands(3, 4)
    del tensors["bias"]
    assert_close(*both(tensors, reverse=False))


def test_bfloat16() -> None:
    got, expected = both(operands(3, 4, dtype=torch.bfloat16), reverse=True)
    assert got[0].dtype == torch.float32
    assert all(grad.dtype == torch.bfloat16 for grad in got[1].values())
    assert_close(got, expected, grad_tolerance=torch.finfo(torch.bfloat16).eps)


def test_same_bits_every_time_and_alone_or_packed() -> None:
    tensors = {k: v.to(DEVICE) for k, v in operands(3, 4).items()}
    cu = cu_seqlens_of(SOME_LENGTHS)
    weights = torch.randn(tensors["x"].shape).to(DEVICE)
    first, second = (run(tensors, cu.to(DEVICE), False, "triton", weights) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(first[1][name], second[1][name]) for name in tensors)
    begin, end = int(cu[-2]), int(cu[-1])
    single = {**tensors, "x": tensors["x"][begin:end]}
    single_cu = cu_seqlens_of([end - begin]).to(DEVICE)
    alone = run(single, single_cu, False, "triton", weights[begin:end])
    assert torch.equal(alone[0], first[0][begin:end])
    assert torch.equal(alone[1]["x"], first[1]["x"][begin:end])


def test_spaced_rows() -> None:
    t = {k: v.to(DEVICE) for k, v in operands(3, 4).items()}
    wide, cu = torch.cat([t["x"], t["x"]], dim=1), cu_seqlens_of(SOME_LENGTHS).to(DEVICE)
    got = causal_conv(wide[:, 3:], t["weight"], cu_seqlens=cu, backend="triton")
    expected = causal_conv(t["x"], t["weight"], cu_seqlens=cu, backend="triton")
    assert torch.equal(got, expected)


def test_opcheck() -> None:
    t = {k: v.to(DEVICE) for k, v in operands(2, 3).items()}
    t["x"] = t["x"][:5]
    leaves = [v.requires_grad_() for v in t.values()]
    torch.library.opcheck(conv_op.op, (*leaves, cu_seqlens_of([2, 3]).to(DEVICE), True))
