"""Short causal convolution with bias and SiLU over packed streams, in either direction."""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.backends import choose_kernel
from lcplm_graph.errors import InputError
from lcplm_graph.ops.checks import check_floats, check_packed, check_shape

__all__ = ["causal_conv"]

OP = "causal_conv"


def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    cu_seqlens: Tensor,
    reverse: bool = False,
    dtype: torch.dtype | None = None,
    backend: str | None = None,
) -> Tensor:
    """Convolve every channel along the tokens of its stream and apply SiLU.

    Token t sees itself and the K - 1 tokens before it (with `reverse`: after it) in its own
    stream.  Computed in float32 (float64 if given) whatever the dtypes of input and output.

    Parameters
    ----------
    x : Tensor, shape=(T, E)
    weight : Tensor, shape=(E, K)
        ``weight[:, K - 1]`` multiplies the token itself.
    bias : Tensor, shape=(E,), optional
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    reverse : bool
    dtype : torch.dtype, optional
        Of the result; by default that of the computation.
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
    kernel = choose_kernel(OP, x, requested=backend, taps=weight.shape[1])
    out = kernel.run(x, weight, bias, cu_seqlens, reverse, dtype)
    return out if dtype is None else out.to(dtype)
