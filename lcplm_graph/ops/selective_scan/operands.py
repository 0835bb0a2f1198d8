"""What a selective scan takes, checked once: `ScanOperands`.  The README beside has the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lcplm_graph.errors import InputError
from lcplm_graph.ops.checks import check_floats, check_packed, check_shape

OP = "selective_scan"

FLOATS = (
    "u", "delta", "A", "B", "C", "D", "delta_bias", "delta_weight", "residual", "z",
    "initial_state",
)  # fmt: skip
"""The operands that are floating point; all may be None but the first five."""


@dataclass(frozen=True, kw_only=True)
class ScanOperands:
    """Operands and options of a scan over T tokens in S streams, E channels and N states.

    Attributes
    ----------
    u : Tensor, shape=(T, E)
    delta : Tensor, shape=(T, E), or (T, R) with a `delta_weight`
    A : Tensor, shape=(E, N)
    B, C : Tensor, shape=(T, N)
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    D, delta_bias : Tensor, shape=(E,), optional
    delta_weight : Tensor, shape=(E, R), optional
    residual, z : Tensor, shape=(T, E), optional
    initial_state : Tensor, shape=(S, E, N), optional
    reverse : bool
    stateful : bool
        Whether the last states are asked for.
    overwrite : bool
        Whether the output may be written over `u`.
    dtype : torch.dtype, optional
        Wanted of the output; by default that of the computation.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    cu_seqlens: Tensor
    D: Tensor | None = None
    delta_bias: Tensor | None = None
    delta_weight: Tensor | None = None
    residual: Tensor | None = None
    z: Tensor | None = None
    initial_state: Tensor | None = None
    reverse: bool = False
    stateful: bool = False
    overwrite: bool = False
    dtype: torch.dtype | None = None

    def floats(self) -> Iterator[tuple[str, Tensor]]:
        """Names and values of the floating-point operands that are given."""
        for name in FLOATS:
            value = getattr(self, name)
            if value is not None:
                yield name, value

    def map(self, function: Callable[[Tensor], Tensor]) -> ScanOperands:
        """Return the operands with `function` applied to those that are floating point."""
        changed: dict[str, Any] = {name: function(x) for name, x in self.floats()}
        return replace(self, **changed)

    def at_least_float32(self) -> ScanOperands:
        """Bring all operands to the dtype of the computation."""
        dtype = torch.float64 if self.u.dtype == torch.float64 else torch.float32
        if all(x.dtype == dtype for _, x in self.floats()):
            return self
        return self.map(lambda x: x.to(dtype))

    def multiplied_out(self) -> ScanOperands:
        """Return operands without a `delta_weight`: it is applied to delta."""
        if self.delta_weight is None:
            return self
        weight = self.delta_weight
        delta = F.linear(self.delta.to(weight.dtype), weight)
        return replace(self, delta=delta, delta_weight=None)

    def check(self) -> None:
        """Raise `InputError` unless shapes, dtypes and devices fit."""
        u, A = self.u, self.A
        if u.dim() != 2 or A.dim() != 2:
            raise InputError(
                f"{OP}: u must be of shape (T, E) and A of shape (E, N), not {tuple(u.shape)} "
                f"and {tuple(A.shape)}"
            )
        check_packed(OP, self.cu_seqlens, u)
        check_floats(OP, **dict(self.floats()))
        (tokens, channels), n_states = u.shape, A.shape[1]
        weight = self.delta_weight
        if weight is not None and (weight.dim() != 2 or not weight.shape[1]):
            raise InputError(
                f"{OP}: delta_weight must be of shape (E, R) with R >= 1, not {tuple(weight.shape)}"
            )
        rank = channels if weight is None else weight.shape[1]
        shapes = {
            "delta": (tokens, rank),
            "delta_weight": (channels, rank),
            "A": (channels, n_states),
            "B": (tokens, n_states),
            "C": (tokens, n_states),
            "D": (channels,),
            "delta_bias": (channels,),
            "residual": (tokens, channels),
            "z": (tokens, channels),
            "initial_state": (len(self.cu_seqlens) - 1, channels, n_states),
        }
        for name, shape in shapes.items():
            check_shape(OP, name, getattr(self, name), shape)
