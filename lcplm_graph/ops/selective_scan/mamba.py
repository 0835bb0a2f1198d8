"""The CUDA kernel of mamba-ssm, when it is installed.

It takes padded batches and one direction, so streams are padded behind and reversed one by one.
What is tested: everything around the kernel, with a stand-in of mamba-ssm's documented semantics,
in every run of the tests.  What was compared once: these calls bind to the signatures of mamba-ssm
2.3.2 and causal-conv1d 1.7.0 and, computed by those packages' own Python references, give the
values and gradients of ours.  What is not: the CUDA kernels themselves, which need a GPU.
"""

from __future__ import annotations

from torch import Tensor

from lcplm_graph.ops.padding import PaddedLayout


def selective_scan_mamba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    residual: Tensor | None,
    z: Tensor | None,
    cu_seqlens: Tensor,
    reverse: bool,
) -> Tensor:
    """Compute what `selective_scan_reference` computes, without initial states."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    layout = PaddedLayout(cu_seqlens, reverse)
    # With a residual the gate must wait until the sum, so it is applied here.
    gate = None if z is None or residual is not None else layout.pad(z)
    y = layout.unpad(
        selective_scan_fn(
            layout.pad(u),
            layout.pad(delta),
            A,
            layout.pad(B),
            layout.pad(C),
            D,
            z=gate,
            delta_bias=delta_bias,
            delta_softplus=True,
        )
    )
    if residual is not None:
        y = y + residual
        if z is not None:
            y = y * (z * z.sigmoid())
    return y
