"""Checks of operands, shared by the kernels' public functions.

They look at shapes, dtypes and devices only, which costs nothing and compiles; the values of
`cu_seqlens` are checked inside the kernels' wrappers (`arrays.streams_of`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.errors import InputError


def check_shape(op: str, name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless `tensor` is None or has this shape."""
    if tensor is not None and tuple(tensor.shape) != shape:
        raise InputError(f"{op}: {name} must be of shape {shape}, not {tuple(tensor.shape)}")


def check_floats(op: str, u: Tensor, **others: Tensor | None) -> None:
    """Raise `InputError` unless all tensors are floating point and on the device of `u`."""
    for name, tensor in {"u": u, **others}.items():
        if tensor is None:
            continue
        if not tensor.is_floating_point():
            raise InputError(f"{op}: {name} must be floating point, not {tensor.dtype}")
        if tensor.device != u.device:
            raise InputError(f"{op}: {name} is on {tensor.device}, but u is on {u.device}")


def check_packed(op: str, cu_seqlens: Tensor, u: Tensor) -> None:
    """Raise `InputError` unless `cu_seqlens` can hold boundaries of the rows of `u`."""
    if cu_seqlens.device != u.device:
        raise InputError(f"{op}: cu_seqlens is on {cu_seqlens.device}, but u is on {u.device}")
    if cu_seqlens.dtype != torch.int32 or cu_seqlens.dim() != 1 or len(cu_seqlens) < 2:
        raise InputError(
            f"{op}: cu_seqlens must be int32 of shape (S + 1,) with S >= 1, not "
            f"{str(cu_seqlens.dtype).removeprefix('torch.')} of shape {tuple(cu_seqlens.shape)}"
        )


def at_least_float32(
    x: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Bring a layer's operands to the dtype of the computation; without a bias it is zeros."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    bias = x.new_zeros(len(weight), dtype=dtype) if bias is None else bias.to(dtype)
    return x.to(dtype), weight.to(dtype), bias


def needs_grad(*tensors: Tensor | None) -> bool:
    """Whether a gradient will be asked for."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)
