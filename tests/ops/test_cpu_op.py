"""A custom op is a plain function exactly where nothing of torch watches the call."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lcplm_graph.ops.cpu_op import CpuOp

SEEN: list[int] = []


def _double(x: Tensor) -> Tensor:
    SEEN.append(x.data_ptr())
    return x + x


@pytest.fixture(scope="module")
def double() -> CpuOp:
    op = CpuOp("lcplm::test_double", _double)
    op.register_fake(lambda x: x.new_empty(x.shape))
    op.register_autograd(lambda ctx, dout: 2 * dout)
    return op


def test_without_gradients_the_function_itself_is_called(
    double: CpuOp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the op was called")

    monkeypatch.setattr(double, "op", fail)
    parameter = nn.Parameter(torch.ones(3))
    with torch.no_grad():
        assert double(parameter).tolist() == [2, 2, 2]
    assert double(torch.ones(2)).tolist() == [2, 2]
    with pytest.raises(AssertionError):
        double(parameter)


def test_gradients_flow(double: CpuOp) -> None:
    x = torch.ones(3, requires_grad=True)
    double(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2]


def test_fake_tensors_and_compilers_see_the_op(double: CpuOp) -> None:
    SEEN.clear()
    with FakeTensorMode() as mode:
        assert double(mode.from_tensor(torch.ones(5))).shape == (5,)
    exported = torch.export.export(_Doubles(double), (torch.ones(4),))
    assert "lcplm.test_double" in str(exported.graph)
    assert not SEEN


def test_transforms_are_refused_and_not_dropped(double: CpuOp) -> None:
    with pytest.raises(RuntimeError):
        torch.func.grad(lambda x: double(x).sum())(torch.ones(2))


class _Doubles(nn.Module):
    def __init__(self, double: CpuOp) -> None:
        super().__init__()
        self.double = double

    def forward(self, x: Tensor) -> Tensor:
        return self.double(x)
