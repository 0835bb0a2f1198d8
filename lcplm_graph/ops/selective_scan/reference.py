"""The selective scan, written out step by step; every other backend is held to this one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.tokens.packing import check_cu_seqlens


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    residual: Tensor | None,
    z: Tensor | None,
    cu_seqlens: Tensor,
    initial_state: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """Compute ``h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t`` and ``y_t = C_t h_t + D u_t``.

    Shapes and meaning as in `lcplm_graph.ops.selective_scan.selective_scan`; runs in the dtype of
    its input (use float64 for gradient checks).
    """
    check_cu_seqlens(cu_seqlens, len(u))
    bounds = cu_seqlens.tolist()
    dt = F.softplus(delta if delta_bias is None else delta + delta_bias)
    # unbind once: its backward is one stack, while indexing in the loop would be quadratic.
    steps = list(zip(u.unbind(0), dt.unbind(0), B.unbind(0), C.unbind(0), strict=True))
    outputs: list[Tensor] = [u.new_empty(0)] * len(steps)
    last_states = []
    for s in range(len(bounds) - 1):
        h = u.new_zeros(A.shape) if initial_state is None else initial_state[s]
        order = range(bounds[s], bounds[s + 1])
        for t in reversed(order) if reverse else order:
            u_t, dt_t, B_t, C_t = steps[t]
            h = torch.exp(dt_t[:, None] * A) * h + (dt_t * u_t)[:, None] * B_t[None, :]
            outputs[t] = h @ C_t
        last_states.append(h)
    y = torch.stack(outputs)
    if D is not None:
        y = y + D * u
    if residual is not None:
        y = y + residual
    if z is not None:
        y = y * F.silu(z)
    return y, torch.stack(last_states)
