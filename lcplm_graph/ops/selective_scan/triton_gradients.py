"""Triton kernels of the scan's backward pass: the same three phases, run against the scan.

States are recomputed tile by tile from those at the tiles' starts.  Sums over channels and over
tiles go to buffers that are added up afterwards in a fixed order: no atomics, hence the same
gradients every time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lcplm_graph.ops.selective_scan.triton_kernels import (
    scan_order,
    state_block,
    step_sizes,
    store_state_block,
    tile_bounds,
    token_states,
)
from lcplm_graph.ops.triton_math import (
    UNSPECIALISED,
    load_tile,
    load_vector,
    picked,
    row_of,
    sigmoid,
    tile_pointers,
    with_row,
)

LN2 = tl.constexpr(0.6931471805599453)


@triton.jit(do_not_specialize_on_alignment=UNSPECIALISED)
def tile_ends_backward(
    delta, ld_delta, bias, rates, C, ld_C, dout, z, ld_z, table, grad_ends,
    channels, N: tl.constexpr,
    ROWS: tl.constexpr, STATES: tl.constexpr, CHANNELS: tl.constexpr,
    GATED: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 1: what each tile hands to the one before it.

    That is the gradient of the state it starts from if no later tile contributes.
    """
    tile = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size = tile_bounds(table, tile)
    k = tl.arange(0, ROWS)
    bias_e = load_vector(bias, e, inside)
    rate = state_block(rates, e, channels, inside, N, STATES)
    grad = tl.zeros([STATES, CHANNELS], tl.float32)
    for begin in range(0, size, ROWS):
        rows = scan_order(begin + k, size, not REVERSE)
        mask = (begin + k < size)[:, None] & inside[None, :]
        dt = step_sizes(delta, ld_delta, bias_e, first, rows, e, mask)
        dy = load_tile(dout, channels, first, rows, e, mask)
        if GATED:
            gate = load_tile(z, ld_z, first, rows, e, mask)
            dy *= gate * sigmoid(gate)
        for i in tl.static_range(ROWS):
            row = scan_order(tl.minimum(begin + i, size - 1), size, not REVERSE)
            c = token_states(C, ld_C, first, row, N, STATES)
            grad += c * row_of(dy, k, i)[None, :]
            grad *= tl.exp2(rate * row_of(dt, k, i)[None, :])
    store_state_block(grad_ends + tile * N * channels, grad, e, channels, inside, N, STATES)


@triton.jit
def store_share(shares, first, tokens, row, valid, values, N: tl.constexpr, STATES: tl.constexpr):
    """Store what a block of channels adds to one token's gradient of B or C."""
    n = tl.arange(0, STATES)
    at = shares + (tl.program_id(1).to(tl.int64) * tokens + first) * N + row * N
    tl.store(at + n, values, mask=(n < N) & valid)


@triton.jit
def keep_states(
    u, ld_u, delta, ld_delta, bias_e, rate, B, ld_B, start, kept, first, size, e, inside, channels,
    N: tl.constexpr, ROWS: tl.constexpr, STATES: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Run along a tile and store the state before every ROWS tokens."""
    k = tl.arange(0, ROWS)
    state = state_block(start, e, channels, inside, N, STATES)
    store_state_block(kept, state, e, channels, inside, N, STATES)
    for end in range(ROWS, size, ROWS):
        rows = scan_order(end - ROWS + k, size, REVERSE)
        mask = (rows >= 0)[:, None] & inside[None, :]
        dt = step_sizes(delta, ld_delta, bias_e, first, rows, e, mask)
        x = dt * load_tile(u, ld_u, first, rows, e, mask)
        for i in tl.static_range(ROWS):
            b = token_states(
                B, ld_B, first, scan_order(end - ROWS + i, size, REVERSE), N, STATES
            )  # fmt: skip
            decay = tl.exp2(rate * row_of(dt, k, i)[None, :])
            state = decay * state + b * row_of(x, k, i)[None, :]
        at = kept + (end // ROWS) * N * channels
        store_state_block(at, state, e, channels, inside, N, STATES)


@triton.jit(do_not_specialize_on_alignment=UNSPECIALISED)
def gradients(
    u, ld_u, delta, ld_delta, bias, rates, B, ld_B, C, ld_C, D, residual, ld_residual, z, ld_z,
    dout, table, starts, grad_starts, kept,
    du, ddelta, dB, dC, dD, dbias, dy_out, dz,
    tokens, channels, N: tl.constexpr,
    TOKENS: tl.constexpr, ROWS: tl.constexpr, STATES: tl.constexpr, CHANNELS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr, GATED: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 3: all gradients of a tile from the state and the gradient that enter it.

    A first run along the tile keeps the state before every ROWS tokens, in `kept`, which every
    thread reads back where it wrote.  `grad_starts` is overwritten with the tiles' shares of the
    gradient of A.
    """
    tile = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size = tile_bounds(table, tile)
    k = tl.arange(0, ROWS)
    bias_e, D_e = load_vector(bias, e, inside), load_vector(D, e, inside)
    rate = state_block(rates, e, channels, inside, N, STATES)
    kept += tile * (TOKENS // ROWS) * N * channels
    keep_states(
        u, ld_u, delta, ld_delta, bias_e, rate, B, ld_B, starts + tile * N * channels, kept,
        first, size, e, inside, channels, N, ROWS, STATES, REVERSE,
    )  # fmt: skip
    grad = state_block(grad_starts + tile * N * channels, e, channels, inside, N, STATES)
    dA = tl.zeros([STATES, CHANNELS], tl.float32)
    dD_e, dbias_e = tl.zeros([CHANNELS], tl.float32), tl.zeros([CHANNELS], tl.float32)
    last = (size - 1) // ROWS * ROWS
    for back in range(0, size, ROWS):
        begin = last - back
        rows = scan_order(begin + k, size, REVERSE)
        mask = (begin + k < size)[:, None] & inside[None, :]
        dt = step_sizes(delta, ld_delta, bias_e, first, rows, e, mask)
        u_te = load_tile(u, ld_u, first, rows, e, mask)
        x = dt * u_te
        dy = load_tile(dout, channels, first, rows, e, mask)
        if GATED:
            gate = load_tile(z, ld_z, first, rows, e, mask)
            dy *= gate * sigmoid(gate)
        state = state_block(
            kept + (begin // ROWS) * N * channels, e, channels, inside, N, STATES
        )  # fmt: skip
        # The decayed state that enters each step; subtracting the step's own contribution from
        # the state after it would cancel where decay is strong.
        carried = tl.zeros([ROWS, STATES, CHANNELS], tl.float32)
        steps = k[:, None, None]
        y = D_e * u_te
        for i in tl.static_range(ROWS):
            valid = begin + i < size
            row = scan_order(tl.minimum(begin + i, size - 1), size, REVERSE)
            b = token_states(B, ld_B, first, row, N, STATES)
            state *= tl.exp2(rate * row_of(dt, k, i)[None, :])
            carried = tl.where(steps == i, state[None, :, :], carried)
            state += b * row_of(x, k, i)[None, :]
            share = tl.sum(state * row_of(dy, k, i)[None, :], 1)
            store_share(dC, first, tokens, row, valid, share, N, STATES)
            if GATED:
                c = token_states(C, ld_C, first, row, N, STATES)
                y = with_row(y, k, i, row_of(y, k, i) + tl.sum(state * c, 0))
        dx, ddt = tl.zeros_like(dt), tl.zeros_like(dt)
        for j in tl.static_range(ROWS):
            i = ROWS - 1 - j
            valid = begin + i < size
            row = scan_order(tl.minimum(begin + i, size - 1), size, REVERSE)
            b = token_states(B, ld_B, first, row, N, STATES)
            c = token_states(C, ld_C, first, row, N, STATES)
            dt_i = row_of(dt, k, i)[None, :]
            grad += c * row_of(dy, k, i)[None, :]
            share = tl.sum(grad * row_of(x, k, i)[None, :], 1)
            store_share(dB, first, tokens, row, valid, share, N, STATES)
            dx = with_row(dx, k, i, tl.sum(grad * b, 0))
            through_decay = grad * picked(carried, steps == i)
            ddt = with_row(ddt, k, i, tl.sum(through_decay * rate, 0))
            dA += through_decay * dt_i
            grad *= tl.exp2(rate * dt_i)
        tl.store(tile_pointers(du, channels, first, rows, e), dx * dt + dy * D_e, mask=mask)
        dD_e += tl.sum(dy * u_te, 0)
        raw = load_tile(delta, ld_delta, first, rows, e, mask) + bias_e
        ddelta_te = tl.where(mask, (ddt * LN2 + dx * u_te) * sigmoid(raw), 0.0)
        tl.store(tile_pointers(ddelta, channels, first, rows, e), ddelta_te, mask=mask)
        dbias_e += tl.sum(ddelta_te, 0)
        if GATED:
            tl.store(tile_pointers(dy_out, channels, first, rows, e), dy, mask=mask)
            if HAS_RESIDUAL:
                y += load_tile(residual, ld_residual, first, rows, e, mask)
            gate = load_tile(z, ld_z, first, rows, e, mask)
            slope = sigmoid(gate)
            slope *= 1.0 + gate * (1.0 - slope)
            dz_te = load_tile(dout, channels, first, rows, e, mask) * y * slope
            tl.store(tile_pointers(dz, channels, first, rows, e), dz_te, mask=mask)
    store_state_block(grad_starts + tile * N * channels, dA, e, channels, inside, N, STATES)
    tl.store(dD + tile * channels + e, dD_e, mask=inside)
    tl.store(dbias + tile * channels + e, dbias_e, mask=inside)
