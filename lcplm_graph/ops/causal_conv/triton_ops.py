"""The Triton backend as ops of torch with autograd.

Input in float16, bfloat16 or float32, any number of channels; computed in float32.
"""

from __future__ import annotations

import triton
from torch import Tensor

from lcplm_graph.ops.causal_conv.gradients import register_gradients
from lcplm_graph.ops.causal_conv.triton_kernels import activation_backward, convolution
from lcplm_graph.ops.device_op import device_op
from lcplm_graph.ops.tiles import cut_into_tiles
from lcplm_graph.ops.triton_math import (
    INTERPRETED,
    channel_block,
    check_runnable,
    on_device_of,
    warps,
    with_unit_columns,
)

TOKENS = 4 if INTERPRETED else 16
CHANNELS = 4 if INTERPRETED else 128


def _grid_and_sizes(table: Tensor, weight: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    channels, taps = weight.shape
    block = channel_block(channels, CHANNELS)
    sizes = {"TOKENS": TOKENS, "CHANNELS": block, "TAPS": taps, "num_warps": warps(block)}
    return (len(table), triton.cdiv(channels, block)), sizes


@device_op("lcplm::causal_conv_triton")
def conv_op(x: Tensor, weight: Tensor, bias: Tensor, cu_seqlens: Tensor, reverse: bool) -> Tensor:
    """Return ``silu(conv(x) + bias)``, shape (T, E), float32."""
    check_runnable("causal_conv", x)
    tokens, channels = x.shape
    x, taps = with_unit_columns(x), weight.T.contiguous()
    table = cut_into_tiles(cu_seqlens, tokens, TOKENS).table
    grid, sizes = _grid_and_sizes(table, weight)
    out = weight.new_empty(tokens, channels)
    with on_device_of(x):
        convolution[grid](
            x, x.stride(0), taps, bias, table, out, channels,
            ACTIVATE=True, REVERSE=reverse, **sizes,
        )  # fmt: skip
    return out


@conv_op.register_fake
def _(x, weight, bias, cu_seqlens, reverse):
    return weight.new_empty(x.shape)


@device_op("lcplm::causal_conv_triton_backward")
def conv_backward_op(
    dout: Tensor, x: Tensor, weight: Tensor, bias: Tensor, cu_seqlens: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dx, dweight (E, K) and dbias."""
    check_runnable("causal_conv", x)
    tokens, channels = x.shape
    x, taps = with_unit_columns(x), weight.T.contiguous()
    table = cut_into_tiles(cu_seqlens, tokens, TOKENS).table
    grid, sizes = _grid_and_sizes(table, weight)
    dtotal, dx = weight.new_empty(tokens, channels), x.new_empty(tokens, channels)
    shares = weight.new_empty(len(table), len(taps) + 1, channels)
    with on_device_of(x):
        activation_backward[grid](
            x, x.stride(0), taps, bias, table, dout, dtotal, shares, channels,
            REVERSE=reverse, **sizes,
        )  # fmt: skip
        convolution[grid](
            dtotal, channels, taps, bias, table, dx, channels,
            ACTIVATE=False, REVERSE=not reverse, **sizes,
        )  # fmt: skip
    sums = shares.sum(0)
    return dx, sums[:-1].T.contiguous(), sums[-1].clone()


register_gradients(conv_op, conv_backward_op)
