"""The Numba backend as `torch.library` custom ops with autograd.

Float32 on the CPU, any number of channels that is a multiple of 16, and 1, 2, 4, 8 or 16 states;
`lcplm_graph.ops.selective_scan` brings other shapes into this form.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.backends import numba_supports
from lcplm_graph.ops.arrays import flat, float32, rows, streams_of
from lcplm_graph.ops.checks import needs_grad
from lcplm_graph.ops.cpu_op import cpu_op
from lcplm_graph.ops.selective_scan.kernels import (
    CHUNK,
    GROUP,
    BackwardInputs,
    Gradients,
    Inputs,
    Outputs,
    gate_backward,
    scan_backward,
    scan_forward,
)
from lcplm_graph.ops.selective_scan.operands import ScanOperands
from lcplm_graph.ops.vector_ir import LANES, LOG2E
from lcplm_graph.process import use_torch_threads

STATE_COUNTS = (16, 8, 4, 2, 1)
"""Numbers of states the kernels are made for, largest first."""

MAX_BLOCKS = 8
"""Upper bound on the stream blocks of the backward pass (its partial sums of dA)."""

MAX_PART = 8
"""States that the backward kernel works on at a time."""

WIDTHS = (8, 4, 2, 1)
"""Vectors of channels that a forward job may own, best first."""


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, stateful: bool = False
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    return numba_supports(device, dtype)


def run(operands: ScanOperands) -> tuple[Tensor, Tensor]:
    """Compute what the reference computes; the last states are empty unless asked for.

    Any shape is brought into the form of the kernels: 16 channels at a time, at most 16 states.
    """
    if _stays_bfloat16(operands):
        return _run_in_bfloat16(_with_whole_vectors(_widened(operands)), operands)
    x = _with_whole_vectors(operands.at_least_float32())
    channels, (padded, n_states) = operands.u.shape[1], x.A.shape
    u, D, residual = x.u, x.D, x.residual
    D = u.new_zeros(padded) if D is None else D
    bias = u.new_zeros(padded) if x.delta_bias is None else x.delta_bias
    save = needs_grad(*(tensor for _, tensor in x.floats()))
    out, last_states, start = u, [], 0
    while start < n_states:
        count = next(n for n in STATE_COUNTS if n <= n_states - start)
        part = slice(start, start + count)
        start += count
        arguments = (
            u, x.delta, x.A[:, part], x.B[:, part], x.C[:, part], D, bias, x.delta_weight, residual,
            x.z if start == n_states else None, x.cu_seqlens,
            None if x.initial_state is None else x.initial_state[:, :, part], x.reverse,
        )  # fmt: skip
        if x.overwrite and not save and start == n_states and u.is_contiguous():
            out, last = u, scan_over_op(*arguments)
        else:
            out, _, _, last = scan_op(*arguments, save)
        last_states.append(last)
        if start < n_states:
            # The parts of the sum over states are added up through the residual.
            residual, D = out, torch.zeros_like(D)
    out = out[:, :channels]
    if not x.stateful:
        return out, out.new_empty(0)
    return out, from_lanes(torch.cat(last_states, dim=2), padded)[:, :channels]


_ACTIVATIONS = ("u", "delta", "B", "C", "residual", "z")


def _stays_bfloat16(x: ScanOperands) -> bool:
    """Whether the kernel can read and write bfloat16: one pass over the states, no gradients."""
    given = (getattr(x, name) for name in _ACTIVATIONS)
    return (
        x.dtype == torch.bfloat16
        and all(tensor is None or tensor.dtype == torch.bfloat16 for tensor in given)
        and x.A.shape[1] in STATE_COUNTS
        and not needs_grad(*(tensor for _, tensor in x.floats()))
    )


def _widened(x: ScanOperands) -> ScanOperands:
    """Widen parameters, and what has no value for each channel: it is read for every 16 of them."""
    wide = {"u", "residual", "z"} | ({"delta"} if x.delta_weight is None else set())
    exact: dict[str, Any] = {k: v.float() for k, v in x.floats() if k not in wide}
    return replace(x, **exact)


def _run_in_bfloat16(x: ScanOperands, given: ScanOperands) -> tuple[Tensor, Tensor]:
    padded, channels = x.u.shape[1], given.u.shape[1]
    mine = x.overwrite or x.u is not given.u
    out = x.u if mine and x.u.is_contiguous() else x.u.clone(memory_format=torch.contiguous_format)
    zeros = x.A.new_zeros(padded)
    last = scan_over_op(
        out, x.delta, x.A, x.B, x.C, zeros if x.D is None else x.D,
        zeros if x.delta_bias is None else x.delta_bias, x.delta_weight, x.residual, x.z,
        x.cu_seqlens, x.initial_state, x.reverse,
    )  # fmt: skip
    if not x.stateful:
        return out[:, :channels], x.A.new_empty(0)
    return out[:, :channels], from_lanes(last, padded)[:, :channels]


def _with_whole_vectors(x: ScanOperands) -> ScanOperands:
    """Pad the channels to a multiple of 16."""
    extra = -x.u.shape[1] % LANES
    if not extra:
        return x
    by_columns = {"u", "D", "delta_bias", "residual", "z"}
    by_rows = {"A", "initial_state", "delta_weight"}
    by_columns |= {"delta"} if x.delta_weight is None else set()
    padding = {**dict.fromkeys(by_columns, (0, extra)), **dict.fromkeys(by_rows, (0, 0, 0, extra))}
    padded: dict[str, Any] = {k: F.pad(v, padding[k]) for k, v in x.floats() if k in padding}
    return replace(x, **padded)


def _first_chunks(cu: np.ndarray) -> np.ndarray:
    """Index of each stream's first chunk among all chunks; the last entry is their number."""
    return np.concatenate([[0], np.cumsum((np.diff(cu) + CHUNK - 1) // CHUNK)])


def _stream_blocks(cu: np.ndarray) -> np.ndarray:
    """Cut the streams into at most `MAX_BLOCKS` runs of about equal numbers of tokens."""
    streams = len(cu) - 1
    count = min(MAX_BLOCKS, streams)
    cuts = np.searchsorted(cu, np.linspace(0, cu[-1], count + 1)[1:-1])
    return np.unique(np.concatenate([[0], cuts, [streams]])).astype(np.int64)


def job_width(blocks: int, threads: int) -> int:
    """Choose how many of `blocks` vectors a forward job owns, so that threads share them evenly."""
    for width in WIDTHS:
        jobs, rest = divmod(blocks, width)
        if not rest and (jobs % threads == 0 or jobs >= 8 * threads):
            return width
    return 1


def _weight_blocks(weight: Tensor) -> Tensor:
    """(E, R) to the kernel's order (E / 16, R, 16)."""
    return weight.detach().unflatten(0, (-1, LANES)).transpose(1, 2).contiguous()


def _to_lanes(states: Tensor) -> Tensor:
    """(S, E, N) to the kernels' order (S, E / 16, N, 16)."""
    streams, channels, n_states = states.shape
    return states.view(streams, channels // LANES, LANES, n_states).transpose(2, 3).contiguous()


def from_lanes(states: Tensor, channels: int) -> Tensor:
    """Bring states in the kernels' order, (S, E / 16, N, 16), to (S, E, N)."""
    n_states = states.shape[2]
    return states.transpose(2, 3).reshape(len(states), channels, n_states).contiguous()


def _log2_rows(A: Tensor) -> Tensor:
    return (A.detach() * LOG2E).T.contiguous()


def _scan(x: ScanOperands, save: bool, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Write the output to `out`, which may be `u`; returns what `scan_op` does beside it."""
    use_torch_threads()
    tokens, channels = x.u.shape
    n_states = x.A.shape[1]
    known = streams_of(x.cu_seqlens, tokens)
    cu, chunk_of = known.cu, known.derived(_first_chunks)
    streams = len(cu) - 1
    y = float32(tokens if save and x.z is not None else 0, channels)
    saved = float32(int(chunk_of[-1]) if save else 0, channels, n_states)
    last = float32(streams, channels // LANES, n_states, LANES)
    initial = None if x.initial_state is None else _to_lanes(x.initial_state)
    rank = 0 if x.delta_weight is None else x.delta_weight.shape[1]
    weight = None if x.delta_weight is None else _weight_blocks(x.delta_weight)
    dtype = x.u.dtype  # also of what is not given: the kernel is compiled for dtypes
    inputs = Inputs(
        flat(x.u), *rows(x.delta), rank, flat(weight), flat(x.delta_bias), flat(_log2_rows(x.A)),
        *rows(x.B), *rows(x.C), flat(x.D), flat(x.residual, dtype), x.residual is not None,
        *rows(x.z, dtype), x.z is not None, flat(initial), initial is not None,
    )  # fmt: skip
    results = Outputs(flat(out), flat(last), flat(y), flat(saved))
    width = job_width(channels // LANES, torch.get_num_threads())
    scan_forward((0,) * n_states, width, inputs, cu, chunk_of, x.reverse, save, results)
    return y, saved, last


@cpu_op("lcplm::selective_scan")
def scan_op(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
    delta_weight: Tensor | None, residual: Tensor | None, z: Tensor | None, cu_seqlens: Tensor,
    initial_state: Tensor | None, reverse: bool, save: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the output, the ungated output and saved states (empty unless `save`), last states.

    The last states are of shape (S, E / 16, N, 16); see `from_lanes`.
    """
    out = float32(u.shape)
    operands = ScanOperands(
        u=u, delta=delta, A=A, B=B, C=C, D=D, delta_bias=delta_bias, delta_weight=delta_weight,
        residual=residual, z=z, cu_seqlens=cu_seqlens, initial_state=initial_state,
        reverse=reverse,
    )  # fmt: skip
    return out, *_scan(operands, save, out)


@cpu_op("lcplm::selective_scan_over", mutates_args=("u",))
def scan_over_op(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
    delta_weight: Tensor | None, residual: Tensor | None, z: Tensor | None, cu_seqlens: Tensor,
    initial_state: Tensor | None, reverse: bool,
) -> Tensor:  # fmt: skip
    """Write the output over `u`, contiguous, float32 or bfloat16; returns the last states."""
    operands = ScanOperands(
        u=u, delta=delta, A=A, B=B, C=C, D=D, delta_bias=delta_bias, delta_weight=delta_weight,
        residual=residual, z=z, cu_seqlens=cu_seqlens, initial_state=initial_state,
        reverse=reverse,
    )  # fmt: skip
    return _scan(operands, False, u)[2]


@scan_over_op.register_fake
def _(
    u, delta, A, B, C, D, delta_bias, delta_weight, residual, z, cu_seqlens, initial_state, reverse
):
    streams = cu_seqlens.shape[0] - 1
    return A.new_empty(streams, u.shape[1] // LANES, A.shape[1], LANES)


@scan_op.register_fake
def _(
    u, delta, A, B, C, D, delta_bias, delta_weight, residual, z, cu_seqlens, initial_state,
    reverse, save,
):  # fmt: skip
    tokens, channels = u.shape
    n_states, streams = A.shape[1], cu_seqlens.shape[0] - 1
    n_chunks = torch.library.get_ctx().new_dynamic_size() if save else 0
    y = u.new_empty(tokens if save and z is not None else 0, channels)
    last = u.new_empty(streams, channels // LANES, n_states, LANES)
    return torch.empty_like(u), y, u.new_empty(n_chunks, channels, n_states), last


@cpu_op("lcplm::selective_scan_backward")
def scan_backward_op(
    dout: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor,
    delta_bias: Tensor, z: Tensor | None, cu_seqlens: Tensor, y: Tensor, saved: Tensor,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return du, ddelta, dA, dB, dC, dD, ddelta_bias, and with a gate dy and dz (else empty)."""
    use_torch_threads()
    tokens, channels = u.shape
    n_states = A.shape[1]
    streams = streams_of(cu_seqlens, tokens)
    cu, chunk_of = streams.cu, streams.derived(_first_chunks)
    blocks = streams.derived(_stream_blocks)
    n_blocks, n_groups = len(blocks) - 1, (channels + GROUP - 1) // GROUP
    gated = z is not None
    dy, dz = (float32(tokens if gated else 0, channels) for _ in range(2))
    if gated:
        gate_backward(flat(y), *rows(z), flat(dout), flat(dy), flat(dz), channels)
    du, ddelta = float32(tokens, channels), float32(tokens, channels)
    da = float32(n_blocks, channels // LANES, n_states, LANES)
    dd, dbias = float32(n_blocks, channels), float32(n_blocks, channels)
    db, dc = (float32(n_groups, tokens, n_states) for _ in range(2))
    part = min(n_states, MAX_PART)
    inputs = BackwardInputs(
        flat(u), flat(delta), flat(delta_bias), flat(_log2_rows(A)), *rows(B), *rows(C), flat(D),
        flat(dy if gated else dout), flat(saved),
    )  # fmt: skip
    grads = Gradients(*map(flat, (du, ddelta, da, dd, dbias, db, dc)))
    template = (0,) * part
    scan_backward(template, n_states // part, inputs, cu, chunk_of, blocks, reverse, grads)
    dA = from_lanes(da.sum(0, keepdim=True), channels)[0]
    return du, ddelta, dA, db.sum(0), dc.sum(0), dd.sum(0), dbias.sum(0), dy, dz


@scan_backward_op.register_fake
def _(dout, u, delta, A, B, C, D, delta_bias, z, cu_seqlens, y, saved, reverse):
    rows = len(u) if z is not None else 0
    new = [u.new_empty(x.shape) for x in (u, delta, A, B, C, D, delta_bias)]
    return (*new, u.new_empty(rows, u.shape[1]), u.new_empty(rows, u.shape[1]))


def _setup_context(ctx, inputs, output):
    u, delta, A, B, C, D, delta_bias, delta_weight, residual, z, cu_seqlens, _, reverse, _ = inputs
    _, y, saved, _ = output
    ctx.save_for_backward(
        u, delta, A, B, C, D, delta_bias, delta_weight, z, cu_seqlens, y, saved
    )  # fmt: skip
    ctx.has_residual, ctx.reverse = residual is not None, reverse
    ctx.set_materialize_grads(False)


@torch.autocast("cpu", enabled=False)  # the step sizes must be those of the forward pass
def _backward(ctx, dout, _dy, _dsaved, _dlast):
    u, delta, A, B, C, D, delta_bias, weight, z, cu_seqlens, y, saved = ctx.saved_tensors
    whole = delta if weight is None else delta @ weight.T
    du, ddelta, *grads, dy, dz = scan_backward_op(
        dout.contiguous(), u, whole, A, B, C, D, delta_bias, z, cu_seqlens, y, saved, ctx.reverse
    )
    dweight = None if weight is None else ddelta.T @ delta
    ddelta = ddelta if weight is None else ddelta @ weight
    gated = z is not None
    dresidual = (dy if gated else dout) if ctx.has_residual else None
    dz = dz if gated else None
    return (du, ddelta, *grads, dweight, dresidual, dz, None, None, None, None)


scan_op.register_autograd(_backward, setup_context=_setup_context)
