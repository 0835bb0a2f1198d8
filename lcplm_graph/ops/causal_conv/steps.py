"""Windows of K vectors in registers, for the convolution's backward pass."""

from __future__ import annotations

from numba.extending import intrinsic

from lcplm_graph.ops.vector_ir import fma, v16


@intrinsic
def push(typing_context, window, value):
    """Put `value` in front of the window and drop its last vector."""

    def codegen(context, builder, signature, args):
        kept = [builder.extract_value(args[0], k) for k in range(len(window) - 1)]
        return context.make_tuple(builder, window, [args[1], *kept])

    return window(window, v16), codegen


@intrinsic
def dot(typing_context, x, y, start):
    """Return ``start + sum_k x[k] y[k]``."""

    def codegen(context, builder, signature, args):
        total = args[2]
        for k in range(len(x)):
            total = fma(
                builder, builder.extract_value(args[0], k), builder.extract_value(args[1], k), total
            )
        return total

    return v16(x, y, v16), codegen


@intrinsic
def dot_reversed(typing_context, x, y, start):
    """Return ``start + sum_k x[K - 1 - k] y[k]``."""

    def codegen(context, builder, signature, args):
        total, last = args[2], len(x) - 1
        for k in range(len(x)):
            x_k, y_k = builder.extract_value(args[0], last - k), builder.extract_value(args[1], k)
            total = fma(builder, x_k, y_k, total)
        return total

    return v16(x, y, v16), codegen


@intrinsic
def add_scaled_reversed(typing_context, sums, scale, window):
    """Return `sums` with ``scale * window[K - 1 - k]`` added to vector k."""

    def codegen(context, builder, signature, args):
        last = len(sums) - 1
        new = [
            fma(
                builder,
                args[1],
                builder.extract_value(args[2], last - k),
                builder.extract_value(args[0], k),
            )
            for k in range(len(sums))
        ]
        return context.make_tuple(builder, sums, new)

    return sums(sums, v16, window), codegen
