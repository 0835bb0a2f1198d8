"""LLVM builders for 16-lane float32 vectors; `simd` and the scan steps are made of these.

A vector is ``<16 x float>``, one 512-bit register, which LLVM splits into two or four on
narrower machines.  Arrays are flat and C-contiguous; offsets count elements.  Their elements are
float32, or bfloat16 as int16, which are widened when they are loaded and rounded when stored.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import models, register_model

LANES = 16
LOG2E = math.log2(math.e)

F32, I32, I16 = ir.FloatType(), ir.IntType(32), ir.IntType(16)
VECTOR, VECTOR_I32 = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
VECTOR_I16 = ir.VectorType(I16, LANES)
UNDEFINED = ir.Constant(VECTOR, ir.Undefined)


class VectorType(types.Type):
    """Numba type of a vector."""

    def __init__(self) -> None:
        super().__init__(name="v16f")


v16 = VectorType()


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    """How LLVM represents `VectorType`."""

    def __init__(self, manager: Any, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, VECTOR)


def constant(value: float) -> ir.Constant:
    """Return the vector that holds `value` in every lane."""
    return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)


def fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """Emit ``x * y + z`` with one rounding."""
    signature = ir.FunctionType(VECTOR, [VECTOR] * 3)
    return builder.call(
        cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{LANES}f32"),
        [x, y, z],
    )


def splat(builder: Any, scalar: Any) -> Any:
    """Emit a vector with `scalar` in every lane."""
    first = builder.insert_element(UNDEFINED, scalar, I32(0))
    return builder.shuffle_vector(first, UNDEFINED, ir.Constant(VECTOR_I32, [0] * LANES))


def pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Emit the address of element `offset` of a Numba array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset], source_etype=element_of(array_type))


def element_of(array_type: Any) -> Any:
    """LLVM type of the elements of a Numba array."""
    return I16 if array_type.dtype == types.int16 else F32


def shift(builder: Any, pointer: Any, offset: Any, element: Any = F32) -> Any:
    """Emit an address moved on by `offset` elements."""
    return builder.gep(pointer, [offset], source_etype=element)


def load(builder: Any, pointer: Any, element: Any = F32) -> Any:
    """Emit a load of 16 elements; element alignment is enough."""
    if element == I16:
        address = builder.bitcast(pointer, VECTOR_I16.as_pointer())
        bits = builder.zext(builder.load(address, align=2, typ=VECTOR_I16), VECTOR_I32)
        return builder.bitcast(builder.shl(bits, _HALF), VECTOR)
    address = builder.bitcast(pointer, VECTOR.as_pointer())
    return builder.load(address, align=4, typ=VECTOR)


def store(builder: Any, value: Any, pointer: Any, element: Any = F32) -> None:
    """Emit a store of 16 elements."""
    if element == I16:
        address = builder.bitcast(pointer, VECTOR_I16.as_pointer())
        builder.store(_rounded(builder, value), address, align=2)
        return
    builder.store(value, builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


def load_splat(builder: Any, pointer: Any, element: Any = F32) -> Any:
    """Emit a load of one element into every lane."""
    if element == I16:
        bits = builder.shl(builder.zext(builder.load(pointer, typ=I16), I32), I32(16))
        return splat(builder, builder.bitcast(bits, F32))
    return splat(builder, builder.load(pointer, typ=F32))


_HALF = ir.Constant(VECTOR_I32, [16] * LANES)


def _rounded(builder: Any, x: Any) -> Any:
    """Emit bfloat16 of a vector, to nearest and ties to even, as torch does; NaN stays NaN."""
    bits = builder.bitcast(x, VECTOR_I32)
    odd = builder.and_(builder.lshr(bits, _HALF), ir.Constant(VECTOR_I32, [1] * LANES))
    up = builder.add(odd, ir.Constant(VECTOR_I32, [0x7FFF] * LANES))
    rounded = builder.lshr(builder.add(bits, up), _HALF)
    nan = ir.Constant(VECTOR_I32, [0x7FC0] * LANES)
    whole = builder.select(builder.fcmp_ordered("ord", x, x), rounded, nan)
    return builder.trunc(whole, VECTOR_I16)


def exp2(builder: Any, x: Any) -> Any:
    """Emit ``2**x`` for x < 128, relative error 4e-7; below -126 the result is 2**-126."""
    return exp2_all(builder, [x])[0]


def exp2_all(builder: Any, xs: list[Any]) -> list[Any]:
    """Emit `exp2` of several vectors side by side, so that none waits for its own last result."""
    lowest = constant(-126.0)
    xs = [builder.select(builder.fcmp_ordered(">", x, lowest), x, lowest) for x in xs]
    # Adding 1.5 * 2**23 rounds to an integer and leaves it in the low bits.
    magic = constant(12582912.0)
    shifted = [builder.fadd(x, magic) for x in xs]
    whole = [builder.fsub(x, magic) for x in shifted]
    fractions = [builder.fsub(x, w) for x, w in zip(xs, whole, strict=True)]
    polys = [constant(1.3333558e-3)] * len(xs)
    for c in (9.6181291e-3, 5.5504109e-2, 2.4022651e-1, 6.9314718e-1, 1.0):
        polys = [fma(builder, p, f, constant(c)) for p, f in zip(polys, fractions, strict=True)]
    places = ir.Constant(VECTOR_I32, [23] * LANES)
    exponents = [builder.shl(builder.bitcast(x, VECTOR_I32), places) for x in shifted]
    return [
        builder.bitcast(builder.add(builder.bitcast(p, VECTOR_I32), e), VECTOR)
        for p, e in zip(polys, exponents, strict=True)
    ]


def exp_neg_abs(builder: Any, x: Any) -> Any:
    """Emit ``exp(-|x|)``."""
    zero = constant(0.0)
    magnitude = builder.select(builder.fcmp_ordered(">", x, zero), x, builder.fsub(zero, x))
    return exp2(builder, builder.fmul(magnitude, constant(-LOG2E)))


def total(builder: Any, x: Any) -> Any:
    """Emit the sum of the lanes, halves by halves."""
    width = LANES
    while width > 1:
        width //= 2
        upper = ir.Constant(VECTOR_I32, [(i + width) % LANES for i in range(LANES)])
        x = builder.fadd(x, builder.shuffle_vector(x, UNDEFINED, upper))
    return builder.extract_element(x, I32(0))


class LaneSums:
    """Emits the sums over the lanes of up to 16 vectors, as the lanes of one vector.

    Vectors are added up pairwise, every addition halving the lanes that are left of each: about
    three operations a vector, where a sum of its own would take eight.
    """

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        # Partial sums by level, like the digits of a binary counter, so that few are alive.
        self.waiting: list[tuple[Any, list[int]] | None] = [None] * (LANES.bit_length() - 1)
        self.done: tuple[Any, list[int]] | None = None

    def add(self, lane: int, vector: Any) -> None:
        """Take the vector whose sum goes to `lane`."""
        self._carry(0, vector, [lane] * LANES)

    def total(self) -> Any:
        """Emit the vector of all sums; lanes that were not given are zero."""
        while self.done is None:
            level = next(i for i, entry in enumerate(self.waiting) if entry is not None)
            self._carry(level, constant(0.0), [-1] * LANES)
        vector, owners = self.done
        order = [owners.index(i) if i in owners else owners.index(-1) for i in range(LANES)]
        mask = ir.Constant(VECTOR_I32, order)
        return self.builder.shuffle_vector(vector, UNDEFINED, mask)

    def _carry(self, level: int, vector: Any, owners: list[int]) -> None:
        if level == len(self.waiting):
            self.done = vector, owners
        elif (other := self.waiting[level]) is None:
            self.waiting[level] = vector, owners
        else:
            self.waiting[level] = None
            self._carry(level + 1, *self._pair(level, *other, vector, owners))

    def _pair(
        self, level: int, x: Any, x_owners: list[int], y: Any, y_owners: list[int]
    ) -> tuple[Any, list[int]]:
        # The first two levels move whole 128-bit parts, the last two stay inside them.
        keep, fold = (
            ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]),
            ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]),
            ([0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]),
            ([0, 2, 4, 6, 8, 10, 12, 14], [1, 3, 5, 7, 9, 11, 13, 15]),
        )[level]
        width = LANES if level < 2 else 2  # elements taken in turn from x and y
        take = _alternate(keep, width)
        give = _alternate(fold, width)
        total = self.builder.fadd(
            self.builder.shuffle_vector(x, y, ir.Constant(VECTOR_I32, take)),
            self.builder.shuffle_vector(x, y, ir.Constant(VECTOR_I32, give)),
        )
        owners = x_owners + y_owners
        return total, [owners[i] for i in take]


def _alternate(lanes: list[int], width: int) -> list[int]:
    """Interleave `lanes` of a first and a second vector, `width` at a time."""
    order = []
    for i in range(0, len(lanes), width):
        part = lanes[i : i + width]
        order += part + [LANES + lane for lane in part]
    return order
