"""The short causal convolution, written out tap by tap."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.ops.checks import at_least_float32
from lcplm_graph.tokens.packing import check_cu_seqlens


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, taps: int = 4
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    return True, "plain torch, tap by tap"


def run(
    x: Tensor, weight: Tensor, bias: Tensor | None, cu_seqlens: Tensor, reverse: bool,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Compute ``silu(bias + sum_k weight[:, k] x[t - (K - 1) + k])`` within every stream.

    Shapes and meaning as in `lcplm_graph.ops.causal_conv.causal_conv`; runs in float32, or in
    float64 if that is its input.
    """
    x, weight, bias = at_least_float32(x, weight, bias)
    check_cu_seqlens(cu_seqlens, len(x))
    taps = weight.shape[1]
    outputs = []
    for stream in x.split((cu_seqlens[1:] - cu_seqlens[:-1]).tolist()):
        # Tokens outside the stream count as zeros.
        padding = (0, 0, 0, taps - 1) if reverse else (0, 0, taps - 1, 0)
        padded = F.pad(stream, padding)
        total = bias.expand_as(stream)
        for k in range(taps):
            start = taps - 1 - k if reverse else k
            total = total + weight[:, k] * padded[start : start + len(stream)]
        outputs.append(F.silu(total))
    return torch.cat(outputs)
