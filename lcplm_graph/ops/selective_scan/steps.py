"""The inner steps of the selective scan on 16 channels and N states, all in registers.

`states` is a tuple of N vectors, one per state; its length is part of its type, so LLVM sees
straight-line code for every N.  The notation follows `reference.py`.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from lcplm_graph.ops.vector_ir import (
    I32,
    LANES,
    LaneSums,
    constant,
    element_of,
    exp2_all,
    fma,
    load,
    load_splat,
    pointer,
    shift,
    store,
    v16,
)

SIDE_BY_SIDE = 4
"""Exponentials computed side by side; more do not fit the registers."""


def _decays(builder: Any, a: Any, dt: Any, n_states: int) -> list[Any]:
    decays: list[Any] = []
    for start in range(0, n_states, SIDE_BY_SIDE):
        chosen = range(start, min(start + SIDE_BY_SIDE, n_states))
        scaled = [builder.fmul(dt, builder.extract_value(a, n)) for n in chosen]
        decays += exp2_all(builder, scaled)
    return decays


@intrinsic
def add_outer(typing_context, sums, vector, array, offset, stride):
    """Return `sums` with ``vector * array[offset + k * stride]`` added to vector k."""

    def codegen(context, builder, signature, args):
        sums, vector, array, offset, stride = args
        address = pointer(context, builder, signature.args[2], array, offset)
        element, new = element_of(signature.args[2]), []
        for k in range(len(signature.args[0])):
            source = shift(builder, address, builder.mul(stride, stride.type(k)), element)
            scale = load_splat(builder, source, element)
            new.append(fma(builder, vector, scale, builder.extract_value(sums, k)))
        return context.make_tuple(builder, signature.args[0], new)

    return sums(sums, v16, array, types.intp, types.intp), codegen


@intrinsic
def scan_step(typing_context, states, a, dt, dtu, y, b_array, b_offset, c_array, c_offset):
    """Advance one time step: ``h = exp(dt A) h + dt u B``; returns ``(h, y + C h)``.

    `a` holds A * log2(e); the N values of B and C of this step lie contiguously.
    """
    result = types.Tuple((states, v16))

    def codegen(context, builder, signature, args):
        h, a, dt, dtu, y, b_array, b_offset, c_array, c_offset = args
        b_pointer = pointer(context, builder, signature.args[5], b_array, b_offset)
        c_pointer = pointer(context, builder, signature.args[7], c_array, c_offset)
        b_element, c_element = element_of(signature.args[5]), element_of(signature.args[7])
        # Two accumulators halve the dependency chain of the sum over states.
        even, odd, new = y, None, []
        decays = _decays(builder, a, dt, len(states))
        for n in range(len(states)):
            b = load_splat(builder, shift(builder, b_pointer, I32(n), b_element), b_element)
            c = load_splat(builder, shift(builder, c_pointer, I32(n), c_element), c_element)
            h_n = fma(builder, decays[n], builder.extract_value(h, n), builder.fmul(dtu, b))
            new.append(h_n)
            if n % 2 == 0:
                even = fma(builder, h_n, c, even)
            else:
                odd = fma(builder, h_n, c, odd) if odd is not None else builder.fmul(h_n, c)
        total = even if odd is None else builder.fadd(even, odd)
        return context.make_tuple(
            builder, result, [context.make_tuple(builder, states, new), total]
        )

    ip = types.intp
    return result(states, states, v16, v16, v16, b_array, ip, c_array, ip), codegen


@intrinsic
def replay_step(
    typing_context, states, a, dt, dtu, b_array, b_offset, tape, h_offset, decay_offset
):
    """Advance one time step and write the decays and the new states to `tape`."""

    def codegen(context, builder, signature, args):
        h, a, dt, dtu, b_array, b_offset, tape, h_offset, decay_offset = args
        b_pointer = pointer(context, builder, signature.args[4], b_array, b_offset)
        h_pointer = pointer(context, builder, signature.args[6], tape, h_offset)
        decay_pointer = pointer(context, builder, signature.args[6], tape, decay_offset)
        new = []
        decays = _decays(builder, a, dt, len(states))
        for n in range(len(states)):
            b = load_splat(builder, shift(builder, b_pointer, I32(n)))
            h_n = fma(builder, decays[n], builder.extract_value(h, n), builder.fmul(dtu, b))
            new.append(h_n)
            store(builder, decays[n], shift(builder, decay_pointer, I32(n * LANES)))
            store(builder, h_n, shift(builder, h_pointer, I32(n * LANES)))
        return context.make_tuple(builder, states, new)

    ip = types.intp
    return states(states, states, v16, v16, b_array, ip, tape, ip, ip), codegen


@intrinsic
def backward_step(
    typing_context,
    grad, da, a, dt, dtu, dy, b_array, b_offset, c_array, c_offset,
    tape, h_offset, decay_offset, sums, sums_offset,
):  # fmt: skip
    """Go one time step back with at most 8 states.

    `grad` is dL/dh arriving from the following step, `da` the sum of dA so far.  Adds this step's
    dB and dC, summed over the channels, to lanes ``0...`` and ``8...`` of one vector of `sums`;
    returns the gradient for the preceding step, the new sum of dA, ``sum_n grad B`` and
    ``sum_n grad decay h_before A`` (the latter two per channel, the last in the units of `a`).
    """
    result = types.Tuple((grad, da, v16, v16))

    def codegen(context, builder, signature, args):
        g, da, a, dt, dtu, dy, b_array, b_offset, c_array, c_offset = args[:10]
        tape, h_offset, decay_offset, sums, sums_offset = args[10:]
        types_ = signature.args
        b_pointer = pointer(context, builder, types_[6], b_array, b_offset)
        c_pointer = pointer(context, builder, types_[8], c_array, c_offset)
        h_before = pointer(context, builder, types_[10], tape, h_offset)
        decays = pointer(context, builder, types_[10], tape, decay_offset)
        n_states = len(types_[0])
        new, new_da, sum_gb, sum_gha = [], [], constant(0.0), constant(0.0)
        lanes = LaneSums(builder)
        for n in range(n_states):
            at = I32(n * LANES)
            h_after = load(builder, shift(builder, h_before, I32((n_states + n) * LANES)))
            c = load_splat(builder, shift(builder, c_pointer, I32(n)))
            g_n = fma(builder, dy, c, builder.extract_value(g, n))
            lanes.add(n, builder.fmul(g_n, dtu))
            lanes.add(LANES // 2 + n, builder.fmul(dy, h_after))
            b = load_splat(builder, shift(builder, b_pointer, I32(n)))
            sum_gb = fma(builder, g_n, b, sum_gb)
            g_n = builder.fmul(g_n, load(builder, shift(builder, decays, at)))
            new.append(g_n)
            gh = builder.fmul(g_n, load(builder, shift(builder, h_before, at)))
            new_da.append(fma(builder, gh, dt, builder.extract_value(da, n)))
            sum_gha = fma(builder, gh, builder.extract_value(a, n), sum_gha)
        address = pointer(context, builder, types_[13], sums, sums_offset)
        store(builder, builder.fadd(load(builder, address), lanes.total()), address)
        states = context.make_tuple(builder, types_[0], new)
        new_da = context.make_tuple(builder, types_[1], new_da)
        return context.make_tuple(builder, result, [states, new_da, sum_gb, sum_gha])

    ip = types.intp
    signature = result(
        grad, da, a, v16, v16, v16, b_array, ip, c_array, ip, tape, ip, ip, sums, ip
    )  # fmt: skip
    return signature, codegen


__all__ = ["add_outer", "backward_step", "replay_step", "scan_step"]
