"""The inner steps of the selective scan on 16 channels and N states, all in registers.

`states` is a tuple of N vectors, one per state; its length is part of its type, so LLVM sees
straight-line code for every N.  The notation follows `reference.py`.
"""

from __future__ import annotations

from numba.core import types
from numba.extending import intrinsic

from lcplm_graph.ops.vector_ir import (
    I32,
    LANES,
    constant,
    exp2,
    fma,
    load,
    load_splat,
    pointer,
    shift,
    store,
    v16,
)


@intrinsic
def zeros_like(typing_context, template):
    """N zero vectors, for a template tuple of N anything."""
    states = types.UniTuple(v16, len(template))

    def codegen(context, builder, signature, args):
        return context.make_tuple(builder, states, [constant(0.0)] * len(template))

    return states(template), codegen


@intrinsic
def load_states(typing_context, template, array, offset, stride):
    """Load N vectors, `stride` elements apart."""
    states = types.UniTuple(v16, len(template))

    def codegen(context, builder, signature, args):
        base = pointer(context, builder, signature.args[1], args[1], args[2])
        vectors = [
            load(builder, shift(builder, base, builder.mul(args[3], args[3].type(n))))
            for n in range(len(template))
        ]
        return context.make_tuple(builder, states, vectors)

    return states(template, array, types.intp, types.intp), codegen


@intrinsic
def store_states(typing_context, array, offset, stride, states):
    """Store N vectors, `stride` elements apart."""

    def codegen(context, builder, signature, args):
        base = pointer(context, builder, signature.args[0], args[0], args[1])
        for n in range(len(states)):
            address = shift(builder, base, builder.mul(args[2], args[2].type(n)))
            store(builder, builder.extract_value(args[3], n), address)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, states), codegen


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
        # Two accumulators halve the dependency chain of the sum over states.
        even, odd, new = y, None, []
        for n in range(len(states)):
            b = load_splat(builder, shift(builder, b_pointer, I32(n)))
            c = load_splat(builder, shift(builder, c_pointer, I32(n)))
            decay = exp2(builder, builder.fmul(dt, builder.extract_value(a, n)))
            h_n = fma(builder, decay, builder.extract_value(h, n), builder.fmul(dtu, b))
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
        for n in range(len(states)):
            b = load_splat(builder, shift(builder, b_pointer, I32(n)))
            decay = exp2(builder, builder.fmul(dt, builder.extract_value(a, n)))
            h_n = fma(builder, decay, builder.extract_value(h, n), builder.fmul(dtu, b))
            new.append(h_n)
            store(builder, decay, shift(builder, decay_pointer, I32(n * LANES)))
            store(builder, h_n, shift(builder, h_pointer, I32(n * LANES)))
        return context.make_tuple(builder, states, new)

    ip = types.intp
    return states(states, states, v16, v16, b_array, ip, tape, ip, ip), codegen


@intrinsic
def backward_step(
    typing_context,
    grad, a, dt, dtu, dy, b_array, b_offset, c_array, c_offset,
    tape, h_offset, decay_offset, sums, db_offset, dc_offset, da_offset,
):  # fmt: skip
    """Go one time step back.

    `grad` is dL/dh arriving from the following step.  Adds this step's parts of dB, dC (still
    per lane) and dA to `sums`; returns the gradient for the preceding step, ``sum_n grad B`` and
    ``sum_n grad decay h_before A`` (the latter in the units of `a`).
    """
    result = types.Tuple((grad, v16, v16))

    def codegen(context, builder, signature, args):
        g, a, dt, dtu, dy, b_array, b_offset, c_array, c_offset = args[:9]
        tape, h_offset, decay_offset, sums, db_offset, dc_offset, da_offset = args[9:]
        b_type, c_type = signature.args[5], signature.args[7]
        tape_type, sums_type = signature.args[9], signature.args[12]
        b_pointer = pointer(context, builder, b_type, b_array, b_offset)
        c_pointer = pointer(context, builder, c_type, c_array, c_offset)
        h_before = pointer(context, builder, tape_type, tape, h_offset)
        decays = pointer(context, builder, tape_type, tape, decay_offset)
        db = pointer(context, builder, sums_type, sums, db_offset)
        dc = pointer(context, builder, sums_type, sums, dc_offset)
        da = pointer(context, builder, sums_type, sums, da_offset)

        def accumulate(address, x, y):
            store(builder, fma(builder, x, y, load(builder, address)), address)

        new, sum_gb, sum_gha = [], constant(0.0), constant(0.0)
        n_states = len(signature.args[0])
        for n in range(n_states):
            at = I32(n * LANES)
            h_after = load(builder, shift(builder, h_before, I32((n_states + n) * LANES)))
            accumulate(shift(builder, dc, at), dy, h_after)
            c = load_splat(builder, shift(builder, c_pointer, I32(n)))
            g_n = fma(builder, dy, c, builder.extract_value(g, n))
            accumulate(shift(builder, db, at), g_n, dtu)
            b = load_splat(builder, shift(builder, b_pointer, I32(n)))
            sum_gb = fma(builder, g_n, b, sum_gb)
            g_n = builder.fmul(g_n, load(builder, shift(builder, decays, at)))
            new.append(g_n)
            gh = builder.fmul(g_n, load(builder, shift(builder, h_before, at)))
            accumulate(shift(builder, da, at), gh, dt)
            sum_gha = fma(builder, gh, builder.extract_value(a, n), sum_gha)
        states = context.make_tuple(builder, signature.args[0], new)
        return context.make_tuple(builder, result, [states, sum_gb, sum_gha])

    ip = types.intp
    signature = result(
        grad, grad, v16, v16, v16, b_array, ip, c_array, ip, tape, ip, ip, sums, ip, ip, ip
    )  # fmt: skip
    return signature, codegen


__all__ = [
    "backward_step", "load_states", "replay_step", "scan_step", "store_states", "zeros_like",
]  # fmt: skip
