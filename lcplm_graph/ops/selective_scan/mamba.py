"""The CUDA kernel of mamba-ssm, when it is installed.

It takes padded batches and one direction, so streams are padded behind and reversed one by one.
What is tested: everything around the kernel, with a stand-in of mamba-ssm's documented semantics,
in every run of the tests.  What was compared once: these calls bind to the signatures of mamba-ssm
2.3.2 and causal-conv1d 1.7.0 and, computed by those packages' own Python references, give the
values and gradients of ours.  What is not: the CUDA kernels themselves, which need a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lcplm_graph.backends import cuda_package_supports
from lcplm_graph.ops.padding import PaddedLayout
from lcplm_graph.ops.selective_scan.operands import ScanOperands


def supports(
    device: str, dtype: torch.dtype, *, forced: bool = False, stateful: bool = False
) -> tuple[bool, str]:
    """Whether a call can be computed, and why or why not."""
    usable, reason = cuda_package_supports("mamba_ssm", device)
    if usable and stateful:
        return False, "cannot carry a state between chunks"
    return usable, reason


def run(operands: ScanOperands) -> tuple[Tensor, Tensor]:
    """Compute what the reference computes, without initial states; there are no last states."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    x = operands.at_least_float32().multiplied_out()
    residual, z = x.residual, x.z
    layout = PaddedLayout(x.cu_seqlens, x.reverse)
    # With a residual the gate must wait until the sum, so it is applied here.
    gate = None if z is None or residual is not None else layout.pad(z)
    y = layout.unpad(
        selective_scan_fn(
            layout.pad(x.u),
            layout.pad(x.delta),
            x.A,
            layout.pad(x.B),
            layout.pad(x.C),
            x.D,
            z=gate,
            delta_bias=x.delta_bias,
            delta_softplus=True,
        )
    )
    if residual is not None:
        y = y + residual
        if z is not None:
            y = y * (z * z.sigmoid())
    return y, y.new_empty(0)
