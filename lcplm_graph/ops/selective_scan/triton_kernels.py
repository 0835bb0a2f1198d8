"""Triton kernels of the scan: states at tile boundaries, carried along, then outputs.

A program owns one tile of tokens and a block of channels.  A thread owns one channel and all of its
states, which stay in registers while it runs along the tile; nothing crosses threads.  Tiles are
independent, so one long stream fills the device like many short ones.  docs/gpu.md derives the
three phases.

``rates`` is A log2(e) as (N, E); both directions read and write in place.  Tokens outside a tile
have a step of zero, which is the identity of the recurrence.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lcplm_graph.ops.triton_math import (
    UNSPECIALISED,
    load_tile,
    load_vector,
    row_of,
    sigmoid,
    softplus,
    tile_pointers,
    with_row,
)


@triton.jit
def tile_bounds(table, tile):
    """First token of a tile and its number of tokens."""
    first = tl.load(table + 4 * tile)
    return first.to(tl.int64), tl.load(table + 4 * tile + 1) - first


@triton.jit
def step_sizes(delta, ld_delta, bias, first, rows, e, mask):
    """softplus(delta + bias), zero outside the mask."""
    raw = load_tile(delta, ld_delta, first, rows, e, mask) + bias
    return tl.where(mask, softplus(raw), 0.0)


@triton.jit
def state_pointers(matrix, e, channels, inside, N: tl.constexpr, STATES: tl.constexpr):
    """Pointers to a block of an (N, E) matrix, shape [STATES, CHANNELS], and which are inside."""
    n = tl.arange(0, STATES)
    return matrix + (n[:, None] * channels + e[None, :]), (n < N)[:, None] & inside[None, :]


@triton.jit
def state_block(matrix, e, channels, inside, N: tl.constexpr, STATES: tl.constexpr):
    """Load a block of an (N, E) matrix, zero outside."""
    pointers, mask = state_pointers(matrix, e, channels, inside, N, STATES)
    return tl.load(pointers, mask=mask, other=0.0)


@triton.jit
def store_state_block(
    matrix, values, e, channels, inside, N: tl.constexpr, STATES: tl.constexpr
):  # fmt: skip
    """Store a block of an (N, E) matrix."""
    pointers, mask = state_pointers(matrix, e, channels, inside, N, STATES)
    tl.store(pointers, values, mask=mask)


@triton.jit
def token_states(matrix, row_stride, first, row, N: tl.constexpr, STATES: tl.constexpr):
    """Load what one token has for every state, B or C, as a column."""
    n = tl.arange(0, STATES)
    return tl.load(matrix + first * row_stride + row * row_stride + n, mask=n < N, other=0.0)[
        :, None
    ]


@triton.jit
def scan_order(position, size, REVERSE: tl.constexpr):
    """Rows of a tile that come at positions of the scan."""
    return size - 1 - position if REVERSE else position


@triton.jit(do_not_specialize_on_alignment=UNSPECIALISED)
def tile_ends(
    u, ld_u, delta, ld_delta, bias, rates, B, ld_B, table, elapsed, ends,
    channels, N: tl.constexpr,
    ROWS: tl.constexpr, STATES: tl.constexpr, CHANNELS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 1: the state at the end of every tile if it starts from zero, and the time in it."""
    tile = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size = tile_bounds(table, tile)
    k = tl.arange(0, ROWS)
    bias_e = load_vector(bias, e, inside)
    rate = state_block(rates, e, channels, inside, N, STATES)
    state = tl.zeros([STATES, CHANNELS], tl.float32)
    total = tl.zeros([CHANNELS], tl.float32)
    for begin in range(0, size, ROWS):
        rows = scan_order(begin + k, size, REVERSE)
        mask = (begin + k < size)[:, None] & inside[None, :]
        dt = step_sizes(delta, ld_delta, bias_e, first, rows, e, mask)
        x = dt * load_tile(u, ld_u, first, rows, e, mask)
        total += tl.sum(dt, 0)
        for i in tl.static_range(ROWS):
            row = scan_order(tl.minimum(begin + i, size - 1), size, REVERSE)
            b = token_states(B, ld_B, first, row, N, STATES)
            decay = tl.exp2(rate * row_of(dt, k, i)[None, :])
            state = decay * state + b * row_of(x, k, i)[None, :]
    tl.store(elapsed + tile * channels + e, total, mask=inside)
    store_state_block(ends + tile * N * channels, state, e, channels, inside, N, STATES)


@triton.jit(do_not_specialize_on_alignment=UNSPECIALISED)
def carry_states(
    elapsed, rates, ends, initial, starts, last, first_tile,
    channels, n_states,
    TILES: tl.constexpr, CHANNELS: tl.constexpr, HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 2: the state at the start of every tile and the last state of every stream."""
    stream, n = tl.program_id(0).to(tl.int64), tl.program_id(1)
    e = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    begin = tl.load(first_tile + stream).to(tl.int64)
    count = tl.load(first_tile + stream + 1).to(tl.int32) - begin.to(tl.int32)
    rate = load_vector(rates + n * channels, e, inside)
    lanes = n_states * channels
    ends, starts = ends + n * channels, starts + n * channels
    at_stream = stream * lanes + n * channels + e
    state = tl.zeros([CHANNELS], tl.float32)
    if HAS_INITIAL:
        state = tl.load(initial + at_stream, mask=inside, other=0.0)
    origin = begin + count - 1 if REVERSE else begin
    tl.store(starts + origin * lanes + e, state, mask=inside)
    k = tl.arange(0, TILES)
    for done in range(0, count, TILES):
        tiles = scan_order(done + k, count, REVERSE)
        mask = (done + k < count)[:, None] & inside[None, :]
        decay = tl.exp2(rate * load_tile(elapsed, channels, begin, tiles, e, mask))
        after = load_tile(ends, lanes, begin, tiles, e, mask)
        for i in tl.static_range(TILES):
            state = row_of(decay, k, i) * state + row_of(after, k, i)
            after = with_row(after, k, i, state)
        following = tiles - 1 if REVERSE else tiles + 1
        later = mask & (done + k + 1 < count)[:, None]
        tl.store(tile_pointers(starts, lanes, begin, following, e), after, mask=later)
    tl.store(last + at_stream, state, mask=inside)


@triton.jit(do_not_specialize_on_alignment=UNSPECIALISED)
def outputs(
    u, ld_u, delta, ld_delta, bias, rates, B, ld_B, C, ld_C, D, residual, ld_residual, z, ld_z,
    table, starts, out,
    channels, N: tl.constexpr,
    ROWS: tl.constexpr, STATES: tl.constexpr, CHANNELS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr, GATED: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 3: run every tile from its state; skip connection, sum of directions and gate."""
    tile = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size = tile_bounds(table, tile)
    k = tl.arange(0, ROWS)
    bias_e, D_e = load_vector(bias, e, inside), load_vector(D, e, inside)
    rate = state_block(rates, e, channels, inside, N, STATES)
    state = state_block(starts + tile * N * channels, e, channels, inside, N, STATES)
    for begin in range(0, size, ROWS):
        rows = scan_order(begin + k, size, REVERSE)
        mask = (begin + k < size)[:, None] & inside[None, :]
        dt = step_sizes(delta, ld_delta, bias_e, first, rows, e, mask)
        u_te = load_tile(u, ld_u, first, rows, e, mask)
        x = dt * u_te
        y = D_e * u_te
        if HAS_RESIDUAL:
            y += load_tile(residual, ld_residual, first, rows, e, mask)
        for i in tl.static_range(ROWS):
            row = scan_order(tl.minimum(begin + i, size - 1), size, REVERSE)
            b = token_states(B, ld_B, first, row, N, STATES)
            c = token_states(C, ld_C, first, row, N, STATES)
            decay = tl.exp2(rate * row_of(dt, k, i)[None, :])
            state = decay * state + b * row_of(x, k, i)[None, :]
            y = with_row(y, k, i, row_of(y, k, i) + tl.sum(state * c, 0))
        if GATED:
            gate = load_tile(z, ld_z, first, rows, e, mask)
            y *= gate * sigmoid(gate)
        tl.store(tile_pointers(out, channels, first, rows, e), y, mask=mask)
