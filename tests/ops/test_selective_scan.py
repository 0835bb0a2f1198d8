"""The scan's kernel against its reference: values, every gradient, ragged streams."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lcplm_graph.errors import BackendError, InputError, UnknownNameError
from lcplm_graph.ops.selective_scan import selective_scan, selective_scan_stateful

RAGGED = torch.tensor([0, 1, 3, 6, 39, 102, 200], dtype=torch.int32)


def operands(channels: int, n_states: int, tokens: int = 200, dtype=torch.float32, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return {
        "u": normal(tokens, channels),
        "delta": normal(tokens, channels),
        "A": -normal(channels, n_states).abs() * 4 - 0.1,
        "B": normal(tokens, n_states),
        "C": normal(tokens, n_states),
        "D": normal(channels),
        "delta_bias": normal(channels),
        "residual": normal(tokens, channels),
        "z": normal(tokens, channels),
    }


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-30))


def gradients(tensors: dict[str, torch.Tensor], weights: torch.Tensor, **options):
    leaves = {k: v.clone().requires_grad_() for k, v in tensors.items()}
    out = selective_scan(**leaves, **options)
    grads = torch.autograd.grad((out * weights.to(out.dtype)).sum(), list(leaves.values()))
    return out.detach(), dict(zip(leaves, grads, strict=True))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("channels", "n_states"), [(32, 16), (24, 1), (40, 8), (16, 64), (16, 5), (144, 16)]
)
def test_kernel_equals_float64_reference(channels: int, n_states: int, reverse: bool) -> None:
    tensors = operands(channels, n_states)
    weights = torch.randn(200, channels, generator=torch.Generator().manual_seed(1))
    options = {"cu_seqlens": RAGGED, "reverse": reverse}
    out, grads = gradients(tensors, weights, backend="numba", **options)
    exact = {k: v.double() for k, v in tensors.items()}
    out64, grads64 = gradients(exact, weights, backend="reference", **options)
    assert relative(out, out64) < 2e-6
    for name in tensors:
        assert relative(grads[name], grads64[name]) < 1e-5, name


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("channels", "n_states", "rank"), [(144, 16, 9), (24, 5, 1), (40, 8, 48)])
def test_step_sizes_of_low_rank(channels: int, n_states: int, rank: int, reverse: bool) -> None:
    tensors = operands(channels, n_states)
    generator = torch.Generator().manual_seed(2)
    tensors["delta"] = torch.randn(200, rank + 3, generator=generator)[:, :rank]
    tensors["delta_weight"] = torch.randn(channels, rank, generator=generator) / rank**0.5
    weights = torch.randn(200, channels, generator=generator)
    options = {"cu_seqlens": RAGGED, "reverse": reverse}
    out, grads = gradients(tensors, weights, backend="numba", **options)
    exact = {k: v.double() for k, v in tensors.items()}
    out64, grads64 = gradients(exact, weights, backend="reference", **options)
    exact["delta"] = exact["delta"] @ exact.pop("delta_weight").T
    torch.testing.assert_close(out64, selective_scan(**exact, backend="reference", **options))
    assert relative(out, out64) < 2e-6
    for name in tensors:
        assert relative(grads[name], grads64[name]) < 1e-5, name


@pytest.mark.parametrize("left_out", ["D", "delta_bias", "residual", "z"])
def test_optional_operands(left_out: str) -> None:
    tensors = operands(16, 4)
    del tensors[left_out]
    weights = torch.randn(200, 16, generator=torch.Generator().manual_seed(1))
    out, grads = gradients(tensors, weights, backend="numba", cu_seqlens=RAGGED)
    exact = {k: v.double() for k, v in tensors.items()}
    out64, grads64 = gradients(exact, weights, backend="reference", cu_seqlens=RAGGED)
    assert relative(out, out64) < 2e-6
    for name in tensors:
        assert relative(grads[name], grads64[name]) < 1e-5, name


@pytest.mark.parametrize("reverse", [False, True])
def test_reference_gradcheck(reverse: bool) -> None:
    tensors = operands(3, 2, tokens=7, dtype=torch.float64)
    cu = torch.tensor([0, 1, 3, 7], dtype=torch.int32)
    leaves = [v.requires_grad_() for v in tensors.values()]

    def run(*args: torch.Tensor) -> torch.Tensor:
        named = dict(zip(tensors, args, strict=True))
        return selective_scan(**named, cu_seqlens=cu, reverse=reverse, backend="reference")

    assert torch.autograd.gradcheck(run, leaves)


def test_views_with_spaced_rows_are_read_in_place() -> None:
    tensors = operands(32, 16)
    wide = torch.cat([tensors["B"], tensors["C"], tensors["u"]], dim=1)
    views = {**tensors, "B": wide[:, :16], "C": wide[:, 16:32]}
    expected = selective_scan(**tensors, cu_seqlens=RAGGED)
    assert torch.equal(selective_scan(**views, cu_seqlens=RAGGED), expected)


def test_gradients_do_not_depend_on_threads() -> None:
    tensors = operands(160, 16, tokens=900)
    cu = torch.tensor([0, 5, 300, 310, 900], dtype=torch.int32)
    weights = torch.randn(900, 160, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(gradients(tensors, weights, cu_seqlens=cu, backend="numba"))
    finally:
        torch.set_num_threads(before)
    (out1, grads1), (out2, grads2) = results
    assert torch.equal(out1, out2)
    for name in tensors:
        assert torch.equal(grads1[name], grads2[name]), name


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("reverse", [False, True])
def test_state_carried_between_chunks_equals_the_whole(backend: str, reverse: bool) -> None:
    tensors = operands(24, 5, tokens=60)
    shared = {k: tensors.pop(k) for k in ("A", "D", "delta_bias")}
    whole = torch.tensor([0, 60], dtype=torch.int32)
    options = {"reverse": reverse, "backend": backend}
    expected, last = selective_scan_stateful(**tensors, **shared, cu_seqlens=whole, **options)
    parts, state = {}, None
    for part in [slice(40, 60), slice(0, 40)] if reverse else [slice(0, 40), slice(40, 60)]:
        cu = torch.tensor([0, part.stop - part.start], dtype=torch.int32)
        parts[part.start], state = selective_scan_stateful(
            **{k: v[part] for k, v in tensors.items()}, **shared, cu_seqlens=cu,
            initial_state=state, **options,
        )  # fmt: skip
    torch.testing.assert_close(torch.cat([parts[0], parts[40]]), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("channels", "n_states"), [(32, 16), (40, 5), (16, 20)])
def test_output_over_the_input_is_the_same(channels: int, n_states: int) -> None:
    tensors = operands(channels, n_states)
    expected = selective_scan(**tensors, cu_seqlens=RAGGED, reverse=True)
    given = tensors["u"].clone()
    leaf = given.clone().requires_grad_()
    kept = selective_scan(**{**tensors, "u": leaf}, cu_seqlens=RAGGED, reverse=True, overwrite=True)
    assert torch.equal(kept, expected)
    assert torch.equal(leaf, given)  # a gradient may be asked for
    out = selective_scan(**tensors, cu_seqlens=RAGGED, reverse=True, overwrite=True)
    assert torch.equal(out, expected)
    if channels % 16 == 0:
        assert out.data_ptr() == tensors["u"].data_ptr()
    spaced = torch.cat([given, given], dim=1)[:, :channels]
    out = selective_scan(
        **{**tensors, "u": spaced}, cu_seqlens=RAGGED, reverse=True, overwrite=True
    )
    assert torch.equal(out, expected)


def test_bfloat16_input_is_computed_in_float32() -> None:
    tensors = operands(16, 4)
    low = {k: v.bfloat16() for k, v in tensors.items()}
    exact = {k: v.double() for k, v in low.items()}
    out = selective_scan(**low, cu_seqlens=RAGGED)
    assert out.dtype == torch.float32
    assert relative(out, selective_scan(**exact, cu_seqlens=RAGGED, backend="reference")) < 2e-6


def test_extreme_step_sizes_stay_finite() -> None:
    tensors = operands(16, 16)
    tensors["delta"] *= 60
    out, grads = gradients(tensors, torch.ones(200, 16), cu_seqlens=RAGGED, backend="numba")
    exact = {k: v.double() for k, v in tensors.items()}
    assert relative(out, selective_scan(**exact, cu_seqlens=RAGGED, backend="reference")) < 1e-5
    assert all(torch.isfinite(g).all() for g in grads.values())


@pytest.mark.parametrize(
    ("cu", "message"),
    [
        ([0, 5, 5, 200], "increase strictly"),
        ([0, 9, 4, 200], "increase strictly"),
        ([0, 100], "from 0 to the number of tokens, 200"),
        ([1, 200], "from 0 to the number of tokens"),
        ([0], r"shape \(S \+ 1,\)"),
    ],
)
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_bad_boundaries(cu: list[int], message: str, backend: str) -> None:
    with pytest.raises(InputError, match=message):
        selective_scan(
            **operands(16, 4), cu_seqlens=torch.tensor(cu, dtype=torch.int32), backend=backend
        )


def test_bad_operands() -> None:
    good = operands(16, 4)
    with pytest.raises(InputError, match="must be int32"):
        selective_scan(**good, cu_seqlens=RAGGED.long())
    with pytest.raises(InputError, match=r"B must be of shape \(200, 4\)"):
        selective_scan(**{**good, "B": good["B"][:, :3]}, cu_seqlens=RAGGED)
    with pytest.raises(InputError, match=r"delta must be of shape \(200, 2\)"):
        selective_scan(**good, delta_weight=torch.zeros(16, 2), cu_seqlens=RAGGED)
    with pytest.raises(InputError, match="R >= 1"):
        selective_scan(**good, delta_weight=torch.zeros(16, 0), cu_seqlens=RAGGED)
    with pytest.raises(InputError, match="delta must be floating point"):
        selective_scan(**{**good, "delta": good["delta"].long()}, cu_seqlens=RAGGED)
    with pytest.raises(InputError, match="is on meta"):
        selective_scan(**{**good, "z": good["z"].to("meta")}, cu_seqlens=RAGGED)
    with pytest.raises(InputError, match="cu_seqlens is on meta"):
        selective_scan(**good, cu_seqlens=RAGGED.to("meta"))


def test_backends_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    good = operands(16, 4)
    with pytest.raises(UnknownNameError, match="known: auto"):
        selective_scan(**good, cu_seqlens=RAGGED, backend="fast")
    with pytest.raises(BackendError, match="mamba_ssm"):
        selective_scan(**good, cu_seqlens=RAGGED, backend="mamba_ssm")
    double = {k: v.double() for k, v in good.items()}
    with pytest.raises(BackendError, match="computes in float32"):
        selective_scan(**double, cu_seqlens=RAGGED, backend="numba")
    monkeypatch.setenv("LCPLM_BACKEND", "nonsense")
    with pytest.raises(UnknownNameError, match="nonsense"):
        selective_scan(**good, cu_seqlens=RAGGED)


def test_opcheck() -> None:
    from lcplm_graph.ops.selective_scan.cpu import scan_op, scan_over_op

    t = {k: v.requires_grad_() for k, v in operands(16, 4, tokens=20).items()}
    cu = torch.tensor([0, 3, 20], dtype=torch.int32)
    arguments = (
        t["u"], t["delta"], t["A"], t["B"], t["C"], t["D"], t["delta_bias"], None,
        t["residual"], t["z"],
        cu, None, True, True,
    )  # fmt: skip
    plain = [x.detach() if isinstance(x, torch.Tensor) else x for x in arguments[:-1]]
    torch.library.opcheck(
        scan_over_op.op, plain, test_utils=("test_schema", "test_autograd_registration")
    )
    torch.library.opcheck(
        scan_op.op,
        arguments,
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


def test_boundaries_are_known_by_their_values() -> None:
    from lcplm_graph.ops.arrays import streams_of

    cu = torch.tensor([0, 3, 9], dtype=torch.int32)
    known = streams_of(cu, 9)
    assert streams_of(cu.clone(), 9) is known
    lengths = known.derived(np.diff)
    assert lengths.tolist() == [3, 6]
    assert known.derived(np.diff) is lengths
    cu[1] = 4
    assert streams_of(cu, 9).cu.tolist() == [0, 4, 9]
    with pytest.raises(InputError, match="number of tokens, 10"):
        streams_of(cu, 10)
    with pytest.raises(InputError, match="must be int32"):
        streams_of(cu.long(), 9)


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("blocks", [1, 2, 10, 20, 24, 32, 48, 96])
def test_threads_share_the_channels_evenly(blocks: int, threads: int) -> None:
    from lcplm_graph.ops.selective_scan.cpu import job_width

    width = job_width(blocks, threads)
    assert blocks % width == 0
    jobs = blocks // width
    # Nobody has more than an eighth more to do than the average, if single vectors allow it.
    assert math.ceil(jobs / threads) <= max(1.125 * jobs / threads, math.ceil(blocks / threads))
