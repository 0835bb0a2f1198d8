"""Explicit 16-lane float32 vectors for Numba kernels.

LLVM's auto-vectoriser does not keep sixteen recurrent states in registers, so the kernels say
what they want.  Kernels must not be compiled with ``fastmath=True``: it would delete the rounding
trick in `vector_ir.exp2`; `FAST` holds the flags that are safe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lcplm_graph.ops import vector_ir
from lcplm_graph.ops.vector_ir import LANES, v16

FAST = {"contract", "nsz"}


def _log1p_coefficients() -> list[float]:
    nodes = np.cos(np.pi * (np.arange(400) + 0.5) / 400) * 0.5 + 0.5
    fit = np.polynomial.polynomial.polyfit(nodes, np.log1p(nodes) / nodes, 9)
    return [float(c) for c in fit]


_LOG1P = _log1p_coefficients()


@intrinsic
def load(typing_context, array, offset):
    """Load lanes ``array[offset : offset + 16]``."""

    def codegen(context, builder, signature, args):
        return vector_ir.load(
            builder, vector_ir.pointer(context, builder, signature.args[0], *args)
        )

    return v16(array, types.intp), codegen


@intrinsic
def store(typing_context, array, offset, value):
    """Store lanes to ``array[offset : offset + 16]``."""

    def codegen(context, builder, signature, args):
        vector_ir.store(
            builder, args[2], vector_ir.pointer(context, builder, signature.args[0], *args[:2])
        )
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
def lane_sum(typing_context, x):
    """Sum of the lanes, in a fixed tree order."""

    def codegen(context, builder, signature, args):
        (x,) = args
        width = LANES
        while width > 1:
            width //= 2
            rotation = ir.Constant(
                vector_ir.VECTOR_I32, [(i + width) % LANES for i in range(LANES)]
            )
            x = builder.fadd(x, builder.shuffle_vector(x, vector_ir.UNDEFINED, rotation))
        return builder.extract_element(x, vector_ir.I32(0))

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
