"""The Triton backend as ops of torch with autograd; see docs/gpu.md.

Operands in float16, bfloat16 or float32 are read as they are and computed in float32.  Any number
of channels and states.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from lcplm_graph.ops.device_op import device_op
from lcplm_graph.ops.selective_scan.triton_gradients import gradients, tile_ends_backward
from lcplm_graph.ops.selective_scan.triton_kernels import carry_states, outputs, tile_ends
from lcplm_graph.ops.tiles import Tiles, cut_into_tiles
from lcplm_graph.ops.triton_math import (
    INTERPRETED,
    channel_block,
    check_runnable,
    on_device_of,
    warps,
    with_unit_columns,
)

LOG2E = 1.4426950408889634

# In the interpreter, which is slow per operation, small tiles let short streams span several.
TOKENS = 4 if INTERPRETED else 64
ROWS = 2 if INTERPRETED else 4
"""Tokens of a tile that are loaded at once."""
CHANNELS = 4 if INTERPRETED else 128
CARRIED_TILES = 2 if INTERPRETED else 16
ROWS_BACKWARD = 2
"""The same in the backward pass, whose threads remember the states before each of them."""
CHANNELS_BACKWARD = 4 if INTERPRETED else 32
"""A warp's, so that sums over channels stay inside it."""


def _rates(A: Tensor) -> Tensor:
    """Return A log2(e) as (N, E), so that decays are powers of two."""
    return (A * LOG2E).T.contiguous()


def _by_token(matrix: Tensor) -> Tensor:
    """Return B or C in float32 with contiguous rows: every channel reads them."""
    return with_unit_columns(matrix.float())


def _most_tiles(tokens: int, streams: int) -> int:
    """Return the number of tiles that any division into streams can need."""
    return tokens // TOKENS + streams


def _along_tiles(tiles: Tiles, rates: Tensor) -> tuple[tuple[int, int], dict[str, Any]]:
    """Return grid and sizes of the kernels that run along tiles."""
    n_states, channels = rates.shape
    block = channel_block(channels, CHANNELS)
    states = triton.next_power_of_2(n_states)
    sizes = {"N": n_states, "STATES": states, "ROWS": ROWS, "CHANNELS": block}
    grid = (len(tiles.table), triton.cdiv(channels, block))
    return grid, {**sizes, "num_warps": warps(block)}


def _carry(
    elapsed: Tensor, rates: Tensor, ends: Tensor, starts: Tensor, initial: Tensor | None,
    tiles: Tiles, reverse: bool,
) -> Tensor:  # fmt: skip
    """Fill in states at the starts of tiles (n, N, E); return the last states (S, N, E)."""
    n_states, channels = rates.shape
    streams = len(tiles.first) - 1
    last = ends.new_empty(streams, n_states, channels)
    block = channel_block(channels, CHANNELS)
    carry_states[(streams, n_states, triton.cdiv(channels, block))](
        elapsed, rates, ends, ends if initial is None else initial, starts, last, tiles.first,
        channels, n_states,
        TILES=CARRIED_TILES, CHANNELS=block, HAS_INITIAL=initial is not None, REVERSE=reverse,
        num_warps=warps(block),
    )  # fmt: skip
    return last


@device_op("lcplm::selective_scan_triton")
def scan_op(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
    residual: Tensor | None, z: Tensor | None, cu_seqlens: Tensor, initial_state: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return output (T, E), last states (S, E, N), tiles' first states and times; float32.

    The last two, (n, N, E) and (n, E), are for the backward pass; rows beyond the tiles are empty.
    """
    check_runnable("selective_scan", u)
    (tokens, channels), n_states = u.shape, A.shape[1]
    tiles = cut_into_tiles(cu_seqlens, tokens, TOKENS)
    u, delta, B, C = with_unit_columns(u), with_unit_columns(delta), _by_token(B), _by_token(C)
    residual_ = u if residual is None else with_unit_columns(residual)
    z_ = u if z is None else with_unit_columns(z)
    rates = _rates(A)
    initial = None if initial_state is None else initial_state.transpose(1, 2).contiguous()
    most = _most_tiles(tokens, len(cu_seqlens) - 1)
    elapsed = rates.new_empty(most, channels)
    ends = rates.new_empty(most, n_states, channels)
    starts, out = torch.empty_like(ends), rates.new_empty(tokens, channels)
    grid, sizes = _along_tiles(tiles, rates)
    with on_device_of(u):
        tile_ends[grid](
            u, u.stride(0), delta, delta.stride(0), delta_bias, rates, B, B.stride(0),
            tiles.table, elapsed, ends, channels, REVERSE=reverse, **sizes,
        )  # fmt: skip
        last = _carry(elapsed, rates, ends, starts, initial, tiles, reverse)
        outputs[grid](
            u, u.stride(0), delta, delta.stride(0), delta_bias, rates, B, B.stride(0),
            C, C.stride(0), D, residual_, residual_.stride(0), z_, z_.stride(0),
            tiles.table, starts, out, channels,
            HAS_RESIDUAL=residual is not None, GATED=z is not None, REVERSE=reverse, **sizes,
        )  # fmt: skip
    return out, last.transpose(1, 2).contiguous(), starts, elapsed


@scan_op.register_fake
def _(u, delta, A, B, C, D, delta_bias, residual, z, cu_seqlens, initial_state, reverse):
    (tokens, channels), streams = u.shape, cu_seqlens.shape[0] - 1
    most = _most_tiles(tokens, streams)
    starts = A.new_empty(most, A.shape[1], channels)
    return (
        A.new_empty(u.shape),
        A.new_empty(streams, *A.shape),
        starts,
        A.new_empty(most, channels),
    )


@device_op("lcplm::selective_scan_triton_backward")
def scan_backward_op(
    dout: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor,
    delta_bias: Tensor, residual: Tensor | None, z: Tensor | None, cu_seqlens: Tensor,
    starts: Tensor, elapsed: Tensor, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return du, ddelta, dA, dB, dC, dD, ddelta_bias, and with a gate dy and dz (else empty)."""
    (tokens, channels), n_states = u.shape, A.shape[1]
    tiles = cut_into_tiles(cu_seqlens, tokens, TOKENS)
    n_tiles = len(tiles.table)
    u, delta, B_, C_ = with_unit_columns(u), with_unit_columns(delta), _by_token(B), _by_token(C)
    residual_ = u if residual is None else with_unit_columns(residual)
    z_ = u if z is None else with_unit_columns(z)
    rates, gated = _rates(A), z is not None
    new = rates.new_empty
    grad_ends, grad_starts = (new(n_tiles, n_states, channels) for _ in range(2))
    grid, sizes = _along_tiles(tiles, rates)
    with on_device_of(u):
        tile_ends_backward[grid](
            delta, delta.stride(0), delta_bias, rates, C_, C_.stride(0), dout, z_, z_.stride(0),
            tiles.table, grad_ends, channels, GATED=gated, REVERSE=reverse, **sizes,
        )  # fmt: skip
        _carry(elapsed, rates, grad_ends, grad_starts, None, tiles, not reverse)
        del grad_ends  # Its memory serves the next.
        block = channel_block(channels, CHANNELS_BACKWARD)
        blocks = triton.cdiv(channels, block)
        sizes |= {"ROWS": ROWS_BACKWARD, "CHANNELS": block, "num_warps": warps(block)}
        kept = new(n_tiles * (TOKENS // ROWS_BACKWARD), n_states, channels)
        du, ddelta = u.new_empty(u.shape), delta.new_empty(u.shape)
        shape = (tokens if gated else 0, channels)
        dy, dz = new(shape), z_.new_empty(shape)
        dB, dC = new(blocks, tokens, n_states), new(blocks, tokens, n_states)
        dD, dbias = new(n_tiles, channels), new(n_tiles, channels)
        gradients[(n_tiles, blocks)](
            u, u.stride(0), delta, delta.stride(0), delta_bias, rates, B_, B_.stride(0),
            C_, C_.stride(0), D, residual_, residual_.stride(0), z_, z_.stride(0), dout,
            tiles.table, starts, grad_starts, kept,
            du, ddelta, dB, dC, dD, dbias, dy, dz, tokens, channels,
            TOKENS=TOKENS, HAS_RESIDUAL=residual is not None, GATED=gated, REVERSE=reverse, **sizes,
        )  # fmt: skip
    dA = grad_starts.sum(0).T.contiguous()
    dB, dC = dB.sum(0).to(B.dtype), dC.sum(0).to(C.dtype)
    return du, ddelta, dA, dB, dC, dD.sum(0), dbias.sum(0), dy, dz


@scan_backward_op.register_fake
def _(dout, u, delta, A, B, C, D, delta_bias, residual, z, cu_seqlens, starts, elapsed, reverse):
    shape = (u.shape[0] if z is not None else 0, u.shape[1])
    new = [x.new_empty(x.shape) for x in (u, delta, A, B)]
    new += [C.new_empty(C.shape), D.new_empty(D.shape), D.new_empty(D.shape)]
    return (*new, A.new_empty(shape), (u if z is None else z).new_empty(shape))


def _setup_context(ctx, inputs, output):
    *operands, _, ctx.reverse = inputs
    _, _, starts, elapsed = output
    ctx.mark_non_differentiable(starts, elapsed)
    ctx.save_for_backward(*operands, starts, elapsed)
    ctx.set_materialize_grads(False)


def _backward(ctx, dout, *_others):
    operands = ctx.saved_tensors
    residual, z = operands[7:9]
    *grads, dy, dz = scan_backward_op(dout.contiguous(), *operands, ctx.reverse)
    gated = z is not None
    dresidual = None if residual is None else (dy if gated else dout)
    return (*grads, dresidual, dz if gated else None, None, None, None)


scan_op.register_autograd(_backward, setup_context=_setup_context)
