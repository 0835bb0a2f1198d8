"""Numba kernels of the selective scan, forward and backward.

One job of the forward pass owns 16 channels of one stream and keeps their N states in registers.
The backward pass replays `CHUNK` steps at a time from states saved by the forward pass, so its
memory is O(tokens x channels), never times N.  Its jobs are fixed blocks of streams and channels,
chosen from the shapes alone: sums come out in the same order for any number of threads.

All arrays are flat float32; ``ld_*`` is the distance between rows.
"""

from __future__ import annotations

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

SIDE_BY_SIDE = (0,) * 8
"""As many step sizes are made at once: their sums wait for each other's last addition otherwise."""

ZERO = np.float32(0.0)
LN2 = np.float32(0.6931471805599453)

part_of_kernel = njit(fastmath=FAST, nogil=True)
parallel_kernel = njit(parallel=True, fastmath=FAST, cache=True, nogil=True)


@njit(inline="always")
def _token(i, begin, end, reverse):
    return end - 1 - i if reverse else begin + i


@njit(inline="always")
def _next(block, count, step, row):
    """Distance to the elements that are read after these: of the next vector, or stretch."""
    return LANES if block + 1 < count else step * STRETCH * row - block * LANES


@part_of_kernel
def _step_sizes(work, steps, first, step, ahead, at, delta, ld_delta, rank, weight, bias_e):
    """Write softplus(delta + bias) of 16 channels to `work`, for tokens ``first + k * step``.

    The elements `ahead` are prefetched: rows are too far apart for the processor to foresee them.
    With a rank, delta is the product of `rank` numbers a token and of `weight` from `at` on.
    """
    if rank == 0:
        for k in range(steps):
            source = (first + k * step) * ld_delta + at
            simd.prefetch_read(delta, source + ahead)
            x = simd.load(delta, source)
            simd.store(work, k * LANES, simd.softplus(simd.add(x, bias_e)))
        return
    whole = steps // len(SIDE_BY_SIDE) * len(SIDE_BY_SIDE)
    for k in range(0, whole, len(SIDE_BY_SIDE)):
        sums = splat_states(SIDE_BY_SIDE, bias_e)
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
    template, work, states, states_at, steps, first, step, ahead, e, u, a, d, b, ld_b, c, ld_c,
    residual, has_residual, z, ld_z, has_gate, out, saved, saved_at, save,
):  # fmt: skip
    """Replace the step sizes in `work` by the outputs, and the states by those after the steps.

    With `save` the states before every chunk are kept.  The elements `ahead`, and what `_write`
    needs, are prefetched.
    """
    simd.own_frame()
    channels = d.shape[0]
    a_e, d_e = load_states(template, a, e, channels), simd.load(d, e)
    h = load_states(template, states, states_at, LANES)
    for k in range(steps):
        if save and k % CHUNK == 0:
            at = saved_at + k // CHUNK * channels * len(template)
            store_states(saved, at, LANES, h)
        t = first + k * step
        at = t * channels + e
        simd.prefetch_read(u, at + ahead)
        simd.prefetch_write(out, at)
        if has_gate:
            simd.prefetch_read(z, t * ld_z + e)
        u_t, dt = simd.load(u, at), simd.load(work, k * LANES)
        y_t = simd.mul(u_t, d_e)
        if has_residual:
            simd.prefetch_read(residual, at + ahead)
            y_t = simd.add(y_t, simd.load(residual, at))
        h, y_t = scan_step(h, a_e, dt, simd.mul(dt, u_t), y_t, b, t * ld_b, c, t * ld_c)
        simd.store(work, k * LANES, y_t)
    store_states(states, states_at, LANES, h)


@part_of_kernel
def _write(work, steps, first, step, e, channels, z, ld_z, has_gate, save, y, out):
    """Write the outputs in `work`, gated where there is a gate."""
    for k in range(steps):
        t = first + k * step
        at = t * channels + e
        y_t = simd.load(work, k * LANES)
        if has_gate:
            if save:
                simd.store(y, at, y_t)
            z_t = simd.load(z, t * ld_z + e)
            y_t = simd.mul(y_t, simd.mul(z_t, simd.sigmoid(z_t)))
        simd.store(out, at, y_t)


@parallel_kernel
def scan_forward(
    template, width, u, delta, ld_delta, rank, weight, bias, a, b, ld_b, c, ld_c, d,
    residual, has_residual, z, ld_z, has_gate,
    cu, chunk_of, initial, has_initial, reverse, save, y, out, saved, last,
):  # fmt: skip
    """Write `out`; with `save` also the ungated `y` and the state before every chunk.

    A job takes `width` vectors of channels of a stream along it, so that it reads whole lengths of
    a row; that changes no result.
    """
    n_states = len(template)
    channels = d.shape[0]
    streams = cu.shape[0] - 1
    blocks = channels // LANES
    step = -1 if reverse else 1
    # Channels outermost: every thread gets all streams, so ragged lengths balance.
    for job in prange(streams * ((blocks + width - 1) // width)):
        s = job % streams
        first_block = job // streams * width
        count = min(width, blocks - first_block)
        begin, end = cu[s], cu[s + 1]
        states_at = (s * channels + first_block * LANES) * n_states
        states = simd.scratch(count * n_states * LANES)
        if has_initial:
            for i in range(count * n_states * LANES):
                states[i] = initial[states_at + i]
        else:
            states[:] = 0
        # Step sizes, then outputs: three short loops overlap better than one long one.
        work = simd.scratch(STRETCH * LANES)
        for i in range(0, end - begin, STRETCH):
            steps = min(STRETCH, end - begin - i)
            first = _token(i, begin, end, reverse)
            for block in range(count):
                e = (first_block + block) * LANES
                _step_sizes(
                    work, steps, first, step, _next(block, count, step, ld_delta),
                    e * rank if rank else e, delta, ld_delta, rank, weight, simd.load(bias, e),
                )  # fmt: skip
                _stretch(
                    template, work, states, block * n_states * LANES, steps, first, step,
                    _next(block, count, step, channels), e, u, a, d, b, ld_b, c, ld_c,
                    residual, has_residual, z, ld_z, has_gate, out,
                    saved, ((chunk_of[s] + i // CHUNK) * channels + e) * n_states, save,
                )  # fmt: skip
                _write(work, steps, first, step, e, channels, z, ld_z, has_gate, save, y, out)
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


@parallel_kernel
def scan_backward(
    template, parts, u, delta, bias, a, b, ld_b, c, ld_c, d, cu, chunk_of, blocks, reverse, dy,
    saved, du, ddelta, da, dd, dbias, db, dc,
):  # fmt: skip
    """Write all gradients; `da`, `dd`, `dbias` per stream block, `db`, `dc` per channel group.

    The states are worked on in `parts` of as many as `template` has, at most 8, so that they, their
    gradients and the sum of dA stay in registers.  ``blocks[p]:blocks[p + 1]`` are the streams of
    block p.
    """
    n_states = parts * len(template)
    channels = d.shape[0]
    tokens = u.shape[0] // channels
    groups = (channels + GROUP - 1) // GROUP
    step = len(template) * LANES
    for job in prange((blocks.shape[0] - 1) * groups):
        p, g = job // groups, job % groups
        first, width = g * GROUP, min(GROUP, channels - g * GROUP)
        # States before and after every step, decays; then step sizes and two sums over states.
        decay_at = (CHUNK + 1) * step
        dt_at = decay_at + CHUNK * step
        gb_at, gha_at = dt_at + CHUNK * LANES, dt_at + 2 * CHUNK * LANES
        tape = simd.scratch(dt_at + 3 * CHUNK * LANES)
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
                lanes[:] = 0
                for offset in range(0, width, LANES):
                    e = first + offset
                    bias_e, d_e = simd.load(bias, e), simd.load(d, e)
                    for k in range(steps):
                        t = _token(chunk * CHUNK + k, begin, end, reverse)
                        at = t * channels + e
                        # The next block of channels of this token.
                        simd.prefetch_read(delta, at + LANES)
                        simd.prefetch_read(u, at + LANES)
                        simd.prefetch_read(dy, at + LANES)
                        simd.prefetch_write(du, at + LANES)
                        simd.prefetch_write(ddelta, at + LANES)
                        dt = simd.softplus(simd.add(simd.load(delta, at), bias_e))
                        simd.store(tape, dt_at + k * LANES, dt)
                        simd.store(tape, gb_at + k * LANES, simd.splat(ZERO))
                        simd.store(tape, gha_at + k * LANES, simd.splat(ZERO))
                    for part in range(parts):
                        n = part * len(template)
                        a_e = load_states(template, a, n * channels + e, channels)
                        saved_at = ((chunk_of[s] + chunk) * channels + e) * n_states
                        h = load_states(template, saved, saved_at + n * LANES, LANES)
                        store_states(tape, 0, LANES, h)
                        for k in range(steps):
                            t = _token(chunk * CHUNK + k, begin, end, reverse)
                            dt = simd.load(tape, dt_at + k * LANES)
                            h = replay_step(
                                h, a_e, dt, simd.mul(dt, simd.load(u, t * channels + e)),
                                b, t * ld_b + n, tape, (k + 1) * step, decay_at + k * step,
                            )  # fmt: skip
                        state_at = offset * n_states + n * LANES
                        grad = load_states(template, carry, state_at, LANES)
                        da_e = load_states(template, sums, state_at, LANES)
                        for k in range(steps - 1, -1, -1):
                            t = _token(chunk * CHUNK + k, begin, end, reverse)
                            at = t * channels + e
                            dt = simd.load(tape, dt_at + k * LANES)
                            grad, da_e, gb, gha = backward_step(
                                grad, da_e, a_e, dt, simd.mul(dt, simd.load(u, at)),
                                simd.load(dy, at), b, t * ld_b + n, c, t * ld_c + n,
                                tape, k * step, decay_at + k * step,
                                lanes, (k * parts + part) * LANES,
                            )  # fmt: skip
                            add_to(tape, gb_at + k * LANES, gb)
                            add_to(tape, gha_at + k * LANES, gha)
                        store_states(carry, state_at, LANES, grad)
                        store_states(sums, state_at, LANES, da_e)
                    dd_e = simd.load(sums, dd_at + offset)
                    dbias_e = simd.load(sums, dbias_at + offset)
                    for k in range(steps):
                        at = _token(chunk * CHUNK + k, begin, end, reverse) * channels + e
                        u_t, dy_t = simd.load(u, at), simd.load(dy, at)
                        dt = simd.load(tape, dt_at + k * LANES)
                        gb = simd.load(tape, gb_at + k * LANES)
                        gha = simd.load(tape, gha_at + k * LANES)
                        ddt = simd.fma(gha, simd.splat(LN2), simd.mul(u_t, gb))
                        # The slope of softplus(x), its sigmoid, is exp(x - softplus(x)).
                        x = simd.add(simd.load(delta, at), bias_e)
                        ddelta_t = simd.mul(ddt, simd.exp(simd.sub(x, dt)))
                        simd.store(ddelta, at, ddelta_t)
                        simd.store(du, at, simd.fma(dt, gb, simd.mul(d_e, dy_t)))
                        dbias_e = simd.add(dbias_e, ddelta_t)
                        dd_e = simd.fma(u_t, dy_t, dd_e)
                    simd.store(sums, dd_at + offset, dd_e)
                    simd.store(sums, dbias_at + offset, dbias_e)
                for k in range(steps):
                    t = _token(chunk * CHUNK + k, begin, end, reverse)
                    for part in range(parts):
                        at = (g * tokens + t) * n_states + part * len(template)
                        for n in range(len(template)):
                            source = (k * parts + part) * LANES + n
                            db[at + n] = lanes[source]
                            dc[at + n] = lanes[source + LANES // 2]
        for i in range(width * n_states):
            da[(p * channels + first) * n_states + i] = sums[i]
        for i in range(width):
            dd[p * channels + first + i] = sums[dd_at + i]
            dbias[p * channels + first + i] = sums[dbias_at + i]
