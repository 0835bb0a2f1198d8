"""Selective scan (Mamba-1, Gu & Dao 2023) over packed streams, in either direction.

The README beside has one table of operands and layouts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.backends import choose_kernel
from lcplm_graph.ops.selective_scan.operands import OP, ScanOperands

__all__ = ["ScanOperands", "selective_scan", "selective_scan_stateful"]


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    cu_seqlens: Tensor,
    delta_bias: Tensor | None = None,
    delta_weight: Tensor | None = None,
    residual: Tensor | None = None,
    z: Tensor | None = None,
    reverse: bool = False,
    overwrite: bool = False,
    dtype: torch.dtype | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""Run a selective state-space model over every stream.

    With :math:`\Delta_t = \mathrm{softplus}(\delta_t + \mathrm{bias})`, per channel e and state n,

    .. math::
        h_t = \exp(\Delta_t A) h_{t-1} + \Delta_t u_t B_t, \qquad
        y_t = C_t h_t + D u_t + \mathrm{residual}_t,

    and the output is :math:`y_t`, or :math:`y_t \cdot \mathrm{silu}(z_t)` with a gate.  With
    `reverse` time runs from the last token of a stream to its first; nothing is flipped.
    Computed in float32 (float64 if given) whatever the dtypes of input and output.

    Parameters
    ----------
    u, delta : Tensor, shape=(T, E)
        Input and step size before bias and softplus.
    A : Tensor, shape=(E, N)
        Negative decay rates.
    B, C : Tensor, shape=(T, N)
        Input and output projections of the state.
    D : Tensor, shape=(E,), optional
        Skip connection.
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
        Boundaries of the streams; state never crosses them.
    delta_bias : Tensor, shape=(E,), optional
    delta_weight : Tensor, shape=(E, R), optional
        With it `delta` is of shape (T, R), and step sizes are ``delta @ delta_weight.T``; kernels
        that can compute them on the way never hold them for all tokens.
    residual : Tensor, shape=(T, E), optional
        Added before the gate: the other direction's output.
    z : Tensor, shape=(T, E), optional
        Gate.
    reverse : bool
    overwrite : bool
        Let the output be written over `u`, which is lost then: less memory and time.  Without
        effect where a gradient is asked for, and with backends that cannot.
    dtype : torch.dtype, optional
        Of the output; by default that of the computation.
    backend : str, optional
        See `lcplm_graph.backends`; chosen automatically if not given.

    Returns
    -------
    Tensor, shape=(T, E)

    Raises
    ------
    InputError
        If a shape, dtype or device does not fit, or `cu_seqlens` does not partition the tokens.
    """
    operands = ScanOperands(
        u=u, delta=delta, A=A, B=B, C=C, D=D, cu_seqlens=cu_seqlens, delta_bias=delta_bias,
        delta_weight=delta_weight, residual=residual, z=z, reverse=reverse, overwrite=overwrite,
        dtype=dtype,
    )  # fmt: skip
    operands.check()
    out, _ = choose_kernel(OP, u, requested=backend).run(operands)
    return out if dtype is None else out.to(dtype)


def selective_scan_stateful(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    cu_seqlens: Tensor,
    initial_state: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_weight: Tensor | None = None,
    residual: Tensor | None = None,
    z: Tensor | None = None,
    reverse: bool = False,
    dtype: torch.dtype | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run `selective_scan` from given states and return the last ones: for streaming inference.

    Parameters
    ----------
    u, delta, A, B, C, D, cu_seqlens, delta_bias, delta_weight, residual, z, reverse, dtype, backend
        As in `selective_scan`.
    initial_state : Tensor, shape=(S, E, N), optional
        State before the first step, in scan order; not differentiable.

    Returns
    -------
    output : Tensor, shape=(T, E)
    last_state : Tensor, shape=(S, E, N)
        State after the last step, in scan order.
    """
    operands = ScanOperands(
        u=u, delta=delta, A=A, B=B, C=C, D=D, cu_seqlens=cu_seqlens, delta_bias=delta_bias,
        delta_weight=delta_weight, residual=residual, z=z, initial_state=initial_state,
        reverse=reverse, stateful=True, dtype=dtype,
    )  # fmt: skip
    operands.check()
    out, last = choose_kernel(OP, u, requested=backend, stateful=True).run(operands)
    return out if dtype is None else out.to(dtype), last
