"""Numba kernels of the selective scan, forward and backward.

One job of the forward pass takes some vectors of 16 channels along one stream, `STRETCH` steps of
each in turn, and keeps the N states of the one at work in registers.
The backward pass replays `CHUNK` steps at a time from states saved by the forward pass, so its
memory is O(tokens x channels), never times N.  Its jobs are fixed blocks of streams and channels,
chosen from the shapes alone: sums come out in the same order for any number of threads.

All arrays are flat float32; ``ld_*`` is the distance between rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from lcplm_graph.ops import simd
from lcplm_graph.ops.selective_scan.steps import (
    add_outer,
    backward_step,
    replay_step,
    scan_step,
)
from lcplm_graph.ops.simd import (
    FAST,
    add_to,
    load_states,
    parallel_kernel,
    splat_states,
    store_states,
)
from lcplm_graph.ops.vector_ir import LANES

CHUNK = 16
"""Steps between two saved states."""

STRETCH = 64
"""Steps that the forward pass takes with 16 channels before it turns to the next; whole chunks."""

GROUP = 128
"""Channels that one backward job sums dB and dC over."""

STEPS_AT_ONCE = (0,) * 8
"""As many step sizes are made at once: their sums wait for each other's last addition otherwise."""

DT, U, DTU, DY, SLOPE, GB, GHA, STATES = (i * CHUNK * LANES for i in range(8))
"""Where the backward pass keeps what of a chunk's steps, 16 channels each; states come last."""

ZERO = np.float32(0.0)
LN2 = np.float32(0.6931471805599453)


class Inputs(NamedTuple):
    """Operands of a forward pass; the README beside has their shapes.

    What is not given has an array of one element, which is never read.
    """

    u: Any
    delta: Any
    ld_delta: int
    rank: int
    weight: Any
    bias: Any
    a: Any
    b: Any
    ld_b: int
    c: Any
    ld_c: int
    d: Any
    residual: Any
    has_residual: bool
    z: Any
    ld_z: int
    has_gate: bool
    initial: Any
    has_initial: bool


class Outputs(NamedTuple):
    """What a forward pass writes: ungated outputs and states before chunks for gradients only."""

    out: Any
    last: Any
    y: Any
    saved: Any


class BackwardInputs(NamedTuple):
    """Operands of a backward pass: step sizes are whole, `dy` is the gradient before the gate."""

    u: Any
    delta: Any
    bias: Any
    a: Any
    b: Any
    ld_b: int
    c: Any
    ld_c: int
    d: Any
    dy: Any
    saved: Any


class Gradients(NamedTuple):
    """What a backward pass writes: `a`, `d`, `bias` by stream block, `b`, `c` by channel group."""

    u: Any
    delta: Any
    a: Any
    d: Any
    bias: Any
    b: Any
    c: Any


part_of_kernel = njit(fastmath=FAST, nogil=True)


@njit(inline="always")
def _token(i, begin, end, reverse):
    return end - 1 - i if reverse else begin + i


@njit(inline="always")
def _next(block, count, step, row):
    """Distance to the elements that are read after these: of the next vector, or stretch."""
    return LANES if block + 1 < count else step * STRETCH * row - block * LANES


@part_of_kernel
def _step_sizes(work, steps, first, step, ahead, e, x):
    """Write softplus(delta + bias) of 16 channels to `work`, for tokens ``first + k * step``.

    The elements `ahead` are prefetched: rows are too far apart for the processor to foresee them.
    With a rank, delta is the product of `rank` numbers a token and of a block of the weight.
    """
    delta, ld_delta, rank, weight, at = x.delta, x.ld_delta, x.rank, x.weight, e * x.rank
    bias_e = simd.load(x.bias, e)
    if rank == 0:
        for k in range(steps):
            source = (first + k * step) * ld_delta + e
            simd.prefetch_read(delta, source + ahead)
            size = simd.add(simd.load(delta, source), bias_e)
            simd.store(work, k * LANES, simd.softplus(size))
        return
    whole = steps // len(STEPS_AT_ONCE) * len(STEPS_AT_ONCE)
    for k in range(0, whole, len(STEPS_AT_ONCE)):
        sums = splat_states(STEPS_AT_ONCE, bias_e)
        for r in range(rank):
            sums = add_outer(
                sums, simd.load(weight, at + r * LANES), delta, (first + k * step) * ld_delta + r,
                step * ld_delta,
            )  # fmt: skip
        store_states(work, k * LANES, LANES, sums)
    for k in range(whole, steps):
        one = splat_states((0,), bias_e)
        for r in range(rank):
            one = add_outer(
                one, simd.load(weight, at + r * LANES), delta, (first + k * step) * ld_delta + r, 0
            )
        store_states(work, k * LANES, LANES, one)
    for k in range(steps):
        simd.store(work, k * LANES, simd.softplus(simd.load(work, k * LANES)))


@part_of_kernel
def _stretch(
    template, work, states, states_at, steps, first, step, ahead, e, x, out, saved, saved_at, save
):
    """Replace the step sizes in `work` by the outputs, and the states by those after the steps.

    With `save` the states before every chunk are kept.  The elements `ahead`, and what `_write`
    needs, are prefetched.
    """
    simd.own_frame()
    channels = x.d.shape[0]
    a_e, d_e = load_states(template, x.a, e, channels), simd.load(x.d, e)
    h = load_states(template, states, states_at, LANES)
    for k in range(steps):
        if save and k % CHUNK == 0:
            at = saved_at + k // CHUNK * channels * len(template)
            store_states(saved, at, LANES, h)
            for n in range(len(template)):
                simd.prefetch_write(saved, at + n * LANES + channels * len(template))
        t = first + k * step
        at = t * channels + e
        simd.prefetch_read(x.u, at + ahead)
        simd.prefetch_write(out, at)
        if x.has_gate:
            simd.prefetch_read(x.z, t * x.ld_z + e)
        u_t, dt = simd.load(x.u, at), simd.load(work, k * LANES)
        y_t = simd.mul(u_t, d_e)
        if x.has_residual:
            simd.prefetch_read(x.residual, at + ahead)
            y_t = simd.add(y_t, simd.load(x.residual, at))
        h, y_t = scan_step(h, a_e, dt, simd.mul(dt, u_t), y_t, x.b, t * x.ld_b, x.c, t * x.ld_c)
        simd.store(work, k * LANES, y_t)
    store_states(states, states_at, LANES, h)


@part_of_kernel
def _write(work, steps, first, step, e, x, save, y, out):
    """Write the outputs in `work`, gated where there is a gate."""
    channels = x.d.shape[0]
    for k in range(steps):
        t = first + k * step
        at = t * channels + e
        y_t = simd.load(work, k * LANES)
        if x.has_gate:
            if save:
                simd.store(y, at, y_t)
            z_t = simd.load(x.z, t * x.ld_z + e)
            y_t = simd.mul(y_t, simd.mul(z_t, simd.sigmoid(z_t)))
        simd.store(out, at, y_t)


@parallel_kernel
def scan_forward(template, width, x, cu, chunk_of, reverse, save, results):
    """Write outputs and last states; with `save` also ungated outputs and states before chunks.

    A job takes `width` vectors of channels of a stream along it, so that it reads whole lengths of
    a row; that changes no result.
    """
    n_states = len(template)
    channels = x.d.shape[0]
    streams = cu.shape[0] - 1
    blocks = channels // LANES
    last = results.last  # Numba loses what a parallel loop writes to a field.
    step = -1 if reverse else 1
    # Channels outermost: every thread gets all streams, so ragged lengths balance.
    for job in prange(streams * ((blocks + width - 1) // width)):
        s = job % streams
        first_block = job // streams * width
        count = min(width, blocks - first_block)
        begin, end = cu[s], cu[s + 1]
        states_at = (s * channels + first_block * LANES) * n_states
        states = simd.scratch(count * n_states * LANES)
        if x.has_initial:
            for i in range(count * n_states * LANES):
                states[i] = x.initial[states_at + i]
        else:
            states[:] = 0
        # Step sizes, then outputs: three short loops overlap better than one long one.
        work = simd.scratch(STRETCH * LANES)
        for i in range(0, end - begin, STRETCH):
            steps = min(STRETCH, end - begin - i)
            first = _token(i, begin, end, reverse)
            for block in range(count):
                e = (first_block + block) * LANES
                _step_sizes(work, steps, first, step, _next(block, count, step, x.ld_delta), e, x)
                _stretch(
                    template, work, states, block * n_states * LANES, steps, first, step,
                    _next(block, count, step, channels), e, x, results.out, results.saved,
                    ((chunk_of[s] + i // CHUNK) * channels + e) * n_states, save,
                )  # fmt: skip
                _write(work, steps, first, step, e, x, save, results.y, results.out)
        for i in range(count * n_states * LANES):
            last[states_at + i] = states[i]


@parallel_kernel
def gate_backward(y, z, ld_z, dout, dy, dz, channels):
    """Backward of ``out = y silu(z)``."""
    one, minus_one = np.float32(1.0), np.float32(-1.0)
    tokens = y.shape[0] // channels
    rows = 64
    for job in prange((tokens + rows - 1) // rows):
        ones, negative = simd.splat(one), simd.splat(minus_one)
        for t in range(job * rows, min(tokens, (job + 1) * rows)):
            for e in range(0, channels, LANES):
                at = t * channels + e
                z_t, y_t = simd.load(z, t * ld_z + e), simd.load(y, at)
                g = simd.load(dout, at)
                sig = simd.sigmoid(z_t)
                simd.store(dy, at, simd.mul(g, simd.mul(z_t, sig)))
                # silu' = sig (1 + z (1 - sig))
                slope = simd.mul(sig, simd.fma(z_t, simd.fma(negative, sig, ones), ones))
                simd.store(dz, at, simd.mul(simd.mul(g, y_t), slope))


@part_of_kernel
def _gather(tape, steps, first, step, ahead, e, x, grads):
    """Put what a chunk's gradients need on `tape`: rows are too far apart to stay in the cache.

    The elements `ahead`, and those that `_scatter` writes, are prefetched.
    """
    channels, bias_e = x.d.shape[0], simd.load(x.bias, e)
    for k in range(steps):
        at = (first + k * step) * channels + e
        simd.prefetch_read(x.delta, at + ahead)
        simd.prefetch_read(x.u, at + ahead)
        simd.prefetch_read(x.dy, at + ahead)
        simd.prefetch_write(grads.u, at)
        simd.prefetch_write(grads.delta, at)
        size, u_t, own = simd.add(simd.load(x.delta, at), bias_e), simd.load(x.u, at), k * LANES
        dt = simd.softplus(size)
        simd.store(tape, DT + own, dt)
        simd.store(tape, U + own, u_t)
        simd.store(tape, DTU + own, simd.mul(dt, u_t))
        simd.store(tape, DY + own, simd.load(x.dy, at))
        # The slope of softplus, the sigmoid, is exp(x - softplus(x)).
        simd.store(tape, SLOPE + own, simd.exp(simd.sub(size, dt)))
        simd.store(tape, GB + own, simd.splat(ZERO))
        simd.store(tape, GHA + own, simd.splat(ZERO))


@part_of_kernel
def _back(
    template, tape, steps, first, step, e, n, x, saved_at, carry, sums, states_at,
    lanes, lanes_at, ld_lanes,
):  # fmt: skip
    """Replay a chunk from its saved states, then go back through it, with states from `n` on.

    `carry` holds the gradients of the states, `sums` those of A; sums over states that the
    gradients of u and delta need are added to `tape`, dB and dC to `lanes`.
    """
    simd.own_frame()
    width = len(template) * LANES
    decays = STATES + (CHUNK + 1) * width
    channels = x.d.shape[0]
    a_e = load_states(template, x.a, n * channels + e, channels)
    h = load_states(template, x.saved, saved_at, LANES)
    store_states(tape, STATES, LANES, h)
    for k in range(steps):
        h = replay_step(
            h, a_e, simd.load(tape, DT + k * LANES), simd.load(tape, DTU + k * LANES),
            x.b, (first + k * step) * x.ld_b + n,
            tape, STATES + (k + 1) * width, decays + k * width,
        )  # fmt: skip
    grad = load_states(template, carry, states_at, LANES)
    da_e = load_states(template, sums, states_at, LANES)
    for k in range(steps - 1, -1, -1):
        t = first + k * step
        grad, da_e, gb, gha = backward_step(
            grad, da_e, a_e, simd.load(tape, DT + k * LANES), simd.load(tape, DTU + k * LANES),
            simd.load(tape, DY + k * LANES), x.b, t * x.ld_b + n, x.c, t * x.ld_c + n,
            tape, STATES + k * width, decays + k * width, lanes, lanes_at + k * ld_lanes,
        )  # fmt: skip
        add_to(tape, GB + k * LANES, gb)
        add_to(tape, GHA + k * LANES, gha)
    store_states(carry, states_at, LANES, grad)
    store_states(sums, states_at, LANES, da_e)


@part_of_kernel
def _scatter(tape, steps, first, step, e, x, grads, sums, dd_at, dbias_at):
    """Write the gradients of u and delta, and add to those of D and the bias in `sums`."""
    channels, d_e = x.d.shape[0], simd.load(x.d, e)
    dd_e, dbias_e = simd.load(sums, dd_at), simd.load(sums, dbias_at)
    for k in range(steps):
        at, own = (first + k * step) * channels + e, k * LANES
        dt, u_t, dy_t = (
            simd.load(tape, DT + own), simd.load(tape, U + own), simd.load(tape, DY + own)
        )  # fmt: skip
        gb, gha = simd.load(tape, GB + own), simd.load(tape, GHA + own)
        ddt = simd.fma(gha, simd.splat(LN2), simd.mul(u_t, gb))
        ddelta_t = simd.mul(ddt, simd.load(tape, SLOPE + own))
        simd.store(grads.delta, at, ddelta_t)
        simd.store(grads.u, at, simd.fma(dt, gb, simd.mul(d_e, dy_t)))
        dbias_e = simd.add(dbias_e, ddelta_t)
        dd_e = simd.fma(u_t, dy_t, dd_e)
    simd.store(sums, dd_at, dd_e)
    simd.store(sums, dbias_at, dbias_e)


@parallel_kernel
def scan_backward(template, parts, x, cu, chunk_of, blocks, reverse, grads):
    """Write all gradients.

    The states are worked on in `parts` of as many as `template` has, at most 8, so that they, their
    gradients and the sum of dA stay in registers.  ``blocks[p]:blocks[p + 1]`` are the streams of
    block p.
    """
    n_states = parts * len(template)
    channels = x.d.shape[0]
    tokens = x.u.shape[0] // channels
    # Numba loses what a parallel loop writes to a field.
    da, dd, dbias, db, dc = grads.a, grads.d, grads.bias, grads.b, grads.c
    groups = (channels + GROUP - 1) // GROUP
    step = -1 if reverse else 1
    for job in prange((blocks.shape[0] - 1) * groups):
        p, g = job // groups, job % groups
        first_channel, width = g * GROUP, min(GROUP, channels - g * GROUP)
        # States before and after every step, and decays, follow the rows.
        tape = simd.scratch(STATES + (2 * CHUNK + 1) * len(template) * LANES)
        # Sums over channels: dB and dC of one step and part in one vector.
        lanes = simd.scratch(CHUNK * parts * LANES)
        dd_at, dbias_at = width * n_states, width * n_states + width
        sums = simd.scratch(dbias_at + width)
        carry = simd.scratch(width * n_states)
        sums[:] = 0
        for s in range(blocks[p], blocks[p + 1]):
            begin, end = cu[s], cu[s + 1]
            length = end - begin
            carry[:] = 0
            for chunk in range((length + CHUNK - 1) // CHUNK - 1, -1, -1):
                steps = min(CHUNK, length - chunk * CHUNK)
                first = _token(chunk * CHUNK, begin, end, reverse)
                lanes[:] = 0
                for offset in range(0, width, LANES):
                    e = first_channel + offset
                    saved_at = ((chunk_of[s] + chunk) * channels + e) * n_states
                    # After the last vector of a row comes the chunk before.
                    ahead, saved_ahead = LANES, LANES * n_states
                    if offset + LANES == width:
                        ahead = -CHUNK * step * channels - offset
                        saved_ahead = (-channels - offset) * n_states
                    for n in range(n_states):
                        simd.prefetch_read(x.saved, saved_at + saved_ahead + n * LANES)
                    _gather(tape, steps, first, step, ahead, e, x, grads)
                    for part in range(parts):
                        n = part * len(template)
                        _back(
                            template, tape, steps, first, step, e, n, x, saved_at + n * LANES,
                            carry, sums, offset * n_states + n * LANES,
                            lanes, part * LANES, parts * LANES,
                        )  # fmt: skip
                    _scatter(
                        tape, steps, first, step, e, x, grads, sums, dd_at + offset,
                        dbias_at + offset,
                    )  # fmt: skip
                for k in range(steps):
                    for part in range(parts):
                        at = (g * tokens + first + k * step) * n_states + part * len(template)
                        for n in range(len(template)):
                            source = (k * parts + part) * LANES + n
                            db[at + n] = lanes[source]
                            dc[at + n] = lanes[source + LANES // 2]
        for i in range(width * n_states):
            da[(p * channels + first_channel) * n_states + i] = sums[i]
        for i in range(width):
            dd[p * channels + first_channel + i] = sums[dd_at + i]
            dbias[p * channels + first_channel + i] = sums[dbias_at + i]
