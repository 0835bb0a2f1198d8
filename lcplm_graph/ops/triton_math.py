"""Functions shared by the Triton kernels, and how the kernels run: on a GPU or interpreted."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lcplm_graph.errors import BackendError

LANES_PER_WARP = 32


@triton.jit
def sigmoid(x):
    """Return 1 / (1 + exp(-x)); where exp overflows the quotient is zero, as it should be."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def softplus(x):
    """Return log(1 + exp(x)), to a few units in the last place also where it is tiny."""
    small = tl.exp(-tl.abs(x))
    # log1p(s) = 2 artanh(w) with w = s / (2 + s), at most a third: seven terms of its series.
    w = small / (2.0 + small)
    v = w * w
    series = 2.0 / 13.0
    series = series * v + 2.0 / 11.0
    series = series * v + 2.0 / 9.0
    series = series * v + 2.0 / 7.0
    series = series * v + 2.0 / 5.0
    series = series * v + 2.0 / 3.0
    series = series * v + 2.0
    return tl.maximum(x, 0.0) + w * series


@triton.jit
def tile_pointers(matrix, row_stride, first, rows, columns):
    """Return pointers to rows ``first + rows``; only the first row's offset needs 64 bits."""
    return matrix + first * row_stride + (rows[:, None] * row_stride + columns[None, :])


@triton.jit
def load_tile(matrix, row_stride, first, rows, columns, mask):
    """Load a tile of a matrix as float32, zero outside the mask."""
    pointers = tile_pointers(matrix, row_stride, first, rows, columns)
    return tl.load(pointers, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def load_vector(vector, columns, inside):
    """Load entries of a vector as a row, zero outside the mask."""
    return tl.load(vector + columns, mask=inside, other=0.0)[None, :]


@triton.jit
def picked(block, mask):
    """Return the one slice along the first axis that the mask leaves.

    With one channel per thread and a mask known at compilation this is one register, not a sum; as
    integers, because adding a float zero could not be optimised away.  `tl.associative_scan` along
    such an axis is lowered to shuffles instead, about fifteen for each element.
    """
    bits = tl.where(mask, block.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, 0).to(tl.float32, bitcast=True)


@triton.jit
def row_of(tile, rows, k):
    """Return row `k` of a tile."""
    return picked(tile, (rows == k)[:, None])


@triton.jit
def with_row(tile, rows, k, row):
    """Return the tile with row `k` replaced."""
    return tl.where((rows == k)[:, None], row[None, :], tile)


UNSPECIALISED = [
    "channels", "n_states", "tokens", "ld_u", "ld_delta", "ld_B", "ld_C", "ld_residual", "ld_z",
    "ld_x",
]  # fmt: skip
"""Arguments not to specialise on divisibility: it would make the compiler give each thread four
neighbouring channels and spread tokens or states over the threads, which the scans must cross."""

INTERPRETED = not isinstance(sigmoid, triton.runtime.JITFunction)
"""Whether the kernels run in Triton's interpreter: ``TRITON_INTERPRET=1`` at import."""


def check_runnable(op: str, tensor: Tensor) -> None:
    """Raise `BackendError` unless the kernels can run where `tensor` lies."""
    if tensor.device.type == "cpu" and not INTERPRETED:
        raise BackendError(
            f"{op}: Triton was imported without its interpreter, so the data must be on a CUDA "
            "device; set TRITON_INTERPRET=1 before Python starts"
        )


def channel_block(channels: int, most: int) -> int:
    """Channels of one program: a power of two, as many as there are but at most `most`."""
    return min(most, triton.next_power_of_2(channels))


def warps(lanes: int) -> int:
    """Warps of a program that gives every channel a thread of its own."""
    return max(1, lanes // LANES_PER_WARP)


def with_unit_columns(tensor: Tensor) -> Tensor:
    """Return `tensor` itself if its rows are contiguous, spaced out or not; else a copy."""
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


def on_device_of(tensor: Tensor) -> torch.cuda.device_of:
    """Context in which kernels start on the device of `tensor`."""
    return torch.cuda.device_of(tensor)
