"""The short causal convolution, written out tap by tap."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.tokens.packing import check_cu_seqlens


def causal_conv_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None, cu_seqlens: Tensor, reverse: bool
) -> Tensor:
    """Compute ``silu(bias + sum_k weight[:, k] x[t - (K - 1) + k])`` within every stream.

    Shapes and meaning as in `lcplm_graph.ops.causal_conv.causal_conv`.
    """
    check_cu_seqlens(cu_seqlens, len(x))
    taps = weight.shape[1]
    outputs = []
    for stream in x.split((cu_seqlens[1:] - cu_seqlens[:-1]).tolist()):
        # Tokens outside the stream count as zeros.
        padding = (0, 0, 0, taps - 1) if reverse else (0, 0, taps - 1, 0)
        padded = F.pad(stream, padding)
        total = torch.zeros_like(stream) if bias is None else bias.expand_as(stream)
        for k in range(taps):
            start = taps - 1 - k if reverse else k
            total = total + weight[:, k] * padded[start : start + len(stream)]
        outputs.append(F.silu(total))
    return torch.cat(outputs)
