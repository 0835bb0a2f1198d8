"""The CUDA kernel of causal-conv1d, when it is installed; see `selective_scan.mamba`."""

from __future__ import annotations

from torch import Tensor

from lcplm_graph.ops.padding import PaddedLayout


def causal_conv_mamba(
    x: Tensor, weight: Tensor, bias: Tensor, cu_seqlens: Tensor, reverse: bool
) -> Tensor:
    """Compute what `causal_conv_reference` computes."""
    from causal_conv1d import causal_conv1d_fn

    layout = PaddedLayout(cu_seqlens, reverse)
    return layout.unpad(causal_conv1d_fn(layout.pad(x), weight, bias, activation="silu"))
