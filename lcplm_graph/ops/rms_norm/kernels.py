"""Numba kernels of the root-mean-square norm; all arrays are flat float32, rows end to end."""

from __future__ import annotations

import numpy as np
from numba import prange

from lcplm_graph.ops import simd
from lcplm_graph.ops.simd import parallel_kernel
from lcplm_graph.ops.vector_ir import LANES

ROWS = 64
"""Rows of one forward job."""

ZERO, ONE = np.float32(0.0), np.float32(1.0)


@parallel_kernel
def norm_forward(x, weight, eps, out, scale):
    """Write the normed rows, and the factor of each row to `scale`."""
    size = weight.shape[0]
    rows = scale.shape[0]
    for job in prange((rows + ROWS - 1) // ROWS):
        for t in range(job * ROWS, min(rows, (job + 1) * ROWS)):
            squares = simd.splat(ZERO)
            for at in range(t * size, (t + 1) * size, LANES):
                x_t = simd.load(x, at)
                squares = simd.fma(x_t, x_t, squares)
            scale[t] = ONE / np.sqrt(simd.total(squares) / np.float32(size) + np.float32(eps))
            factor = simd.splat(scale[t])
            for e in range(0, size, LANES):
                w = simd.mul(simd.load(weight, e), factor)
                simd.store(out, t * size + e, simd.mul(simd.load(x, t * size + e), w))


@parallel_kernel
def norm_backward(x, weight, scale, dout, dx, dweight):
    """Write both gradients; job p sums its rows into row p of `dweight`."""
    size = weight.shape[0]
    rows = scale.shape[0]
    jobs = dweight.shape[0] // size
    for p in prange(jobs):
        own = dweight[p * size : (p + 1) * size]
        own[:] = 0
        for t in range(rows * p // jobs, rows * (p + 1) // jobs):
            factor, products = simd.splat(scale[t]), simd.splat(ZERO)
            for e in range(0, size, LANES):
                g, x_t = simd.load(dout, t * size + e), simd.load(x, t * size + e)
                gx = simd.mul(g, x_t)
                products = simd.fma(gx, simd.load(weight, e), products)
                simd.add_to(own, e, simd.mul(gx, factor))
            # d(1 / rms) / dx = -x / (size rms^3)
            slope = -simd.total(products) * scale[t] * scale[t] / np.float32(size)
            towards = simd.splat(slope)
            for e in range(0, size, LANES):
                g, x_t = simd.load(dout, t * size + e), simd.load(x, t * size + e)
                inner = simd.fma(x_t, towards, simd.mul(g, simd.load(weight, e)))
                simd.store(dx, t * size + e, simd.mul(inner, factor))
