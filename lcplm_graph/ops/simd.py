"""Explicit 16-lane float32 vectors for Numba kernels.

LLVM's auto-vectoriser does not keep sixteen recurrent states in registers, so the kernels say
what they want.  Kernels must not be compiled with ``fastmath=True``: it would delete the rounding
trick in `vector_ir.exp2`; `FAST` holds the flags that are safe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from lcplm_graph.ops import vector_ir
from lcplm_graph.ops.vector_ir import LANES, v16

FAST = {"contract", "nsz"}

parallel_kernel = njit(parallel=True, fastmath=FAST, cache=True, nogil=True)


def _log1p_coefficients() -> list[float]:
    nodes = np.cos(np.pi * (np.arange(400) + 0.5) / 400) * 0.5 + 0.5
    fit = np.polynomial.polynomial.polyfit(nodes, np.log1p(nodes) / nodes, 9)
    return [float(c) for c in fit]


_LOG1P = _log1p_coefficients()


@njit
def scratch(size):
    """Return an array of `size` elements that starts a cache line, uninitialised."""
    array = np.empty(size + LANES, np.float32)
    skip = -(array.ctypes.data >> 2) % LANES
    return array[skip : skip + size]


@intrinsic
def own_frame(typing_context):
    """Compile the calling function for itself, with a stack frame that starts a cache line.

    LLVM gives vectors that do not fit the registers places on the stack as it finds it, where three
    of four straddle two lines.
    """

    def codegen(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        builder.function.attributes.alignstack = 4 * LANES
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def load(typing_context, array, offset):
    """Load lanes ``array[offset : offset + 16]``."""

    def codegen(context, builder, signature, args):
        address = vector_ir.pointer(context, builder, signature.args[0], *args)
        return vector_ir.load(builder, address, vector_ir.element_of(signature.args[0]))

    return v16(array, types.intp), codegen


@intrinsic
def store(typing_context, array, offset, value):
    """Store lanes to ``array[offset : offset + 16]``."""

    def codegen(context, builder, signature, args):
        address = vector_ir.pointer(context, builder, signature.args[0], *args[:2])
        vector_ir.store(builder, args[2], address, vector_ir.element_of(signature.args[0]))
        return context.get_dummy_value()

    return types.void(array, types.intp, v16), codegen


@intrinsic
def splat(typing_context, scalar):
    """Repeat a float32 over all lanes."""

    def codegen(context, builder, signature, args):
        return vector_ir.splat(builder, args[0])

    return v16(types.float32), codegen


@intrinsic
def add(typing_context, x, y):
    """Lane-wise sum."""

    def codegen(context, builder, signature, args):
        return builder.fadd(*args)

    return v16(v16, v16), codegen


@intrinsic
def mul(typing_context, x, y):
    """Lane-wise product."""

    def codegen(context, builder, signature, args):
        return builder.fmul(*args)

    return v16(v16, v16), codegen


@intrinsic
def fma(typing_context, x, y, z):
    """Lane-wise ``x * y + z`` with one rounding."""

    def codegen(context, builder, signature, args):
        return vector_ir.fma(builder, *args)

    return v16(v16, v16, v16), codegen


@intrinsic
def sub(typing_context, x, y):
    """Lane-wise difference."""

    def codegen(context, builder, signature, args):
        return builder.fsub(*args)

    return v16(v16, v16), codegen


@intrinsic
def exp(typing_context, x):
    """Lane-wise ``exp(x)`` for x < 88; below -87 the result is 2**-126."""

    def codegen(context, builder, signature, args):
        scaled = builder.fmul(args[0], vector_ir.constant(vector_ir.LOG2E))
        return vector_ir.exp2(builder, scaled)

    return v16(v16), codegen


@intrinsic
def softplus(typing_context, x):
    """Lane-wise ``log(1 + exp(x))``."""

    def codegen(context, builder, signature, args):
        (x,) = args
        e = vector_ir.exp_neg_abs(builder, x)
        poly = vector_ir.constant(_LOG1P[-1])
        for c in _LOG1P[-2::-1]:
            poly = vector_ir.fma(builder, poly, e, vector_ir.constant(c))
        zero = vector_ir.constant(0.0)
        positive = builder.select(builder.fcmp_ordered(">", x, zero), x, zero)
        return vector_ir.fma(builder, poly, e, positive)

    return v16(v16), codegen


@intrinsic
def sigmoid(typing_context, x):
    """Lane-wise ``1 / (1 + exp(-x))``."""

    def codegen(context, builder, signature, args):
        (x,) = args
        e, one = vector_ir.exp_neg_abs(builder, x), vector_ir.constant(1.0)
        top = builder.select(builder.fcmp_ordered(">", x, vector_ir.constant(0.0)), one, e)
        return builder.fdiv(top, builder.fadd(one, e))

    return v16(v16), codegen


@intrinsic
def add_to(typing_context, array, offset, value):
    """Add lanes to ``array[offset : offset + 16]``."""

    def codegen(context, builder, signature, args):
        address = vector_ir.pointer(context, builder, signature.args[0], *args[:2])
        total = builder.fadd(vector_ir.load(builder, address), args[2])
        vector_ir.store(builder, total, address)
        return context.get_dummy_value()

    return types.void(array, types.intp, v16), codegen


@intrinsic
def total(typing_context, x):
    """Sum of the lanes, a float32."""

    def codegen(context, builder, signature, args):
        return vector_ir.total(builder, args[0])

    return types.float32(v16), codegen


def _prefetch(write: int) -> Any:
    @intrinsic
    def prefetch(typing_context, array, offset):
        def codegen(context, builder, signature, args):
            byte_pointer = ir.IntType(8).as_pointer()
            address = builder.bitcast(
                vector_ir.pointer(context, builder, signature.args[0], *args), byte_pointer
            )
            prototype = ir.FunctionType(
                ir.VoidType(), [byte_pointer, vector_ir.I32, vector_ir.I32, vector_ir.I32]
            )
            function = cgutils.get_or_insert_function(builder.module, prototype, "llvm.prefetch.p0")
            builder.call(
                function, [address, vector_ir.I32(write), vector_ir.I32(3), vector_ir.I32(1)]
            )
            return context.get_dummy_value()

        return types.void(array, types.intp), codegen

    return prefetch


prefetch_read = _prefetch(0)
prefetch_write = _prefetch(1)


@intrinsic
def zeros_like(typing_context, template):
    """N zero vectors, for a template tuple of N anything."""
    states = types.UniTuple(v16, len(template))

    def codegen(context, builder, signature, args):
        return context.make_tuple(builder, states, [vector_ir.constant(0.0)] * len(template))

    return states(template), codegen


@intrinsic
def splat_states(typing_context, template, vector):
    """N copies of a vector, for a template tuple of N anything."""
    states = types.UniTuple(v16, len(template))

    def codegen(context, builder, signature, args):
        return context.make_tuple(builder, states, [args[1]] * len(template))

    return states(template, v16), codegen


@intrinsic
def load_states(typing_context, template, array, offset, stride):
    """Load N vectors, `stride` elements apart."""
    states = types.UniTuple(v16, len(template))

    def codegen(context, builder, signature, args):
        base = vector_ir.pointer(context, builder, signature.args[1], args[1], args[2])
        element, vectors = vector_ir.element_of(signature.args[1]), []
        for n in range(len(template)):
            offset = builder.mul(args[3], args[3].type(n))
            address = vector_ir.shift(builder, base, offset, element)
            vectors.append(vector_ir.load(builder, address, element))
        return context.make_tuple(builder, states, vectors)

    return states(template, array, types.intp, types.intp), codegen


@intrinsic
def store_states(typing_context, array, offset, stride, states):
    """Store N vectors, `stride` elements apart."""

    def codegen(context, builder, signature, args):
        base = vector_ir.pointer(context, builder, signature.args[0], args[0], args[1])
        for n in range(len(states)):
            address = vector_ir.shift(builder, base, builder.mul(args[2], args[2].type(n)))
            vector_ir.store(builder, builder.extract_value(args[3], n), address)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, states), codegen
