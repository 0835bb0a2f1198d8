"""The Triton backend: any dtype up to float32, any number of channels and taps."""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.backends import triton_supports


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, taps: int = 4
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    return triton_supports(device, dtype, forced)


def run(
    x: Tensor, weight: Tensor, bias: Tensor | None, cu_seqlens: Tensor, reverse: bool,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Compute what the reference computes; the kernel takes float32 parameters."""
    from lcplm_graph.ops.causal_conv.triton_ops import conv_op

    zeros = weight.new_zeros(len(weight), dtype=torch.float32)
    bias = zeros if bias is None else bias.float()
    return conv_op(x, weight.float(), bias, cu_seqlens, reverse)
