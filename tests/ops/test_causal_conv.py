"""The convolution's kernel against its reference, and the reference against torch's conv1d."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from lcplm_graph.errors import InputError
from lcplm_graph.ops.causal_conv import causal_conv

RAGGED = torch.tensor([0, 1, 3, 6, 40, 103, 600], dtype=torch.int32)


def operands(channels: int, taps: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = {"x": (600, channels), "weight": (channels, taps), "bias": (channels,)}
    return {k: torch.randn(*s, generator=generator).to(dtype) for k, s in shapes.items()}


def gradients(tensors, weights, **options):
    leaves = {k: v.clone().requires_grad_() for k, v in tensors.items()}
    out = causal_conv(**leaves, cu_seqlens=RAGGED, **options)
    return out.detach(), torch.autograd.grad((out * weights).sum(), list(leaves.values()))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("channels", "taps"), [(32, 4), (24, 4), (16, 2), (16, 1), (16, 7)])
def test_kernel_equals_float64_reference(channels: int, taps: int, reverse: bool) -> None:
    tensors = operands(channels, taps)
    weights = torch.randn(600, channels, generator=torch.Generator().manual_seed(1))
    out, grads = gradients(tensors, weights, reverse=reverse, backend="numba")
    exact = {k: v.double() for k, v in tensors.items()}
    out64, grads64 = gradients(exact, weights.double(), reverse=reverse, backend="reference")
    torch.testing.assert_close(out.double(), out64, rtol=1e-5, atol=1e-5)
    for grad, grad64 in zip(grads, grads64, strict=True):
        assert float((grad - grad64).norm() / grad64.norm()) < 5e-6


def test_reference_equals_conv1d() -> None:
    t = operands(8, 4, torch.float64)
    expected = [
        F.silu(F.conv1d(F.pad(s.T[None], (3, 0)), t["weight"][:, None], t["bias"], groups=8)[0].T)
        for s in t["x"].split(RAGGED.diff().tolist())
    ]
    got = causal_conv(**t, cu_seqlens=RAGGED, backend="reference")
    torch.testing.assert_close(got, torch.cat(expected))


def test_reverse_is_forward_on_flipped_streams() -> None:
    t = operands(16, 4)
    flip = torch.cat([torch.arange(int(b) - 1, int(a) - 1, -1) for a, b in pairwise(RAGGED)])
    forward = causal_conv(t["x"][flip], t["weight"], t["bias"], cu_seqlens=RAGGED)
    reverse = causal_conv(**t, cu_seqlens=RAGGED, reverse=True)
    torch.testing.assert_close(reverse, forward[flip], rtol=0, atol=1e-6)


def test_spaced_rows_and_no_bias() -> None:
    t = operands(32, 4)
    wide = torch.cat([t["x"], t["x"]], dim=1)
    got = causal_conv(wide[:, :32], t["weight"], cu_seqlens=RAGGED)
    exact = causal_conv(
        t["x"].double(), t["weight"].double(), cu_seqlens=RAGGED, backend="reference"
    )
    torch.testing.assert_close(got.double(), exact, rtol=1e-5, atol=1e-5)


def test_bad_operands() -> None:
    t = operands(16, 4)
    with pytest.raises(InputError, match=r"bias must be of shape \(16,\)"):
        causal_conv(t["x"], t["weight"], t["bias"][:3], cu_seqlens=RAGGED)
    with pytest.raises(InputError, match="weight must be of shape"):
        causal_conv(t["x"], t["weight"][:8], None, cu_seqlens=RAGGED)
    with pytest.raises(InputError, match="x must be of shape"):
        causal_conv(t["x"][0], t["weight"], cu_seqlens=RAGGED)
    with pytest.raises(InputError, match="ends|number of tokens"):
        causal_conv(t["x"][:50], t["weight"], cu_seqlens=RAGGED)
