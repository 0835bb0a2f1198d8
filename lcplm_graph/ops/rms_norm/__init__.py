"""Root-mean-square norm (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467)."""

from __future__ import annotations

import os

import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.backends import backend_status

__all__ = ["rms_norm"]

OP = "rms_norm"


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    r"""Return :math:`x / \sqrt{\mathrm{mean}(x^2) + \epsilon} \cdot w` over the last axis.

    On the CPU a kernel passes over `x` once, and once more for gradients, where PyTorch's own
    passes several times; elsewhere, and for widths that are no multiple of 16, PyTorch's runs.

    Parameters
    ----------
    x : Tensor, dtype=float32, shape=(T, d)
    weight : Tensor, dtype=float32, shape=(d,)
    eps : float

    Returns
    -------
    Tensor, dtype=float32, shape=(T, d)
    """
    if x.dim() == 2 and not x.shape[1] % 16 and _kernel_runs(x):
        from lcplm_graph.ops.rms_norm.cpu import norm_op

        return norm_op(x, weight, eps)[0]
    return F.rms_norm(x, weight.shape, weight, eps)


def _kernel_runs(x: Tensor) -> bool:
    asked = os.environ.get("LCPLM_BACKEND") or "auto"
    usable = backend_status(OP, "numba", x.device.type, x.dtype).usable
    return asked in ("auto", "numba") and usable
