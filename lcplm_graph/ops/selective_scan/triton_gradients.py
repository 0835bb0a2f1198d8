"""Triton kernels of the scan's backward pass: the same three phases, run against the scan.

States are recomputed tile by tile, so nothing is kept from the forward pass but its operands.
Sums over channels and over tiles go to buffers that are added up afterwards in a fixed order: no
atomics, hence the same gradients every time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lcplm_graph.ops.selective_scan.triton_kernels import (
    remaining_time,
    step_sizes,
    store_decayed_sums,
    tile_bounds,
)
from lcplm_graph.ops.triton_math import (
    STRIDES,
    load_tile,
    load_vector,
    row_of,
    running_sum,
    sigmoid,
    tile_pointers,
    with_row,
)

LN2 = tl.constexpr(0.6931471805599453)


@triton.jit(do_not_specialize_on_alignment=STRIDES)
def tile_ends_backward(
    u, ld_u, delta, ld_delta, bias, rates, B, C, dout, z, ld_z, table, elapsed, ends, grad_ends,
    tokens, channels, n_states,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr, GATED: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 1: end states as in the forward pass, and what each tile hands to the one before it.

    That is the gradient of the state it starts from if no later tile contributes.
    """
    tile = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size = tile_bounds(table, tile)
    rows = tl.arange(0, TOKENS)
    mask = (rows < size)[:, None] & inside[None, :]
    bias_e = load_vector(bias, e, inside)
    dt = step_sizes(delta, ld_delta, bias_e, first, rows, e, mask)
    tl.store(elapsed + tile * channels + e, tl.sum(dt, 0), mask=inside)
    time = running_sum(dt, rows, TOKENS, REVERSE)
    dy = load_tile(dout, channels, first, rows, e, mask)
    if GATED:
        gate = load_tile(z, ld_z, first, rows, e, mask)
        dy *= gate * sigmoid(gate)
    store_decayed_sums(
        grad_ends, tile, time, dy, C, rates, first, rows, size, e, inside,
        tokens, channels, n_states,
    )  # fmt: skip
    time = remaining_time(delta, ld_delta, bias_e, first, rows, e, size, inside, TOKENS, REVERSE)
    x = dt * load_tile(u, ld_u, first, rows, e, mask)
    store_decayed_sums(
        ends, tile, time, x, B, rates, first, rows, size, e, inside, tokens, channels, n_states
    )


@triton.jit(do_not_specialize_on_alignment=STRIDES)
def gradients(
    u, ld_u, delta, ld_delta, bias, rates, B, C, D, residual, ld_residual, z, ld_z, dout,
    table, starts, grad_starts,
    du, ddelta, dB, dC, dD, dbias, dy_out, dz,
    tokens, channels, n_states,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr, GATED: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 3: all gradients of a tile from the state and the gradient that enter it.

    `grad_starts` is overwritten with the tiles' shares of the gradient of A.  Operands that are
    needed only after the loop over states are read again there, to leave registers to the loop.
    """
    tile = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size = tile_bounds(table, tile)
    rows = tl.arange(0, TOKENS)
    used = rows < size
    mask = used[:, None] & inside[None, :]
    bias_e = load_vector(bias, e, inside)
    dt = step_sizes(delta, ld_delta, bias_e, first, rows, e, mask)
    x = dt * load_tile(u, ld_u, first, rows, e, mask)
    dy = load_tile(dout, channels, first, rows, e, mask)
    if GATED:
        gate = load_tile(z, ld_z, first, rows, e, mask)
        dy *= gate * sigmoid(gate)
    y = tl.zeros([TOKENS, CHANNELS], tl.float32)
    dx = tl.zeros([TOKENS, CHANNELS], tl.float32)
    ddt = tl.zeros([TOKENS, CHANNELS], tl.float32)
    for n in range(n_states):
        rate = load_vector(rates + n * channels, e, inside)
        at_boundary = (tile * n_states + n) * channels
        by_token = n * tokens + first
        b = tl.load(B + by_token + rows, mask=used, other=0.0)[:, None]
        decay = tl.exp2(rate * dt)
        # The decayed state that enters each step; subtracting the step's own contribution from
        # the state after it would cancel where decay is strong.
        carried, added = decay, x * b
        state = tl.load(starts + at_boundary + e, mask=inside, other=0.0)
        for i in tl.static_range(TOKENS):
            k = TOKENS - 1 - i if REVERSE else i
            state *= row_of(decay, rows, k)
            carried = with_row(carried, rows, k, state)
            state += row_of(added, rows, k)
        h = carried + added
        share = dC + (block * n_states * tokens + by_token)
        tl.store(share + rows, tl.sum(dy * h, 1), mask=used)
        c = tl.load(C + by_token + rows, mask=used, other=0.0)[:, None]
        if GATED:
            y += h * c
        grad = dy * c
        entering = tl.load(grad_starts + at_boundary + e, mask=inside, other=0.0)
        for i in tl.static_range(TOKENS):
            k = i if REVERSE else TOKENS - 1 - i
            entering += row_of(grad, rows, k)
            grad = with_row(grad, rows, k, entering)
            entering *= row_of(decay, rows, k)
        share = dB + (block * n_states * tokens + by_token)
        tl.store(share + rows, tl.sum(grad * x, 1), mask=used)
        dx += grad * b
        through_decay = grad * carried
        ddt += through_decay * rate
        tl.store(grad_starts + at_boundary + e, tl.sum(through_decay * dt, 0), mask=inside)
    D_e = load_vector(D, e, inside)
    u_te = load_tile(u, ld_u, first, rows, e, mask)
    tl.store(tile_pointers(du, channels, first, rows, e), dx * dt + dy * D_e, mask=mask)
    tl.store(dD + tile * channels + e, tl.sum(dy * u_te, 0), mask=inside)
    raw = load_tile(delta, ld_delta, first, rows, e, mask) + bias_e
    ddelta_te = tl.where(mask, (ddt * LN2 + dx * u_te) * sigmoid(raw), 0.0)
    tl.store(tile_pointers(ddelta, channels, first, rows, e), ddelta_te, mask=mask)
    tl.store(dbias + tile * channels + e, tl.sum(ddelta_te, 0), mask=inside)
    if GATED:
        tl.store(tile_pointers(dy_out, channels, first, rows, e), dy, mask=mask)
        y += D_e * u_te
        if HAS_RESIDUAL:
            y += load_tile(residual, ld_residual, first, rows, e, mask)
        gate = load_tile(z, ld_z, first, rows, e, mask)
        slope = sigmoid(gate)
        slope *= 1.0 + gate * (1.0 - slope)
        dz_te = load_tile(dout, channels, first, rows, e, mask) * y * slope
        tl.store(tile_pointers(dz, channels, first, rows, e), dz_te, mask=mask)
