"""The Triton backend: any dtype up to float32, any number of channels and states."""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.backends import triton_supports
from lcplm_graph.ops.selective_scan.operands import ScanOperands


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, stateful: bool = False
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    return triton_supports(device, dtype, forced)


def run(operands: ScanOperands) -> tuple[Tensor, Tensor]:
    """Return output and last states; the kernels take float32 parameters, other operands as is."""
    from lcplm_graph.ops.selective_scan.triton_ops import scan_op

    x = operands.multiplied_out()
    zeros = x.A.new_zeros(len(x.A), dtype=torch.float32)
    out, last, _, _ = scan_op(
        x.u, x.delta, x.A.float(), x.B, x.C,
        zeros if x.D is None else x.D.float(),
        zeros if x.delta_bias is None else x.delta_bias.float(),
        x.residual, x.z, x.cu_seqlens,
        None if x.initial_state is None else x.initial_state.float(), x.reverse,
    )  # fmt: skip
    return out, last
