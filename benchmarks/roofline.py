"""The least time that the scan's arithmetic takes on this CPU.

A core issues vector operations, and among them multiplications and fused multiply-adds, at rates
that are measured here, not taken from a data sheet.  Whatever else a kernel does (loads, stores,
shuffles, sums over lanes) can at best run beside them.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import intrinsic

from lcplm_graph.ops import simd
from lcplm_graph.ops.causal_conv.steps import add_scaled_reversed
from lcplm_graph.ops.simd import FAST, load_states, store_states, zeros_like
from lcplm_graph.ops.vector_ir import LANES, v16


class Count(NamedTuple):
    """Operations on 16 floats: those that multiply, and all arithmetic."""

    products: int
    arithmetic: int


# Counted in the kernels' source.  Forward, a state: dt A, 2**x (clamp, rounding, degree 5,
# exponent), dt u B, h, y; a channel: bias, softplus (2**x and a degree of 10), dt u, D u.
# Backward, a state: all of that but y again, and 8 of the gradient; a channel: softplus again, a
# sigmoid by 2**x, and 9 of the gradients.
STATE_FORWARD, STATE_BACKWARD = Count(9, 15), Count(8 + 8, 14 + 8)
CHANNEL_FORWARD, CHANNEL_BACKWARD = Count(16 + 2, 25 + 3), Count(16 + 6 + 8, 25 + 13 + 9)

_CHAINS, _ROUNDS = 10, 2_000_000


@njit(fastmath=FAST)
def _chains(template, rounds, out, additions):
    """Run chains of FMAs, and as many of additions if asked for."""
    scale = simd.splat(np.float32(1e-9))
    window, sums = load_states(template, out, 0, LANES), zeros_like(template)
    others = load_states(template, out, 0, LANES)
    for _ in range(rounds):
        sums = add_scaled_reversed(sums, scale, window)
        if additions:
            others = add_to_each(others, scale)
    store_states(out, 0, LANES, sums)
    store_states(out, len(template) * LANES, LANES, others)


@intrinsic
def add_to_each(typing_context, vectors, value):
    """Return `vectors` with `value` added to each."""

    def codegen(context, builder, signature, args):
        new = [
            builder.fadd(builder.extract_value(args[0], k), args[1]) for k in range(len(vectors))
        ]
        return context.make_tuple(builder, vectors, new)

    return vectors(vectors, v16), codegen


class Rates(NamedTuple):
    """What one core starts in a second, of operations on 16 floats."""

    products: float
    arithmetic: float


def rates() -> Rates:
    """Measure FMAs alone, and FMAs and additions in equal numbers; best of 7."""
    template, out = (0,) * _CHAINS, np.ones(2 * _CHAINS * LANES, np.float32)
    best = []
    for additions in (False, True):
        _chains(template, 1, out, additions)
        seconds = []
        for _ in range(7):
            started = time.perf_counter()
            _chains(template, _ROUNDS, out, additions)
            seconds.append(time.perf_counter() - started)
        best.append((1 + additions) * _CHAINS * _ROUNDS / min(seconds))
    return Rates(best[0], max(best))


def scan_seconds(tokens: int, channels: int, n_states: int, rate: Rates, backward: bool) -> float:
    """Least time of one scan on one core; with `backward`, of both passes."""
    least = []
    for kind in range(2):
        state = STATE_FORWARD[kind] + backward * STATE_BACKWARD[kind]
        channel = CHANNEL_FORWARD[kind] + backward * CHANNEL_BACKWARD[kind]
        least.append((n_states * state + channel) / rate[kind])
    return tokens * (channels / LANES) * max(least)
