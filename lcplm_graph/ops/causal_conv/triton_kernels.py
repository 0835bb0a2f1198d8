"""Triton kernels of the short causal convolution with SiLU, forward and backward.

A program owns one tile of tokens and a block of channels; neighbouring tokens are read again from
cache.  Weights are (K, E) float32.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lcplm_graph.ops.triton_math import (
    UNSPECIALISED,
    load_tile,
    load_vector,
    sigmoid,
    tile_pointers,
)


@triton.jit
def tile_in_stream(table, tile):
    """First token of a tile, its number of tokens, and its stream's bounds counted from there."""
    row = table + 4 * tile
    first = tl.load(row)
    size = tl.load(row + 1) - first
    return first.to(tl.int64), size, tl.load(row + 2) - first, tl.load(row + 3) - first


@triton.jit
def load_input(
    x, ld_x, first, rows, size, begin, end, e, inside,
    K: tl.constexpr, TAPS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Load the tokens that tap K multiplies; zero outside the stream."""
    source = rows + (TAPS - 1 - K) if REVERSE else rows - (TAPS - 1 - K)
    mask = ((rows < size) & (source >= begin) & (source < end))[:, None] & inside[None, :]
    return load_tile(x, ld_x, first, source, e, mask)


@triton.jit
def convolve(
    x, ld_x, weight, first, rows, size, begin, end, e, inside, channels,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Sum over the taps."""
    total = tl.zeros([TOKENS, CHANNELS], tl.float32)
    for k in tl.static_range(TAPS):
        w = load_vector(weight + k * channels, e, inside)
        total += w * load_input(
            x, ld_x, first, rows, size, begin, end, e, inside, k, TAPS, REVERSE
        )  # fmt: skip
    return total


@triton.jit(do_not_specialize_on_alignment=UNSPECIALISED)
def convolution(
    x, ld_x, weight, bias, table, out, channels,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    ACTIVATE: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Write ``silu(conv(x) + bias)``, or plain ``conv(x)`` unless ACTIVATE."""
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size, begin, end = tile_in_stream(table, tl.program_id(0).to(tl.int64))
    rows = tl.arange(0, TOKENS)
    total = convolve(
        x, ld_x, weight, first, rows, size, begin, end, e, inside, channels,
        TOKENS, CHANNELS, TAPS, REVERSE,
    )  # fmt: skip
    if ACTIVATE:
        total += load_vector(bias, e, inside)
        total *= sigmoid(total)
    mask = (rows < size)[:, None] & inside[None, :]
    tl.store(tile_pointers(out, channels, first, rows, e), total, mask=mask)


@triton.jit(do_not_specialize_on_alignment=UNSPECIALISED)
def activation_backward(
    x, ld_x, weight, bias, table, dout, dtotal, shares, channels,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Write the gradient before the SiLU and each tile's shares of dweight and, last, dbias.

    dx is then the convolution of that gradient in the other direction.
    """
    tile = tl.program_id(0).to(tl.int64)
    e = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = e < channels
    first, size, begin, end = tile_in_stream(table, tile)
    rows = tl.arange(0, TOKENS)
    total = load_vector(bias, e, inside) + convolve(
        x, ld_x, weight, first, rows, size, begin, end, e, inside, channels,
        TOKENS, CHANNELS, TAPS, REVERSE,
    )  # fmt: skip
    slope = sigmoid(total)
    slope *= 1.0 + total * (1.0 - slope)
    mask = (rows < size)[:, None] & inside[None, :]
    grad = load_tile(dout, channels, first, rows, e, mask) * slope
    tl.store(tile_pointers(dtotal, channels, first, rows, e), grad, mask=mask)
    share = shares + tile * (TAPS + 1) * channels + e
    for k in tl.static_range(TAPS):
        source = load_input(x, ld_x, first, rows, size, begin, end, e, inside, k, TAPS, REVERSE)
        tl.store(share + k * channels, tl.sum(grad * source, 0), mask=inside)
    tl.store(share + TAPS * channels, tl.sum(grad, 0), mask=inside)
