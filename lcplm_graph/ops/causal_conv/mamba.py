"""The CUDA kernel of causal-conv1d, when it is installed; see `selective_scan.mamba`.

It computes 2 to 4 taps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.backends import cuda_package_supports
from lcplm_graph.ops.checks import at_least_float32
from lcplm_graph.ops.padding import PaddedLayout


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, taps: int = 4
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    usable, reason = cuda_package_supports("causal_conv1d", device)
    if usable and not 2 <= taps <= 4:
        return False, f"causal-conv1d computes 2 to 4 taps, not {taps}"
    return usable, reason


def run(
    x: Tensor, weight: Tensor, bias: Tensor | None, cu_seqlens: Tensor, reverse: bool,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Compute what the reference computes."""
    from causal_conv1d import causal_conv1d_fn

    x, weight, bias = at_least_float32(x, weight, bias)
    layout = PaddedLayout(cu_seqlens, reverse)
    return layout.unpad(causal_conv1d_fn(layout.pad(x), weight, bias, activation="silu"))
