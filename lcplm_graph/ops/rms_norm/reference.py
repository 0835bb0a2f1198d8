"""The root-mean-square norm, written out."""

from __future__ import annotations

import torch
from torch import Tensor


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, width: int = 16
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    return True, "plain torch, written out"


def run(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Compute ``x / sqrt(mean(x^2) + eps) * weight`` in float32, or in float64 if that is given."""
    exact = x if x.dtype == torch.float64 else x.float()
    scale = torch.rsqrt(exact.square().mean(-1, keepdim=True) + eps)
    return (exact * scale * weight.to(exact.dtype)).to(dtype)
