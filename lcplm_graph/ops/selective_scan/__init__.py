"""Selective scan (Mamba-1, Gu & Dao 2023) over packed streams, in either direction."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.backends import choose_backend
from lcplm_graph.errors import InputError
from lcplm_graph.ops.checks import check_floats, check_packed, check_shape
from lcplm_graph.ops.selective_scan.reference import selective_scan_reference

__all__ = ["selective_scan", "selective_scan_reference", "selective_scan_stateful"]

OP = "selective_scan"


class _Operands(NamedTuple):
    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    delta_bias: Tensor | None
    residual: Tensor | None
    z: Tensor | None
    initial_state: Tensor | None
    delta_weight: Tensor | None


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
    backend: str | None = None,
) -> Tensor:
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
    operands = _checked(
        _Operands(u, delta, A, B, C, D, delta_bias, residual, z, None, delta_weight), cu_seqlens
    )
    backend = choose_backend(OP, u, requested=backend)
    if backend == "mamba_ssm":
        from lcplm_graph.ops.selective_scan.mamba import selective_scan_mamba

        operands = _multiplied_out(_at_least_float32(operands))
        return selective_scan_mamba(*operands[:9], cu_seqlens, reverse)
    return _run(operands, cu_seqlens, reverse, backend, overwrite=overwrite)[0]


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
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run `selective_scan` from given states and return the last ones: for streaming inference.

    Parameters
    ----------
    u, delta, A, B, C, D, cu_seqlens, delta_bias, delta_weight, residual, z, reverse, backend
        As in `selective_scan`.
    initial_state : Tensor, shape=(S, E, N), optional
        State before the first step, in scan order; not differentiable.

    Returns
    -------
    output : Tensor, shape=(T, E)
    last_state : Tensor, shape=(S, E, N)
        State after the last step, in scan order.
    """
    operands = _checked(
        _Operands(u, delta, A, B, C, D, delta_bias, residual, z, initial_state, delta_weight),
        cu_seqlens,
    )
    backend = choose_backend(OP, u, requested=backend, stateful=True)
    return _run(operands, cu_seqlens, reverse, backend, stateful=True)


def _checked(operands: _Operands, cu_seqlens: Tensor) -> _Operands:
    """Return the operands if shapes, dtypes and devices fit."""
    u, A = operands.u, operands.A
    if u.dim() != 2 or A.dim() != 2:
        raise InputError(
            f"{OP}: u must be of shape (T, E) and A of shape (E, N), not {tuple(u.shape)} "
            f"and {tuple(A.shape)}"
        )
    check_packed(OP, cu_seqlens, u)
    named = operands._asdict()
    check_floats(OP, **named)
    (tokens, channels), n_states = u.shape, A.shape[1]
    weight = operands.delta_weight
    if weight is not None and (weight.dim() != 2 or not weight.shape[1]):
        raise InputError(
            f"{OP}: delta_weight must be of shape (E, R) with R >= 1, not {tuple(weight.shape)}"
        )
    rank = channels if weight is None else weight.shape[1]
    shapes = {
        "delta": (tokens, rank),
        "delta_weight": (channels, rank),
        "A": (channels, n_states),
        "B": (tokens, n_states),
        "C": (tokens, n_states),
        "D": (channels,),
        "delta_bias": (channels,),
        "residual": (tokens, channels),
        "z": (tokens, channels),
        "initial_state": (len(cu_seqlens) - 1, channels, n_states),
    }
    for name, shape in shapes.items():
        check_shape(OP, name, named[name], shape)
    return operands


def _at_least_float32(operands: _Operands) -> _Operands:
    """Bring all operands to the dtype of the computation."""
    dtype = torch.float64 if operands.u.dtype == torch.float64 else torch.float32
    return _Operands(*(None if x is None else x.to(dtype) for x in operands))  # type: ignore[arg-type]


def _multiplied_out(operands: _Operands) -> _Operands:
    """Return operands without a `delta_weight`: it is applied to delta."""
    delta, weight = operands.delta, operands.delta_weight
    if weight is None:
        return operands
    delta = F.linear(delta.to(weight.dtype), weight)
    return operands._replace(delta=delta, delta_weight=None)


def _run(
    operands: _Operands, cu_seqlens: Tensor, reverse: bool, backend: str, *,
    stateful: bool = False, overwrite: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the output and, if `stateful`, the last states; else they may be empty."""
    if backend == "triton":
        return _triton(operands, cu_seqlens, reverse)
    operands = _at_least_float32(operands)
    if backend == "numba":
        return _numba(operands, cu_seqlens, reverse, stateful, overwrite)
    operands = _multiplied_out(operands)
    return selective_scan_reference(*operands[:9], cu_seqlens, operands.initial_state, reverse)


def _triton(operands: _Operands, cu_seqlens: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """Give the kernels float32 parameters; they read other operands in their own dtypes."""
    from lcplm_graph.ops.selective_scan.triton import scan_op

    u, delta, A, B, C, D, delta_bias, residual, z, initial, _ = _multiplied_out(operands)
    zeros = A.new_zeros(len(A), dtype=torch.float32)
    D = zeros if D is None else D.float()
    delta_bias = zeros if delta_bias is None else delta_bias.float()
    initial = None if initial is None else initial.float()
    return scan_op(
        u, delta, A.float(), B, C, D, delta_bias, residual, z, cu_seqlens, initial, reverse
    )


def _numba(
    operands: _Operands, cu_seqlens: Tensor, reverse: bool, stateful: bool, overwrite: bool
) -> tuple[Tensor, Tensor]:
    """Bring any shape into the form of the kernels: 16 channels at a time, at most 16 states."""
    from lcplm_graph.ops.selective_scan.cpu import STATE_COUNTS, from_lanes, scan_op, scan_over_op

    channels, n_states = operands.A.shape
    operands = _with_whole_vectors(operands)
    u, delta, A, B, C, D, delta_bias, residual, z, initial, delta_weight = operands
    D = u.new_zeros(u.shape[1]) if D is None else D
    delta_bias = u.new_zeros(u.shape[1]) if delta_bias is None else delta_bias
    save = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in operands)
    out, last_states, start = u, [], 0
    while start < n_states:
        count = next(n for n in STATE_COUNTS if n <= n_states - start)
        part = slice(start, start + count)
        start += count
        arguments = (
            u, delta, A[:, part], B[:, part], C[:, part], D, delta_bias, delta_weight, residual,
            z if start == n_states else None, cu_seqlens,
            None if initial is None else initial[:, :, part], reverse,
        )  # fmt: skip
        if overwrite and not save and start == n_states and u.is_contiguous():
            out, last = u, scan_over_op(*arguments)
        else:
            out, _, _, last = scan_op(*arguments, save)
        last_states.append(last)
        if start < n_states:
            # The parts of the sum over states are added up through the residual.
            residual, D = out, torch.zeros_like(D)
    out = out[:, :channels]
    if not stateful:
        return out, out.new_empty(0)
    return out, from_lanes(torch.cat(last_states, dim=2), u.shape[1])[:, :channels]


def _with_whole_vectors(operands: _Operands) -> _Operands:
    """Pad the channels to a multiple of 16."""
    extra = -operands.u.shape[1] % 16
    if not extra:
        return operands

    def columns(x: Tensor) -> Tensor:
        return F.pad(x, (0, extra))

    def rows(x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, extra))

    u, delta, A, B, C, D, delta_bias, residual, z, initial, delta_weight = operands
    return _Operands(
        columns(u), columns(delta) if delta_weight is None else delta, rows(A), B, C,
        *(None if x is None else columns(x) for x in (D, delta_bias, residual, z)),
        *(None if x is None else rows(x) for x in (initial, delta_weight)),
    )  # fmt: skip
