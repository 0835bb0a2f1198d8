"""The least time that the scan's multiplications take on this CPU.

A core issues multiplications and fused multiply-adds of 16 floats at a rate that is measured here,
not taken from a data sheet; whatever else a kernel does (additions, shifts, shuffles, loads and
stores) can at best run beside them.
"""

from __future__ import annotations

import time

import numpy as np
from numba import njit

from lcplm_graph.ops import simd
from lcplm_graph.ops.causal_conv.steps import add_scaled_reversed
from lcplm_graph.ops.simd import FAST, load_states, store_states, zeros_like
from lcplm_graph.ops.vector_ir import LANES

# Multiplications and FMAs, counted in the kernels' source.  Forward, a state: dt A, 2**x of
# degree 5, dt u B, h, y; a channel: softplus (2**x and a degree of 10), dt u, D u.  Backward, a
# state: all of that but y again, and 8 of the gradient; a channel: softplus again, a sigmoid by
# 2**x, and 8 products.
STATE_FORWARD, STATE_BACKWARD = 9, 8 + 8
CHANNEL_FORWARD, CHANNEL_BACKWARD = 16 + 2, 16 + 6 + 8

_CHAINS, _ROUNDS = 12, 2_000_000


@njit(fastmath=FAST)
def _fma_chains(template, rounds, out):
    scale = simd.splat(np.float32(1e-9))
    window, sums = load_states(template, out, 0, LANES), zeros_like(template)
    for _ in range(rounds):
        sums = add_scaled_reversed(sums, scale, window)
    store_states(out, 0, LANES, sums)


def fma_rate() -> float:
    """FMAs of 16 floats a second on one core, best of 7."""
    template, out = (0,) * _CHAINS, np.ones(_CHAINS * LANES, np.float32)
    _fma_chains(template, 1, out)
    best = float("inf")
    for _ in range(7):
        started = time.perf_counter()
        _fma_chains(template, _ROUNDS, out)
        best = min(best, time.perf_counter() - started)
    return _CHAINS * _ROUNDS / best


def scan_seconds(tokens: int, channels: int, n_states: int, rate: float, backward: bool) -> float:
    """Least time of one scan on one core; with `backward`, of both passes."""
    state = STATE_FORWARD + backward * STATE_BACKWARD
    channel = CHANNEL_FORWARD + backward * CHANNEL_BACKWARD
    return tokens * (channels / LANES) * (n_states * state + channel) / rate
