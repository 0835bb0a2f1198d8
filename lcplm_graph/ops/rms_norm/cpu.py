"""The Numba backend as `torch.library` custom ops with autograd; float32, widths of 16 k."""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.backends import numba_supports
from lcplm_graph.ops.arrays import flat, float32
from lcplm_graph.ops.checks import needs_grad
from lcplm_graph.ops.cpu_op import cpu_op
from lcplm_graph.ops.rms_norm.kernels import norm_backward, norm_forward
from lcplm_graph.ops.vector_ir import LANES
from lcplm_graph.process import use_torch_threads

BLOCKS = 32
"""Blocks of rows whose gradients of the weight are summed apart: fixed, whatever the threads."""


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, width: int = 16
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    if dtype != torch.float32:
        return False, f"computes in float32, the data are {str(dtype).removeprefix('torch.')}"
    if width % LANES:
        return False, f"takes widths that are a multiple of {LANES}, not {width}"
    return numba_supports(device, dtype)


def run(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Compute what the reference computes; bfloat16 is written as such if nothing needs grads."""
    matrix = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
    if dtype == torch.bfloat16 and not needs_grad(x, weight):
        return norm_to_bfloat16_op(matrix, weight, eps).view(x.shape)
    return norm_op(matrix, weight, eps)[0].view(x.shape)


@cpu_op("lcplm::rms_norm")
def norm_op(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the normed rows (T, d) and the factor of each row (T,)."""
    use_torch_threads()
    out, scale = float32(x.shape), float32(len(x))
    norm_forward(flat(x), flat(weight), eps, flat(out), flat(scale))
    return out, scale


@norm_op.register_fake
def _(x, weight, eps):
    return x.new_empty(x.shape), x.new_empty(x.shape[0])


@cpu_op("lcplm::rms_norm_to_bfloat16")
def norm_to_bfloat16_op(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return the normed rows, (T, d), bfloat16; without gradients."""
    use_torch_threads()
    out, scale = x.new_empty(x.shape, dtype=torch.bfloat16), float32(len(x))
    norm_forward(flat(x), flat(weight), eps, flat(out), flat(scale))
    return out


@norm_to_bfloat16_op.register_fake
def _(x, weight, eps):
    return x.new_empty(x.shape, dtype=torch.bfloat16)


@cpu_op("lcplm::rms_norm_backward")
def norm_backward_op(
    dout: Tensor, x: Tensor, weight: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Return dx and dweight."""
    use_torch_threads()
    dx, dweight = float32(x.shape), float32(BLOCKS, len(weight))
    norm_backward(flat(x), flat(weight), flat(scale), flat(dout), flat(dx), flat(dweight))
    return dx, dweight.sum(0)


@norm_backward_op.register_fake
def _(dout, x, weight, scale):
    return x.new_empty(x.shape), weight.new_empty(weight.shape)


def _setup_context(ctx, inputs, output):
    x, weight, _ = inputs
    ctx.save_for_backward(x, weight, output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx, dout, _dscale):
    return (*norm_backward_op(dout.contiguous(), *ctx.saved_tensors), None)


norm_op.register_autograd(_backward, setup_context=_setup_context)
