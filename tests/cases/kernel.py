"""What every kernel keeps to: it says whether it can run, and computes what the reference does."""

from abc import ABC, abstractmethod

import pytest
import torch

from lcplm_graph.backends import KERNELS, backend_status, choose_backend
from lcplm_graph.errors import BackendError
from lcplm_graph.ops.causal_conv import causal_conv
from lcplm_graph.ops.rms_norm import rms_norm
from lcplm_graph.ops.selective_scan import selective_scan

RAGGED = torch.tensor([0, 1, 3, 40, 41, 90], dtype=torch.int32)
CHANNELS, STATES = 32, 16


def _norm(x, weight, *, backend):
    return rms_norm(x, weight, 1e-5, backend=backend)


def _conv(x, weight, bias, *, backend):
    ahead = causal_conv(x, weight, bias, cu_seqlens=RAGGED, backend=backend)
    back = causal_conv(x, weight, bias, cu_seqlens=RAGGED, reverse=True, backend=backend)
    return ahead + 2 * back


def _scan(u, delta, a, b, c, *, backend):
    step, decay = torch.nn.functional.softplus(delta), -a.exp()
    ahead = selective_scan(u, step, decay, b, c, cu_seqlens=RAGGED, backend=backend)
    back = selective_scan(u, step, decay, b, c, cu_seqlens=RAGGED, reverse=True, backend=backend)
    return (ahead[0] if isinstance(ahead, tuple) else ahead) + (
        2 * (back[0] if isinstance(back, tuple) else back)
    )


TOKENS = int(RAGGED[-1])
CALLS = {
    "rms_norm": (_norm, [(TOKENS, CHANNELS), (CHANNELS,)]),
    "causal_conv": (_conv, [(TOKENS, CHANNELS), (CHANNELS, 4), (CHANNELS,)]),
    "selective_scan": (
        _scan,
        [(TOKENS, CHANNELS), (TOKENS, CHANNELS), (CHANNELS, STATES), (TOKENS, STATES),
         (TOKENS, STATES)],
    ),
}  # fmt: skip


class KernelCase(ABC):
    """A kernel of an operation on tensors, on the CPU, forward and backward, ragged streams."""

    @pytest.fixture
    @abstractmethod
    def kernel(self) -> tuple[str, str]:
        """Operation and backend."""

    def test_it_has_run_and_says_why_it_can_run(self, kernel):
        module = KERNELS[".".join(kernel)]
        assert callable(module.run)
        status = backend_status(*kernel, "cpu")
        assert status.usable
        assert status.reason

    def test_it_is_never_silently_replaced(self, kernel):
        op, backend = kernel
        assert choose_backend(op, torch.zeros(2, 16), requested=backend) == backend
        if not backend_status(op, backend, "cpu", torch.float64).usable:
            with pytest.raises(BackendError, match=f"'{backend}' cannot run {op}"):
                choose_backend(op, torch.zeros(2, 16).double(), requested=backend)

    def test_it_computes_what_the_reference_computes(self, kernel):
        op, backend = kernel
        call, shapes = CALLS[op]
        generator = torch.Generator().manual_seed(0)
        given = [torch.randn(shape, generator=generator) for shape in shapes]
        outcomes = []
        for name, tensors in ((backend, given), ("reference", [t.double() for t in given])):
            leaves = [tensor.clone().requires_grad_() for tensor in tensors]
            out = call(*leaves, backend=name)
            upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
            outcomes.append(
                [out.detach(), *torch.autograd.grad((out * upstream.to(out.dtype)).sum(), leaves)]
            )
        for found, exact in zip(*outcomes, strict=True):
            assert float((found.double() - exact).norm() / exact.norm()) < 1e-5
