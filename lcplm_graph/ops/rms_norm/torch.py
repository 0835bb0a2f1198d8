"""PyTorch's own norm: on any device, in any dtype."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, width: int = 16
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    return True, f"torch {torch.__version__}"


def run(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Compute what the reference computes, in the dtype of `x`."""
    return F.rms_norm(x, weight.shape, weight, eps)
