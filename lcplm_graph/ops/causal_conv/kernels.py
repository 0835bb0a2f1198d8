"""Numba kernels of the short causal convolution with SiLU, forward and backward.

All arrays are flat float32; weights are (K, E); ``ld_x`` is the distance between rows of x.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from lcplm_graph.ops import simd
from lcplm_graph.ops.causal_conv.steps import add_scaled_reversed, dot, dot_reversed, push
from lcplm_graph.ops.simd import load_states, parallel_kernel, store_states, zeros_like
from lcplm_graph.ops.vector_ir import LANES

ROWS = 256
"""Tokens of one forward job."""

AHEAD = 8
"""Steps by which the backward pass prefetches rows."""


@parallel_kernel
def conv_forward(template, x, ld_x, weight, bias, stream_of, cu, reverse, out):
    """Write ``out = silu(conv(x) + bias)``; ``stream_of[j]`` is the stream of token j * ROWS.

    `template` is a tuple as long as the kernel has taps.
    """
    channels = bias.shape[0]
    taps = len(template)
    tokens = out.shape[0] // channels
    for job in prange(stream_of.shape[0]):
        s = stream_of[job]
        for t in range(job * ROWS, min(tokens, (job + 1) * ROWS)):
            while t >= cu[s + 1]:
                s += 1
            begin, end = cu[s], cu[s + 1]
            first = t if reverse else t - taps + 1
            whole = begin <= first and first + taps <= end
            for e in range(0, channels, LANES):
                total = simd.load(bias, e)
                if whole:
                    window = load_states(template, x, first * ld_x + e, ld_x)
                    w = load_states(template, weight, e, channels)
                    total = dot_reversed(w, window, total) if reverse else dot(w, window, total)
                else:
                    for k in range(taps):
                        source = t + taps - 1 - k if reverse else first + k
                        if begin <= source < end:
                            w_k = simd.load(weight, k * channels + e)
                            total = simd.fma(simd.load(x, source * ld_x + e), w_k, total)
                simd.store(out, t * channels + e, simd.mul(total, simd.sigmoid(total)))


@parallel_kernel
def conv_backward(template, x, ld_x, weight, bias, cu, reverse, dout, dx, dweight, dbias):
    """Write all gradients.  One job owns 16 channels, so sums do not depend on the threads."""
    channels = bias.shape[0]
    taps = len(template)
    one, minus_one = np.float32(1.0), np.float32(-1.0)
    zero_scalar = np.float32(0.0)
    for job in prange(channels // LANES):
        e = job * LANES
        w, bias_e = load_states(template, weight, e, channels), simd.load(bias, e)
        ones, negative, zero = simd.splat(one), simd.splat(minus_one), simd.splat(zero_scalar)
        dw, db = zeros_like(template), zero
        for s in range(cu.shape[0] - 1):
            begin, end = cu[s], cu[s + 1]
            # Windows over x and over the gradient before the SiLU, newest first.
            recent_x, recent_g = zeros_like(template), zeros_like(template)
            for i in range(end - begin + taps - 1):
                g = zero
                if i < end - begin:
                    t = end - 1 - i if reverse else begin + i
                    soon = max(t - AHEAD, begin) if reverse else min(t + AHEAD, end - 1)
                    simd.prefetch_read(x, soon * ld_x + e)
                    simd.prefetch_read(dout, soon * channels + e)
                    simd.prefetch_write(dx, soon * channels + e)
                    recent_x = push(recent_x, simd.load(x, t * ld_x + e))
                    total = dot_reversed(w, recent_x, bias_e)
                    sig = simd.sigmoid(total)
                    slope = simd.mul(sig, simd.fma(total, simd.fma(negative, sig, ones), ones))
                    g = simd.mul(simd.load(dout, t * channels + e), slope)
                    db = simd.add(db, g)
                    dw = add_scaled_reversed(dw, g, recent_x)
                recent_g = push(recent_g, g)
                if i >= taps - 1:
                    back = i - taps + 1
                    t = end - 1 - back if reverse else begin + back
                    simd.store(dx, t * channels + e, dot(w, recent_g, zero))
        store_states(dweight, e, channels, dw)
        simd.store(dbias, e, db)
