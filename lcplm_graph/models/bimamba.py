"""The BiMamba-S layer: two directions of a selective state-space model with shared projections.

The published code runs two whole Mamba blocks, the second on a flipped copy, and adds them.
Their projections are linear and shared, so with u, z = in_proj(x)

    out_proj(y_fwd silu(z)) + out_proj(y_rev silu(z)) = out_proj((y_fwd + y_rev) silu(z)),

which needs half of the projection work and no flip.  The identity holds for addition only: with
separate projections or element-wise multiplication the two directions run in full.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcplm_graph.models.architecture import Architecture
from lcplm_graph.models.attached import call, convolve_called, is_plain, is_second_name
from lcplm_graph.models.entrances import Entrances, forget_at
from lcplm_graph.ops.causal_conv import causal_conv
from lcplm_graph.ops.rms_norm import rms_norm
from lcplm_graph.ops.selective_scan import selective_scan, selective_scan_stateful

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4
"""Range of step sizes at initialisation, as in Mamba."""


def low_dtype(weight: Tensor) -> torch.dtype | None:
    """Dtype in which activations go from kernel to kernel, if that is not float32.

    bfloat16 weights multiply bfloat16, so without gradients the kernels between them read and
    write that; they compute in float32 in any case.
    """
    low = weight.dtype == torch.bfloat16 and not torch.is_grad_enabled()
    return torch.bfloat16 if low else None


class MambaDirection(nn.Module):
    """One direction: parameters of a Mamba-1 block under their published names.

    Parameters
    ----------
    config : Architecture
    share : MambaDirection, optional
        Use the projections of this direction instead of own ones.
    """

    def __init__(self, config: Architecture, share: MambaDirection | None = None) -> None:
        super().__init__()
        d_inner, d_state, dt_rank = config.d_inner, config.d_state, config.dt_rank
        bias = config.projection_bias
        self.in_proj: nn.Linear = (
            share.in_proj if share else nn.Linear(config.d_model, 2 * d_inner, bias)
        )
        # Used as a container of parameters only, while plain; `causal_conv` does the work.
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
        self.marker_step_bias: nn.Parameter | None = None
        if config.marker_step_bias:
            self.add_marker_step()
        self.dt_rank, self.d_state, self.d_inner = dt_rank, d_state, d_inner
        self.d_conv = config.d_conv
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise A, D and the step sizes as Mamba does (Gu & Dao 2023, section 3.6)."""
        if self.A_log.is_meta:
            return  # there is nothing to initialise, and torch would import a compiler for it
        states = torch.arange(1, self.d_state + 1, dtype=torch.float32, device=self.A_log.device)
        self.A_log.copy_(states.log().expand_as(self.A_log))
        self.D.fill_(1.0)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        low, high = math.log(DT_MIN), math.log(DT_MAX)
        dt = torch.empty_like(self.dt_proj.bias).uniform_(low, high).exp().clamp(min=DT_FLOOR)
        # Inverse of softplus.
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def add_marker_step(self, value: float = 0.0) -> None:
        """Add a bias on the step size where this direction enters a protein; see `forget_at`."""
        self.marker_step_bias = nn.Parameter(torch.full_like(self.D, value))

    def project_in(self, x: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
        """Input projection: what the convolution takes, (T, E), and how to get the gate, (T, E).

        The gate is computed when it is asked for, so that it does not lie about meanwhile.
        """
        if not is_plain(self.in_proj, nn.Linear):
            u, z = call(self.in_proj, x).chunk(2, dim=-1)
            return u.contiguous(), z.contiguous
        weight, bias = self.in_proj.weight, self.in_proj.bias
        x = x.to(weight.dtype)

        def half(part: slice) -> Tensor:
            return F.linear(x, weight[part], None if bias is None else bias[part])

        return half(slice(self.d_inner)), lambda: half(slice(self.d_inner, None))

    def convolve(self, u: Tensor, cu_seqlens: Tensor, reverse: bool) -> Tensor:
        """Short convolution with SiLU, shape (T, E)."""
        conv = self.conv1d
        if not is_plain(conv, nn.Conv1d):
            return convolve_called(conv, u, cu_seqlens, self.d_conv, reverse)
        weight = conv.weight.squeeze(1)
        return causal_conv(
            u, weight, conv.bias, cu_seqlens=cu_seqlens, reverse=reverse, dtype=low_dtype(self.D)
        )

    def scan(
        self,
        u: Tensor,
        cu_seqlens: Tensor,
        reverse: bool,
        residual: Tensor | None = None,
        z: Tensor | None = None,
        entrances: Tensor | None = None,
    ) -> Tensor:
        """Scan the convolved input, which may be overwritten; options as in `selective_scan`.

        At the tokens `entrances` the direction enters a protein.
        """
        operands, restore = self._scan_operands(u, entrances)
        return restore(selective_scan(
            **operands, cu_seqlens=cu_seqlens, residual=residual, z=z,
            reverse=reverse, overwrite=is_plain(self.x_proj, nn.Linear), dtype=low_dtype(self.D),
        ), z)  # fmt: skip

    def scan_from(
        self,
        state: Tensor,
        u: Tensor,
        cu_seqlens: Tensor,
        reverse: bool,
        residual: Tensor | None = None,
        z: Tensor | None = None,
        entrances: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Scan from given states; returns the output and the last states (S, E, N)."""
        operands, restore = self._scan_operands(u, entrances)
        y, last = selective_scan_stateful(
            **operands, cu_seqlens=cu_seqlens, residual=residual, z=z,
            reverse=reverse, initial_state=state, dtype=low_dtype(self.D),
        )  # fmt: skip
        return restore(y, z), last

    def _scan_operands(
        self, u: Tensor, entrances: Tensor | None
    ) -> tuple[dict[str, Any], Callable[[Tensor, Tensor | None], Tensor]]:
        operands = self._plain_operands(u)
        bias = self.marker_step_bias
        if bias is None or entrances is None or not len(entrances):
            return operands, lambda y, z: y
        return forget_at(operands, entrances, bias)

    def _plain_operands(self, u: Tensor) -> dict[str, Any]:
        sizes = [self.dt_rank, self.d_state, self.d_state]
        dt, B, C = call(self.x_proj, u).split(sizes, dim=-1)
        A, D = -torch.exp(self.A_log.float()), self.D.float()
        operands = {"u": u, "A": A, "B": B, "C": C, "D": D}
        if not is_plain(self.dt_proj, nn.Linear):
            return operands | {"delta": call(self.dt_proj, dt)}
        return operands | {
            "delta": dt, "delta_weight": self.dt_proj.weight,
            "delta_bias": self.dt_proj.bias.float(),
        }  # fmt: skip

    def project_out(self, y: Tensor) -> Tensor:
        """Output projection, shape (T, d_model)."""
        return call(self.out_proj, y)

    def forward(
        self,
        x: Tensor,
        cu_seqlens: Tensor,
        reverse: bool,
        shared: MambaDirection | None = None,
        entrances: Tensor | None = None,
    ) -> Tensor:
        """Run the whole block in one direction, shape (T, d_model).

        An adapter replaces a shared projection under its first name only; `shared` is the
        direction that has this name.
        """
        owner = shared or self
        u, gate = owner.project_in(x)
        u = self.convolve(u, cu_seqlens, reverse)
        return owner.project_out(self.scan(u, cu_seqlens, reverse, z=gate(), entrances=entrances))


class BiMamba(nn.Module):
    """The mixer of a layer; see the module's text."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.mamba_fwd = MambaDirection(config)
        self.mamba_rev: MambaDirection | None = None
        if config.bidirectional:
            share = self.mamba_fwd if config.bidirectional_weight_tie else None
            self.mamba_rev = MambaDirection(config, share)
        self.multiply = config.bidirectional_strategy == "ew_multiply"
        self.tied = config.bidirectional and config.bidirectional_weight_tie

    @property
    def shares(self) -> bool:
        """Whether both directions use the projections of the first."""
        fwd, rev = self.mamba_fwd, self.mamba_rev
        return self.tied and rev is not None and all(
            is_second_name(getattr(rev, name), getattr(fwd, name))
            for name in ("in_proj", "out_proj")
        )  # fmt: skip

    @property
    def factored(self) -> bool:
        """Whether both directions can go through one output projection (see the module's text)."""
        if not self.shares or self.multiply or self.mamba_rev is None:
            return False
        fwd = self.mamba_fwd
        if not (is_plain(fwd, MambaDirection) and is_plain(self.mamba_rev, MambaDirection)):
            return False
        # A bias must be doubled, which cannot be done to a module that is called.
        return is_plain(fwd.out_proj, nn.Linear) or getattr(fwd.out_proj, "bias", None) is None

    @property
    def owner(self) -> MambaDirection | None:
        """The direction whose projections both use; None if each has its own."""
        return self.mamba_fwd if self.shares else None

    def forward(self, x: Tensor, cu_seqlens: Tensor, entrances: Entrances | None = None) -> Tensor:
        """Mix tokens within their streams.

        Parameters
        ----------
        x : Tensor, shape=(T, d_model)
        cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
        entrances : Entrances, optional
            Where proteins of streams begin and end.

        Returns
        -------
        Tensor, shape=(T, d_model)
        """
        fwd, rev = self.mamba_fwd, self.mamba_rev
        begin, end = entrances or (None, None)
        if rev is None:
            return fwd(x, cu_seqlens, reverse=False, entrances=begin)
        if not self.factored:
            left = fwd(x, cu_seqlens, reverse=False, entrances=begin)
            right = rev(x, cu_seqlens, reverse=True, shared=self.owner, entrances=end)
            return left * right if self.multiply else left + right
        u, gate = fwd.project_in(x)
        y = fwd.scan(fwd.convolve(u, cu_seqlens, False), cu_seqlens, False, entrances=begin)
        y = rev.scan(
            rev.convolve(u, cu_seqlens, True), cu_seqlens, True, residual=y, z=gate(), entrances=end
        )
        return self.project_out(y)

    def project_out(self, y: Tensor) -> Tensor:
        """Output projection of the factored form; the published sum counts its bias twice."""
        projection = self.mamba_fwd.out_proj
        if getattr(projection, "bias", None) is None:
            return call(projection, y)
        return F.linear(y.to(projection.weight.dtype), projection.weight, 2 * projection.bias)


class RMSNorm(nn.Module):
    """Root-mean-square norm (Zhang & Sennrich 2019), computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Normalise the last axis; `dtype` is that of the result, default float32."""
        return rms_norm(x.float(), self.weight.float(), self.eps, dtype=dtype)


class Layer(nn.Module):
    """``h + mixer(norm(h))`` with a float32 residual stream."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.norm = RMSNorm(config.d_model, config.norm_epsilon)
        self.mixer = BiMamba(config)

    def forward(
        self, hidden: Tensor, cu_seqlens: Tensor, entrances: Entrances | None = None
    ) -> Tensor:
        """Map (T, d_model) float32 to the same; `entrances` as in `BiMamba`."""
        more = () if entrances is None else (entrances,)
        # A sum of float32 and bfloat16 is float32, without a copy of either.
        return hidden + self.mixer(self.normed(hidden), cu_seqlens, *more)

    def normed(self, hidden: Tensor) -> Tensor:
        """Return what the mixer takes."""
        low = low_dtype(self.norm.weight) if is_plain(self.norm, RMSNorm) else None
        return self.norm(hidden) if low is None else self.norm(hidden, low)
