"""Checks of the Triton scan, on a CUDA device or in Triton's interpreter.

Run by `test_triton_backend.py` in a process of its own, because Triton decides at import whether
it interprets.  By hand: ``TRITON_INTERPRET=1 pytest tests/ops/triton_scan_checks.py``.
"""

from __future__ import annotations

import pytest
import torch
from test_selective_scan import operands, relative

from lcplm_graph.errors import InputError
from lcplm_graph.ops.selective_scan import selective_scan, selective_scan_stateful
from lcplm_graph.ops.selective_scan.triton_ops import INTERPRETED, ROWS, TOKENS, scan_op
from lcplm_graph.tokens.packing import cu_seqlens_of

DEVICE = "cpu" if INTERPRETED else "cuda"
# One, two, around what is loaded at once, around a tile, several tiles.
AROUND = {size + more for size in (ROWS, TOKENS) for more in (-1, 0, 1)}
LENGTHS = sorted({1, 2, 2 * TOKENS + 1} | AROUND)
# More channels than one program takes, not a multiple of anything.
SHAPES = [(5, 2)] if INTERPRETED else [(5, 2), (300, 16), (24, 1), (32, 64)]
# A device's exp2 is an approximation.
TOLERANCE = 1e-6 if INTERPRETED else 5e-6
PER_TOKEN = ("u", "delta", "B", "C", "residual", "z")


def run(tensors, cu, backend, weights, initial=None, reverse=False):
    """Output, last states and all gradients."""
    leaves = {k: v.detach().clone().requires_grad_() for k, v in tensors.items()}
    out, last = selective_scan_stateful(
        **leaves, cu_seqlens=cu, initial_state=initial, reverse=reverse, backend=backend
    )
    grads = torch.autograd.grad((out * weights.to(out.dtype)).sum(), list(leaves.values()))
    return out.detach(), last.detach(), dict(zip(leaves, grads, strict=True))


def both(tensors, lengths, initial=None, reverse=False):
    """Results of the kernel, and of the reference in float64."""
    cu = cu_seqlens_of(lengths)
    shape = tensors["u"].shape
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    exact = {k: v.double() for k, v in tensors.items()}
    initial64 = None if initial is None else initial.double()
    expected = run(exact, cu, "reference", weights, initial64, reverse)
    here = {k: v.to(DEVICE) for k, v in tensors.items()}
    initial = None if initial is None else initial.to(DEVICE)
    got = run(here, cu.to(DEVICE), "triton", weights.to(DEVICE), initial, reverse)
    return got, expected


def assert_close(got, expected, grad_tolerance: float = 5 * TOLERANCE) -> None:
    (out, last, grads), (out64, last64, grads64) = got, expected
    assert out.dtype == last.dtype == torch.float32
    assert relative(out.cpu(), out64) < TOLERANCE
    assert relative(last.cpu(), last64) < TOLERANCE
    for name, grad in grads.items():
        assert relative(grad.cpu(), grads64[name]) < grad_tolerance, name


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("channels", "n_states"), SHAPES)
def test_equals_float64_reference(channels: int, n_states: int, reverse: bool) -> None:
    tensors = operands(channels, n_states, tokens=sum(LENGTHS))
    initial = torch.randn(len(LENGTHS), channels, n_states)
    assert_close(*both(tensors, LENGTHS, initial, reverse))


@pytest.mark.parametrize(
    "left_out", [["D", "residual"], ["delta_bias", "z"], ["D", "delta_bias", "residual", "z"]]
)
def test_optional_operands(left_out: list[str]) -> None:
    tensors = operands(3, 2, tokens=TOKENS + 2)
    for name in left_out:
        del tensors[name]
    assert_close(*both(tensors, [TOKENS + 2], reverse="D" in left_out))


def test_low_precision_operands_are_computed_in_float32() -> None:
    kinds = [torch.bfloat16, torch.float16]
    tensors = operands(3, 2, tokens=TOKENS + 3)
    tensors = {k: v.to(kinds[i % 2]) for i, (k, v) in enumerate(tensors.items())}
    got, expected = both(tensors, [1, TOKENS + 2])
    assert all(grad.dtype == tensors[name].dtype for name, grad in got[2].items())
    assert_close(got, expected, grad_tolerance=torch.finfo(torch.bfloat16).eps)


def test_strong_and_weak_decays_stay_accurate() -> None:
    tensors = operands(3, 2, tokens=2 * TOKENS)
    tensors["delta"] = tensors["delta"] * 60
    got, expected = both(tensors, [2 * TOKENS])
    assert all(torch.isfinite(grad).all() for grad in got[2].values())
    assert_close(got, expected, grad_tolerance=2e-5)


def test_same_bits_every_time_and_alone_or_packed() -> None:
    lengths = [2, TOKENS + 1]
    tensors = {k: v.to(DEVICE) for k, v in operands(3, 2, tokens=sum(lengths)).items()}
    cu = cu_seqlens_of(lengths)
    weights = torch.randn(sum(lengths), 3).to(DEVICE)
    first, second = (run(tensors, cu.to(DEVICE), "triton", weights) for _ in range(2))
    assert torch.equal(first[0], second[0])
    for name in tensors:
        assert torch.equal(first[2][name], second[2][name]), name
    begin, end = int(cu[1]), int(cu[2])
    single = {k: v[begin:end] if k in PER_TOKEN else v for k, v in tensors.items()}
    alone = run(single, cu_seqlens_of([end - begin]).to(DEVICE), "triton", weights[begin:end])
    assert torch.equal(alone[0], first[0][begin:end])
    for name in PER_TOKEN:
        assert torch.equal(alone[2][name], first[2][name][begin:end]), name


@pytest.mark.parametrize("reverse", [False, True])
def test_state_carried_between_windows_equals_the_whole(reverse: bool) -> None:
    length, cut = TOKENS + 4, TOKENS + 1
    tensors = {k: v.to(DEVICE) for k, v in operands(3, 2, tokens=length).items()}
    options = {"reverse": reverse, "backend": "triton"}
    expected, last = selective_scan_stateful(
        **tensors, cu_seqlens=cu_seqlens_of([length]).to(DEVICE), **options
    )
    windows = [slice(0, cut), slice(cut, length)]
    outputs, state = {}, None
    for window in reversed(windows) if reverse else windows:
        part = {k: v[window] if k in PER_TOKEN else v for k, v in tensors.items()}
        cu = cu_seqlens_of([window.stop - window.start]).to(DEVICE)
        outputs[window.start], state = selective_scan_stateful(
            **part, cu_seqlens=cu, initial_state=state, **options
        )
    torch.testing.assert_close(torch.cat([outputs[0], outputs[cut]]), expected)
    torch.testing.assert_close(state, last)


def test_views_with_spaced_rows_are_read_in_place() -> None:
    tensors = {k: v.to(DEVICE) for k, v in operands(3, 2, tokens=TOKENS + 1).items()}
    names = ("u", "delta", "residual", "z", "B", "C")
    wide = torch.cat([tensors[name] for name in names], dim=1)
    views = dict(zip(names, wide.split([3, 3, 3, 3, 2, 2], dim=1), strict=True))
    cu = cu_seqlens_of([TOKENS + 1]).to(DEVICE)
    got = selective_scan(**{**tensors, **views}, cu_seqlens=cu, backend="triton")
    assert torch.equal(got, selective_scan(**tensors, cu_seqlens=cu, backend="triton"))


def test_bad_boundaries() -> None:
    tensors = {k: v.to(DEVICE) for k, v in operands(3, 2, tokens=6).items()}
    cu = torch.tensor([0, 4, 4, 6], dtype=torch.int32, device=DEVICE)
    with pytest.raises(InputError, match="increase strictly"):
        selective_scan(**tensors, cu_seqlens=cu, backend="triton")


def test_opcheck() -> None:
    t = {k: v.to(DEVICE).requires_grad_() for k, v in operands(2, 1, tokens=3).items()}
    cu = cu_seqlens_of([1, 2]).to(DEVICE)
    torch.library.opcheck(scan_op.op, (*t.values(), cu, None, True))
