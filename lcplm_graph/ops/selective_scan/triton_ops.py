"""The Triton backend as `torch.library` custom ops with autograd; see docs/gpu.md.

Operands in float16, bfloat16 or float32 are read as they are and computed in float32.  Any number
of channels and states.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor

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

# A thread holds a tile's tokens of one channel in registers: the backward pass has more to hold.
# The interpreter is slow per operation, so there small tiles let short streams span several.
TOKENS = 4 if INTERPRETED else 32
TOKENS_BACKWARD = 4 if INTERPRETED else 16
CHANNELS = 4 if INTERPRETED else 128
CARRIED_TILES = 2 if INTERPRETED else 16
CARRIED_LANES = 8 if INTERPRETED else 128


def _rates(A: Tensor) -> Tensor:
    """Return A log2(e) as (N, E), so that decays are powers of two."""
    return (A * LOG2E).T.contiguous()


def _carry(
    elapsed: Tensor, rates: Tensor, ends: Tensor, initial: Tensor | None, tiles: Tiles,
    reverse: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return states at the starts of tiles (n, N, E), and last states (S, N, E)."""
    n_states, channels = rates.shape
    streams = len(tiles.first) - 1
    starts = torch.empty_like(ends)
    last = ends.new_empty(streams, n_states, channels)
    lanes = channel_block(n_states * channels, CARRIED_LANES)
    carry_states[(streams, triton.cdiv(n_states * channels, lanes))](
        elapsed, rates, ends, ends if initial is None else initial, starts, last, tiles.first,
        channels, n_states,
        TILES=CARRIED_TILES, LANES=lanes, HAS_INITIAL=initial is not None, REVERSE=reverse,
        num_warps=warps(lanes),
    )  # fmt: skip
    return starts, last


@torch.library.custom_op("lcplm::selective_scan_triton", mutates_args=())
def scan_op(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
    residual: Tensor | None, z: Tensor | None, cu_seqlens: Tensor, initial_state: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the output (T, E) and the last states (S, E, N), both float32."""
    check_runnable("selective_scan", u)
    (tokens, channels), n_states = u.shape, A.shape[1]
    tiles = cut_into_tiles(cu_seqlens, tokens, TOKENS)
    n_tiles = len(tiles.table)
    u, delta = with_unit_columns(u), with_unit_columns(delta)
    residual_ = u if residual is None else with_unit_columns(residual)
    z_ = u if z is None else with_unit_columns(z)
    rates, B_, C_ = _rates(A), B.T.float().contiguous(), C.T.float().contiguous()
    initial = None if initial_state is None else initial_state.transpose(1, 2).contiguous()
    elapsed = rates.new_empty(n_tiles, channels)
    ends = rates.new_empty(n_tiles, n_states, channels)
    out = rates.new_empty(tokens, channels)
    block = channel_block(channels, CHANNELS)
    grid = (n_tiles, triton.cdiv(channels, block))
    sizes = {"TOKENS": TOKENS, "CHANNELS": block, "num_warps": warps(block)}
    with on_device_of(u):
        tile_ends[grid](
            u, u.stride(0), delta, delta.stride(0), delta_bias, rates, B_, tiles.table,
            elapsed, ends, tokens, channels, n_states, REVERSE=reverse, **sizes,
        )  # fmt: skip
        starts, last = _carry(elapsed, rates, ends, initial, tiles, reverse)
        outputs[grid](
            u, u.stride(0), delta, delta.stride(0), delta_bias, rates, B_, C_, D,
            residual_, residual_.stride(0), z_, z_.stride(0), tiles.table, starts, out,
            tokens, channels, n_states,
            HAS_RESIDUAL=residual is not None, GATED=z is not None, REVERSE=reverse, **sizes,
        )  # fmt: skip
    return out, last.transpose(1, 2).contiguous()


@scan_op.register_fake
def _(u, delta, A, B, C, D, delta_bias, residual, z, cu_seqlens, initial_state, reverse):
    streams = cu_seqlens.shape[0] - 1
    return A.new_empty(u.shape), A.new_empty(streams, *A.shape)


@torch.library.custom_op("lcplm::selective_scan_triton_backward", mutates_args=())
def scan_backward_op(
    dout: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor,
    delta_bias: Tensor, residual: Tensor | None, z: Tensor | None, cu_seqlens: Tensor,
    initial_state: Tensor | None, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return du, ddelta, dA, dB, dC, dD, ddelta_bias, and with a gate dy and dz (else empty)."""
    check_runnable("selective_scan", u)
    (tokens, channels), n_states = u.shape, A.shape[1]
    tiles = cut_into_tiles(cu_seqlens, tokens, TOKENS_BACKWARD)
    n_tiles = len(tiles.table)
    u, delta = with_unit_columns(u), with_unit_columns(delta)
    residual_ = u if residual is None else with_unit_columns(residual)
    z_ = u if z is None else with_unit_columns(z)
    rates, B_, C_ = _rates(A), B.T.float().contiguous(), C.T.float().contiguous()
    initial = None if initial_state is None else initial_state.transpose(1, 2).contiguous()
    new = rates.new_empty
    elapsed, ends = new(n_tiles, channels), new(n_tiles, n_states, channels)
    grad_ends = torch.empty_like(ends)
    block = channel_block(channels, CHANNELS)
    blocks = triton.cdiv(channels, block)
    grid = (n_tiles, blocks)
    sizes = {"TOKENS": TOKENS_BACKWARD, "CHANNELS": block, "num_warps": warps(block)}
    gated = z is not None
    shape = (tokens if gated else 0, channels)
    du, ddelta = u.new_empty(u.shape), delta.new_empty(u.shape)
    dy, dz = new(shape), z_.new_empty(shape)
    dD, dbias = new(n_tiles, channels), new(n_tiles, channels)
    dB, dC = new(blocks, n_states, tokens), new(blocks, n_states, tokens)
    with on_device_of(u):
        tile_ends_backward[grid](
            u, u.stride(0), delta, delta.stride(0), delta_bias, rates, B_, C_, dout,
            z_, z_.stride(0), tiles.table, elapsed, ends, grad_ends,
            tokens, channels, n_states, GATED=gated, REVERSE=reverse, **sizes,
        )  # fmt: skip
        starts, _ = _carry(elapsed, rates, ends, initial, tiles, reverse)
        del ends  # Its memory serves the next.
        grad_starts, _ = _carry(elapsed, rates, grad_ends, None, tiles, not reverse)
        gradients[grid](
            u, u.stride(0), delta, delta.stride(0), delta_bias, rates, B_, C_, D,
            residual_, residual_.stride(0), z_, z_.stride(0), dout,
            tiles.table, starts, grad_starts,
            du, ddelta, dB, dC, dD, dbias, dy, dz, tokens, channels, n_states,
            HAS_RESIDUAL=residual is not None, GATED=gated, REVERSE=reverse, **sizes,
        )  # fmt: skip
    dA = grad_starts.sum(0).T.contiguous()
    dB, dC = (x.sum(0).T.contiguous().to(B.dtype) for x in (dB, dC))
    return du, ddelta, dA, dB, dC, dD.sum(0), dbias.sum(0), dy, dz


@scan_backward_op.register_fake
def _(dout, u, delta, A, B, C, D, delta_bias, residual, z, cu_seqlens, initial_state, reverse):
    shape = (u.shape[0] if z is not None else 0, u.shape[1])
    new = [x.new_empty(x.shape) for x in (u, delta, A, B)]
    new += [B.new_empty(C.shape), D.new_empty(D.shape), D.new_empty(D.shape)]
    return (*new, A.new_empty(shape), (u if z is None else z).new_empty(shape))


def _setup_context(ctx, inputs, output):
    *tensors, ctx.reverse = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _backward(ctx, dout, _dlast):
    operands = ctx.saved_tensors
    residual, z = operands[7:9]
    *grads, dy, dz = scan_backward_op(dout.contiguous(), *operands, ctx.reverse)
    gated = z is not None
    dresidual = None if residual is None else (dy if gated else dout)
    return (*grads, dresidual, dz if gated else None, None, None, None)


scan_op.register_autograd(_backward, setup_context=_setup_context)
