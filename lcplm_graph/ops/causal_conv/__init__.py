"""Short causal convolution with bias and SiLU over packed streams, in either direction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.backends import choose_backend
from lcplm_graph.errors import BackendError, InputError
from lcplm_graph.ops.causal_conv.reference import causal_conv_reference
from lcplm_graph.ops.checks import check_floats, check_packed, check_shape

__all__ = ["causal_conv", "causal_conv_reference"]

OP = "causal_conv"


def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    cu_seqlens: Tensor,
    reverse: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Convolve every channel along the tokens of its stream and apply SiLU.

    Token t sees itself and the K - 1 tokens before it (with `reverse`: after it) in its own
    stream.  Computed in float32 (float64 if given) whatever the input's dtype.

    Parameters
    ----------
    x : Tensor, shape=(T, E)
    weight : Tensor, shape=(E, K)
        ``weight[:, K - 1]`` multiplies the token itself.
    bias : Tensor, shape=(E,), optional
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    reverse : bool
    backend : str, optional
        See `lcplm_graph.backends`; chosen automatically if not given.

    Returns
    -------
    Tensor, shape=(T, E)

    Raises
    ------
    InputError
        If a shape, dtype or device does not fit, or `cu_seqlens` does not partition the tokens.
    """
    if x.dim() != 2 or weight.dim() != 2:
        raise InputError(
            f"{OP}: x must be of shape (T, E) and weight of shape (E, K), not {tuple(x.shape)} "
            f"and {tuple(weight.shape)}"
        )
    channels = x.shape[1]
    check_floats(OP, x, weight=weight, bias=bias)
    check_packed(OP, cu_seqlens, x)
    check_shape(OP, "weight", weight, (channels, weight.shape[1]))
    check_shape(OP, "bias", bias, (channels,))
    backend = choose_backend(OP, x, requested=backend)
    if backend == "triton":
        from lcplm_graph.ops.causal_conv.triton import conv_op as triton_op

        zeros = weight.new_zeros(channels, dtype=torch.float32)
        return triton_op(
            x, weight.float(), zeros if bias is None else bias.float(), cu_seqlens, reverse
        )
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    x, weight = x.to(dtype), weight.to(dtype)
    bias = x.new_zeros(channels) if bias is None else bias.to(dtype)
    if backend == "reference":
        return causal_conv_reference(x, weight, bias, cu_seqlens, reverse)
    if backend == "numba":
        from lcplm_graph.ops.causal_conv.cpu import conv_op

        if extra := -channels % 16:
            x, bias, weight = (
                F.pad(x, (0, extra)),
                F.pad(bias, (0, extra)),
                F.pad(weight, (0, 0, 0, extra)),
            )
            return conv_op(x, weight, bias, cu_seqlens, reverse)[:, :channels]
        return conv_op(x, weight, bias, cu_seqlens, reverse)
    if backend == "mamba_ssm":
        from lcplm_graph.ops.causal_conv.mamba import causal_conv_mamba

        return causal_conv_mamba(x, weight, bias, cu_seqlens, reverse)
    raise BackendError(f"{OP} has no backend {backend!r}")
