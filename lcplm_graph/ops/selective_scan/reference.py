"""The selective scan, written out step by step; every other backend is held to this one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.ops.selective_scan.operands import ScanOperands
from lcplm_graph.tokens.packing import check_cu_seqlens


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, stateful: bool = False
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    return True, "plain torch, step by step"


def run(operands: ScanOperands) -> tuple[Tensor, Tensor]:
    """Compute ``h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t`` and ``y_t = C_t h_t + D u_t``.

    Shapes and meaning as in `lcplm_graph.ops.selective_scan.selective_scan`; runs in float32, or
    in float64 if that is its input (use it for gradient checks).
    """
    x = operands.at_least_float32().multiplied_out()
    u, delta, A, B, C, cu_seqlens = x.u, x.delta, x.A, x.B, x.C, x.cu_seqlens
    check_cu_seqlens(cu_seqlens, len(u))
    bounds = cu_seqlens.tolist()
    dt = F.softplus(delta if x.delta_bias is None else delta + x.delta_bias)
    # unbind once: its backward is one stack, while indexing in the loop would be quadratic.
    steps = list(zip(u.unbind(0), dt.unbind(0), B.unbind(0), C.unbind(0), strict=True))
    outputs: list[Tensor] = [u.new_empty(0)] * len(steps)
    last_states = []
    for s in range(len(bounds) - 1):
        h = u.new_zeros(A.shape) if x.initial_state is None else x.initial_state[s]
        order = range(bounds[s], bounds[s + 1])
        for t in reversed(order) if x.reverse else order:
            u_t, dt_t, B_t, C_t = steps[t]
            h = torch.exp(dt_t[:, None] * A) * h + (dt_t * u_t)[:, None] * B_t[None, :]
            outputs[t] = h @ C_t
        last_states.append(h)
    y = torch.stack(outputs)
    if x.D is not None:
        y = y + x.D * u
    if x.residual is not None:
        y = y + x.residual
    if x.z is not None:
        y = y * F.silu(x.z)
    return y, torch.stack(last_states)
