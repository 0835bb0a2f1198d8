"""Root-mean-square norm (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467)."""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.backends import choose_kernel
from lcplm_graph.ops.checks import check_floats, check_shape

__all__ = ["rms_norm"]

OP = "rms_norm"


def rms_norm(
    x: Tensor,
    weight: Tensor,
    eps: float,
    *,
    dtype: torch.dtype | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""Return :math:`x / \sqrt{\mathrm{mean}(x^2) + \epsilon} \cdot w` over the last axis.

    On the CPU a kernel passes over `x` once, and once more for gradients, where PyTorch's own
    passes several times; elsewhere, and for widths that are not a multiple of 16, PyTorch's runs.

    Parameters
    ----------
    x : Tensor, shape=(..., d)
    weight : Tensor, shape=(d,)
    eps : float
    dtype : torch.dtype, optional
        Of the result; by default that of `x`.
    backend : str, optional
        See `lcplm_graph.backends`; chosen automatically if not given.

    Returns
    -------
    Tensor, shape of `x`

    Raises
    ------
    InputError
        If a shape, dtype or device does not fit.
    """
    check_floats(OP, x, weight=weight)
    check_shape(OP, "weight", weight, x.shape[-1:])
    kernel = choose_kernel(OP, x, requested=backend, width=x.shape[-1])
    return kernel.run(x, weight, eps, dtype or x.dtype).to(dtype or x.dtype)
