"""Triton kernels of the scan: states at tile boundaries, carried along, then outputs.

A program owns one tile of tokens and a block of channels, one channel per thread, and loops over
the states; whatever runs along the tokens of a tile stays within a thread.  Tiles are independent,
so one long stream fills the device like many short ones.  docs/gpu.md derives the three phases.

``rates`` is A log2(e) as (N, E), B and C are (N, T); both directions read and write in place.
Tokens outside a tile have a step of zero, which is the identity of the recurrence.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lcplm_graph.ops.triton_math import (
    STRIDES,
    load_tile,
    load_vector,
    row_of,
    running_sum,
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
def remaining_time(
    delta, ld_delta, bias, first, rows, e, size, inside,
    TOKENS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Sum of the steps after each token, in scan order, up to the end of its tile.

    Summed from the later steps themselves: subtracting a token's own step from an inclusive sum
    would cancel.
    """
    later = rows - 1 if REVERSE else rows + 1
    mask = ((rows < size) & (later >= 0) & (later < size))[:, None] & inside[None, :]
    steps = step_sizes(delta, ld_delta, bias, first, later, e, mask)
    return running_sum(steps, rows, TOKENS, not REVERSE)


@triton.jit
def store_decayed_sums(
    sums, tile, time, values, weights, rates, first, rows, size, e, inside,
    tokens, channels, n_states,
):  # fmt: skip
    """Store ``sum_t exp2(rates[n] time_t) values_t weights[n, t]`` for every state n."""
    for n in range(n_states):
        rate = load_vector(rates + n * channels, e, inside)
        row = weights + (n * tokens + first)
        weight = tl.load(row + rows, mask=rows < size, other=0.0)[:, None]
        total = tl.sum(tl.exp2(rate * time) * (values * weight), 0)
        tl.store(sums + (tile * n_states + n) * channels + e, total, mask=inside)


@triton.jit(do_not_specialize_on_alignment=STRIDES)
def tile_ends(
    u, ld_u, delta, ld_delta, bias, rates, B, table, elapsed, ends,
    tokens, channels, n_states,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 1: the state at the end of every tile if it starts from zero, and the time in it."""
    tile = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size = tile_bounds(table, tile)
    rows = tl.arange(0, TOKENS)
    mask = (rows < size)[:, None] & inside[None, :]
    bias_e = load_vector(bias, e, inside)
    dt = step_sizes(delta, ld_delta, bias_e, first, rows, e, mask)
    tl.store(elapsed + tile * channels + e, tl.sum(dt, 0), mask=inside)
    time = remaining_time(delta, ld_delta, bias_e, first, rows, e, size, inside, TOKENS, REVERSE)
    x = dt * load_tile(u, ld_u, first, rows, e, mask)
    store_decayed_sums(
        ends, tile, time, x, B, rates, first, rows, size, e, inside, tokens, channels, n_states
    )


@triton.jit(do_not_specialize_on_alignment=STRIDES)
def carry_states(
    elapsed, rates, ends, initial, starts, last, first_tile,
    channels, n_states,
    TILES: tl.constexpr, LANES: tl.constexpr, HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 2: the state at the start of every tile and the last state of every stream."""
    stream = tl.program_id(0).to(tl.int64)
    lanes = channels * n_states
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)
    inside = lane < lanes
    e = lane % channels
    begin = tl.load(first_tile + stream).to(tl.int64)
    end = tl.load(first_tile + stream + 1).to(tl.int64)
    rate = load_vector(rates, lane, inside)
    state = tl.zeros([LANES], tl.float32)
    if HAS_INITIAL:
        state = tl.load(initial + stream * lanes + lane, mask=inside, other=0.0)
    step = -1 if REVERSE else 1
    origin = end - 1 if REVERSE else begin
    tl.store(starts + origin * lanes + lane, state, mask=inside)
    k = tl.arange(0, TILES)
    for done in range(0, end - begin, TILES):
        left = end - begin - done
        first, order = origin + step * done, step * k
        mask = (k < left)[:, None] & inside[None, :]
        decay = tl.exp2(rate * load_tile(elapsed, channels, first, order, e, mask))
        added = load_tile(ends, lanes, first, order, lane, mask)
        after = added
        for i in tl.static_range(TILES):
            state = row_of(decay, k, i) * state + row_of(added, k, i)
            after = with_row(after, k, i, state)
        following = tile_pointers(starts, lanes, first + step, order, lane)
        tl.store(following, after, mask=mask & (k + 1 < left)[:, None])
    tl.store(last + stream * lanes + lane, state, mask=inside)


@triton.jit(do_not_specialize_on_alignment=STRIDES)
def outputs(
    u, ld_u, delta, ld_delta, bias, rates, B, C, D, residual, ld_residual, z, ld_z,
    table, starts, out,
    tokens, channels, n_states,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr, GATED: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Phase 3: run every tile from its state; skip connection, sum of directions and gate."""
    tile = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size = tile_bounds(table, tile)
    rows = tl.arange(0, TOKENS)
    used = rows < size
    mask = used[:, None] & inside[None, :]
    dt = step_sizes(delta, ld_delta, load_vector(bias, e, inside), first, rows, e, mask)
    u_te = load_tile(u, ld_u, first, rows, e, mask)
    x = dt * u_te
    y = load_vector(D, e, inside) * u_te
    for n in range(n_states):
        rate = load_vector(rates + n * channels, e, inside)
        at_boundary = (tile * n_states + n) * channels
        state = tl.load(starts + at_boundary + e, mask=inside, other=0.0)
        by_token = n * tokens + first
        b = tl.load(B + by_token + rows, mask=used, other=0.0)[:, None]
        c = tl.load(C + by_token + rows, mask=used, other=0.0)[:, None]
        decay = tl.exp2(rate * dt)
        h = x * b
        for i in tl.static_range(TOKENS):
            k = TOKENS - 1 - i if REVERSE else i
            state = row_of(decay, rows, k) * state + row_of(h, rows, k)
            h = with_row(h, rows, k, state)
        y += h * c
    if HAS_RESIDUAL:
        y += load_tile(residual, ld_residual, first, rows, e, mask)
    if GATED:
        gate = load_tile(z, ld_z, first, rows, e, mask)
        y *= gate * sigmoid(gate)
    tl.store(tile_pointers(out, channels, first, rows, e), y, mask=mask)
