"""The norm's kernel against PyTorch's in float64: values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lcplm_graph.ops.rms_norm import rms_norm


def run(norm, x: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor) -> list[torch.Tensor]:
    leaves = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    out = norm(*leaves)
    return [out.detach(), *torch.autograd.grad((out * grad).sum(), leaves)]


def operands(rows: int, size: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (rows, size), (size,), (rows, size)
    return [torch.randn(*shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize(("rows", "size"), [(1, 16), (65, 48), (200, 320), (7, 20)])
def test_equals_float64(rows: int, size: int) -> None:
    tensors = operands(rows, size)
    exact = run(
        lambda x, w: F.rms_norm(x, (size,), w, 1e-5), *(tensor.double() for tensor in tensors)
    )
    for ours, theirs in zip(run(lambda x, w: rms_norm(x, w, 1e-5), *tensors), exact, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-6


def test_kernel_runs_on_the_cpu_unless_another_backend_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, weight, _ = operands(3, 16)
    weight.requires_grad_()

    def operations() -> str:
        node = rms_norm(x, weight, 1e-5).grad_fn
        return f"{node.name()} {[step.name() for step, _ in node.next_functions if step]}"

    assert "lcplm" in operations()
    monkeypatch.setenv("LCPLM_BACKEND", "reference")
    assert "lcplm" not in operations()


def test_rows_of_zeros_and_huge_rows() -> None:
    x = torch.stack([torch.zeros(32), torch.full((32,), 1e15)])
    out, dx, _ = run(lambda x, w: rms_norm(x, w, 1e-5), x, torch.ones(32), torch.ones(2, 32))
    torch.testing.assert_close(out[1], torch.ones(32))
    assert not out[0].any()
    assert torch.isfinite(dx).all()


def test_gradients_do_not_depend_on_threads() -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(run(lambda x, w: rms_norm(x, w, 1e-5), *operands(700, 64)))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_opcheck() -> None:
    from lcplm_graph.ops.rms_norm.cpu import norm_op

    x, weight, _ = operands(5, 32)
    torch.library.opcheck(
        norm_op.op,
        (x.requires_grad_(), weight.requires_grad_(), 1e-5),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )
