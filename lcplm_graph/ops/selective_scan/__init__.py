"""Selective scan (Mamba-1, Gu & Dao 2023) over packed streams, in either direction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.backends import choose_backend
from lcplm_graph.errors import BackendError, InputError
from lcplm_graph.ops.checks import check_floats, check_packed, check_shape
from lcplm_graph.ops.selective_scan.reference import selective_scan_reference

__all__ = ["selective_scan", "selective_scan_reference"]

OP = "selective_scan"


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
    residual: Tensor | None = None,
    z: Tensor | None = None,
    reverse: bool = False,
    initial_state: Tensor | None = None,
    return_last_state: bool = False,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Run a selective state-space model over every stream.

    With :math:`\Delta_t = \mathrm{softplus}(\delta_t + \mathrm{bias})`, per channel e and state n,

    .. math::
        h_t = \exp(\Delta_t A) h_{t-1} + \Delta_t u_t B_t, \qquad
        y_t = C_t h_t + D u_t + \mathrm{residual}_t,

    and the output is :math:`y_t`, or :math:`y_t \cdot \mathrm{silu}(z_t)` with a gate.  With
    `reverse` time runs from the last token of a stream to its first; nothing is flipped.
    Computed in float32 (float64 if given) whatever the input's dtype.

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
    residual : Tensor, shape=(T, E), optional
        Added before the gate: the other direction's output.
    z : Tensor, shape=(T, E), optional
        Gate.
    reverse : bool
    initial_state : Tensor, shape=(S, E, N), optional
        State before the first step (in scan order); for streaming inference, not differentiable.
    return_last_state : bool
        Also return the state after the last step.
    backend : str, optional
        See `lcplm_graph.backends`; chosen automatically if not given.

    Returns
    -------
    Tensor, shape=(T, E), or with `return_last_state` also Tensor, shape=(S, E, N)

    Raises
    ------
    InputError
        If a shape, dtype or device does not fit, or `cu_seqlens` does not partition the tokens.
    """
    _check(u, delta, A, B, C, D, cu_seqlens, delta_bias, residual, z, initial_state)
    stateful = initial_state is not None or return_last_state
    backend = choose_backend(OP, u, requested=backend, stateful=stateful)
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    tensors = [
        None if x is None else x.to(dtype)
        for x in (u, delta, A, B, C, D, delta_bias, residual, z, initial_state)
    ]
    *operands, initial = tensors
    if backend == "reference":
        out, last = selective_scan_reference(*operands, cu_seqlens, initial, reverse)
    elif backend == "numba":
        out, last = _numba(*operands, cu_seqlens, initial, reverse)
    elif backend == "mamba_ssm":
        from lcplm_graph.ops.selective_scan.mamba import selective_scan_mamba

        return selective_scan_mamba(*operands, cu_seqlens, reverse)
    else:
        raise BackendError(f"{OP} has no backend {backend!r}")
    return (out, last) if return_last_state else out


def _check(u, delta, A, B, C, D, cu_seqlens, delta_bias, residual, z, initial_state):
    if u.dim() != 2 or A.dim() != 2:
        raise InputError(
            f"u must be of shape (T, E) and A of shape (E, N), not {tuple(u.shape)} "
            f"and {tuple(A.shape)}"
        )
    tokens, channels = u.shape
    n_states = A.shape[1]
    check_packed(OP, cu_seqlens, u)
    streams = len(cu_seqlens) - 1
    shapes = {
        "delta": (delta, (tokens, channels)),
        "A": (A, (channels, n_states)),
        "B": (B, (tokens, n_states)),
        "C": (C, (tokens, n_states)),
        "D": (D, (channels,)),
        "delta_bias": (delta_bias, (channels,)),
        "residual": (residual, (tokens, channels)),
        "z": (z, (tokens, channels)),
        "initial_state": (initial_state, (streams, channels, n_states)),
    }
    check_floats(OP, u=u, **{name: tensor for name, (tensor, _) in shapes.items()})
    for name, (tensor, shape) in shapes.items():
        check_shape(OP, name, tensor, shape)


def _numba(u, delta, A, B, C, D, delta_bias, residual, z, cu_seqlens, initial, reverse):
    """Bring any shape into the form of the kernels: 16 channels at a time, at most 16 states."""
    from lcplm_graph.ops.selective_scan.cpu import STATE_COUNTS, scan_op

    channels = u.shape[1]
    D = u.new_zeros(channels) if D is None else D
    delta_bias = u.new_zeros(channels) if delta_bias is None else delta_bias
    if extra := -channels % 16:
        u, delta, D, delta_bias, residual, z = (
            None if x is None else F.pad(x, (0, extra))
            for x in (u, delta, D, delta_bias, residual, z)
        )
        A = F.pad(A, (0, 0, 0, extra))
        initial = None if initial is None else F.pad(initial, (0, 0, 0, extra))
    operands = (u, delta, A, B, C, D, delta_bias, residual, z, initial)
    save = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in operands)
    out, last_states, start, n_states = residual, [], 0, A.shape[1]
    while start < n_states:
        count = next(n for n in STATE_COUNTS if n <= n_states - start)
        part = slice(start, start + count)
        start += count
        out, _, _, last = scan_op(
            u, delta, A[:, part], B[:, part], C[:, part], D, delta_bias, out,
            z if start == n_states else None, cu_seqlens,
            None if initial is None else initial[:, :, part], reverse, save,
        )  # fmt: skip
        last_states.append(last)
        D = torch.zeros_like(D)
    last = last_states[0] if len(last_states) == 1 else torch.cat(last_states, dim=2)
    return (out[:, :channels], last[:, :channels]) if extra else (out, last)
