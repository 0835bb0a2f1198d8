"""The Numba backend as `torch.library` custom ops with autograd.

Float32 on the CPU, a number of channels that is a multiple of 16.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.backends import numba_supports
from lcplm_graph.ops.arrays import flat, float32, rows, streams_of
from lcplm_graph.ops.causal_conv.gradients import register_gradients
from lcplm_graph.ops.causal_conv.kernels import ROWS, conv_backward, conv_forward
from lcplm_graph.ops.checks import at_least_float32, needs_grad
from lcplm_graph.ops.cpu_op import cpu_op
from lcplm_graph.ops.vector_ir import LANES
from lcplm_graph.process import use_torch_threads


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, taps: int = 4
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    return numba_supports(device, dtype)


def run(
    x: Tensor, weight: Tensor, bias: Tensor | None, cu_seqlens: Tensor, reverse: bool,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Compute what the reference computes, the channels padded to a multiple of 16.

    bfloat16 is read and written as such if nothing needs gradients.
    """
    low = x.dtype == dtype == torch.bfloat16 and not needs_grad(x, weight, bias)
    given = x
    x, weight, bias = at_least_float32(given[:0] if low else given, weight, bias)
    x = given if low else x
    channels = x.shape[1]
    if extra := -channels % LANES:
        x, weight, bias = (
            F.pad(x, (0, extra)), F.pad(weight, (0, 0, 0, extra)), F.pad(bias, (0, extra))
        )  # fmt: skip
        return conv_op(x, weight, bias, cu_seqlens, reverse)[:, :channels]
    return conv_op(x, weight, bias, cu_seqlens, reverse)


def _stream_of_jobs(cu: np.ndarray) -> np.ndarray:
    """Stream of the first token of every forward job."""
    return np.searchsorted(cu, np.arange(0, cu[-1], ROWS), side="right") - 1


@cpu_op("lcplm::causal_conv")
def conv_op(x: Tensor, weight: Tensor, bias: Tensor, cu_seqlens: Tensor, reverse: bool) -> Tensor:
    """Return ``silu(conv(x) + bias)``, (T, E), in the dtype of `x`: float32, or bfloat16."""
    use_torch_threads()
    out = x.new_empty(x.shape)
    streams = streams_of(cu_seqlens, len(x))
    conv_forward(
        (0,) * weight.shape[1], *rows(x), flat(weight.T), flat(bias),
        streams.derived(_stream_of_jobs), streams.cu, reverse, flat(out),
    )  # fmt: skip
    return out


@conv_op.register_fake
def _(x, weight, bias, cu_seqlens, reverse):
    return x.new_empty(x.shape)


@cpu_op("lcplm::causal_conv_backward")
def conv_backward_op(
    dout: Tensor, x: Tensor, weight: Tensor, bias: Tensor, cu_seqlens: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dx, dweight (E, K) and dbias."""
    use_torch_threads()
    channels, taps = weight.shape
    dx, dweight, dbias = float32(x.shape), float32(taps, channels), float32(channels)
    cu = streams_of(cu_seqlens, len(x)).cu
    conv_backward(
        (0,) * taps, *rows(x), flat(weight.T), flat(bias), cu, reverse,
        flat(dout), flat(dx), flat(dweight), flat(dbias),
    )  # fmt: skip
    return dx, dweight.T.contiguous(), dbias


register_gradients(conv_op, conv_backward_op)
