"""The BiMamba-S layer: two directions of a selective state-space model with shared projections.

The published code runs two whole Mamba blocks, the second on a flipped copy, and adds them.
Their projections are linear and shared, so with u, z = in_proj(x)

    out_proj(y_fwd silu(z)) + out_proj(y_rev silu(z)) = out_proj((y_fwd + y_rev) silu(z)),

which needs half of the projection work and no flip.  The identity holds for addition only: with
separate projections or element-wise multiplication the two directions run in full.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.ops.causal_conv import causal_conv
from lcplm_graph.ops.rms_norm import rms_norm
from lcplm_graph.ops.selective_scan import selective_scan, selective_scan_stateful

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4
"""Range of step sizes at initialisation, as in Mamba."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a linear map; the kernels return float32, so low-precision weights need a cast."""
    return F.linear(x.to(weight.dtype), weight, bias)


class MambaDirection(nn.Module):
    """One direction: parameters of a Mamba-1 block under their published names.

    Parameters
    ----------
    config : LcPlmConfig
    share : MambaDirection, optional
        Use the projections of this direction instead of own ones.
    """

    def __init__(self, config: LcPlmConfig, share: MambaDirection | None = None) -> None:
        super().__init__()
        d_inner, d_state, dt_rank = config.d_inner, config.d_state, config.dt_rank
        bias = config.projection_bias
        self.in_proj: nn.Linear = (
            share.in_proj if share else nn.Linear(config.d_model, 2 * d_inner, bias)
        )
        # Used as a container of parameters only; `causal_conv` does the work.
        self.conv1d = nn.Conv1d(
            d_inner, d_inner, config.d_conv, groups=d_inner, bias=config.conv_bias
        )
        self.x_proj = nn.Linear(d_inner, dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.empty(d_inner, d_state))
        self.D = nn.Parameter(torch.empty(d_inner))
        self.out_proj: nn.Linear = (
            share.out_proj if share else nn.Linear(d_inner, config.d_model, bias)
        )
        self.dt_rank, self.d_state, self.d_inner = dt_rank, d_state, d_inner
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise A, D and the step sizes as Mamba does (Gu & Dao 2023, section 3.6)."""
        states = torch.arange(1, self.d_state + 1, dtype=torch.float32)
        self.A_log.copy_(states.log().expand_as(self.A_log))
        self.D.fill_(1.0)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        low, high = math.log(DT_MIN), math.log(DT_MAX)
        dt = torch.empty_like(self.dt_proj.bias).uniform_(low, high).exp().clamp(min=DT_FLOOR)
        # Inverse of softplus.
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def project_u(self, x: Tensor) -> Tensor:
        """First half of in_proj: input of the convolution, shape (T, E)."""
        bias = self.in_proj.bias
        half = None if bias is None else bias[: self.d_inner]
        return linear(x, self.in_proj.weight[: self.d_inner], half)

    def project_z(self, x: Tensor) -> Tensor:
        """Second half of in_proj: the gate, shape (T, E)."""
        bias = self.in_proj.bias
        half = None if bias is None else bias[self.d_inner :]
        return linear(x, self.in_proj.weight[self.d_inner :], half)

    def convolve(self, u: Tensor, cu_seqlens: Tensor, reverse: bool) -> Tensor:
        """Short convolution with SiLU, shape (T, E)."""
        weight = self.conv1d.weight.squeeze(1)
        return causal_conv(u, weight, self.conv1d.bias, cu_seqlens=cu_seqlens, reverse=reverse)

    def scan(
        self,
        u: Tensor,
        cu_seqlens: Tensor,
        reverse: bool,
        residual: Tensor | None = None,
        z: Tensor | None = None,
    ) -> Tensor:
        """Scan the convolved input, which may be overwritten; options as in `selective_scan`."""
        return selective_scan(
            **self._scan_operands(u), cu_seqlens=cu_seqlens, residual=residual, z=z,
            reverse=reverse, overwrite=True,
        )  # fmt: skip

    def scan_from(
        self,
        state: Tensor,
        u: Tensor,
        cu_seqlens: Tensor,
        reverse: bool,
        residual: Tensor | None = None,
        z: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Scan from given states; returns the output and the last states (S, E, N)."""
        return selective_scan_stateful(
            **self._scan_operands(u), cu_seqlens=cu_seqlens, residual=residual, z=z,
            reverse=reverse, initial_state=state,
        )  # fmt: skip

    def _scan_operands(self, u: Tensor) -> dict[str, Any]:
        sizes = [self.dt_rank, self.d_state, self.d_state]
        dt, B, C = linear(u, self.x_proj.weight).split(sizes, dim=-1)
        return {
            "u": u, "delta": dt, "A": -torch.exp(self.A_log.float()), "B": B, "C": C,
            "D": self.D.float(), "delta_bias": self.dt_proj.bias.float(),
            "delta_weight": self.dt_proj.weight,
        }  # fmt: skip

    def project_out(self, y: Tensor) -> Tensor:
        """Output projection, shape (T, d_model)."""
        return linear(y, self.out_proj.weight, self.out_proj.bias)

    def forward(self, x: Tensor, cu_seqlens: Tensor, reverse: bool) -> Tensor:
        """Run the whole block in one direction, shape (T, d_model)."""
        u = self.convolve(self.project_u(x), cu_seqlens, reverse)
        return self.project_out(self.scan(u, cu_seqlens, reverse, z=self.project_z(x)))


class BiMamba(nn.Module):
    """The mixer of a layer; see the module's text."""

    def __init__(self, config: LcPlmConfig) -> None:
        super().__init__()
        self.mamba_fwd = MambaDirection(config)
        self.mamba_rev: MambaDirection | None = None
        if config.bidirectional:
            share = self.mamba_fwd if config.bidirectional_weight_tie else None
            self.mamba_rev = MambaDirection(config, share)
        self.multiply = config.bidirectional_strategy == "ew_multiply"
        self.factored = (
            config.bidirectional and config.bidirectional_weight_tie and not self.multiply
        )

    def forward(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """Mix tokens within their streams.

        Parameters
        ----------
        x : Tensor, shape=(T, d_model)
        cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)

        Returns
        -------
        Tensor, shape=(T, d_model)
        """
        fwd, rev = self.mamba_fwd, self.mamba_rev
        if rev is None:
            return fwd(x, cu_seqlens, reverse=False)
        if not self.factored:
            left, right = fwd(x, cu_seqlens, reverse=False), rev(x, cu_seqlens, reverse=True)
            return left * right if self.multiply else left + right
        u = fwd.project_u(x)
        y = fwd.scan(fwd.convolve(u, cu_seqlens, False), cu_seqlens, False)
        y = rev.scan(
            rev.convolve(u, cu_seqlens, True), cu_seqlens, True, residual=y, z=fwd.project_z(x)
        )
        return self.project_out(y)

    def project_out(self, y: Tensor) -> Tensor:
        """Output projection of the factored form; the published sum counts its bias twice."""
        projection = self.mamba_fwd.out_proj
        bias = None if projection.bias is None else 2 * projection.bias
        return linear(y, projection.weight, bias)


class RMSNorm(nn.Module):
    """Root-mean-square norm (Zhang & Sennrich 2019), computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return rms_norm(x.float(), self.weight.float(), self.eps)


class Layer(nn.Module):
    """``h + mixer(norm(h))`` with a float32 residual stream."""

    def __init__(self, config: LcPlmConfig) -> None:
        super().__init__()
        self.norm = RMSNorm(config.d_model, config.norm_epsilon)
        self.mixer = BiMamba(config)

    def forward(self, hidden: Tensor, cu_seqlens: Tensor) -> Tensor:
        """Map (T, d_model) float32 to the same."""
        return hidden + self.mixer(self.norm(hidden), cu_seqlens).float()
