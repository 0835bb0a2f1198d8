"""The CUDA kernel of causal-conv1d, when it is installed; see `selective_scan.mamba`.

It computes 2 to 4 taps.
"""

from __future__ import annotations

from torch import Tensor

from lcplm_graph.errors import BackendError
from lcplm_graph.ops.padding import PaddedLayout


def causal_conv_mamba(
    x: Tensor, weight: Tensor, bias: Tensor, cu_seqlens: Tensor, reverse: bool
) -> Tensor:
    """Compute what `causal_conv_reference` computes."""
    from causal_conv1d import causal_conv1d_fn

    taps = weight.shape[1]
    if not 2 <= taps <= 4:
        raise BackendError(
            f"causal-conv1d computes 2 to 4 taps, not {taps}; choose another backend, e.g. triton"
        )
    layout = PaddedLayout(cu_seqlens, reverse)
    return layout.unpad(causal_conv1d_fn(layout.pad(x), weight, bias, activation="silu"))
