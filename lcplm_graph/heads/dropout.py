"""Dropout by random bytes: the same thing, many times faster on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from lcplm_graph.errors import ConfigError

_LEVELS = 256
_own = threading.local()


@contextmanager
def seeded_dropout(seed: int) -> Iterator[None]:
    """Let `Dropout` in this thread draw from generators of this seed inside the block.

    Heads can then be trained in several threads, each with the numbers of its seed.
    """
    before = getattr(_own, "source", None)
    _own.source = (seed, {})
    try:
        yield
    finally:
        _own.source = before


def _generator(device: torch.device) -> torch.Generator | None:
    source: tuple[int, dict[torch.device, torch.Generator]] | None = getattr(_own, "source", None)
    if source is None:
        return None
    seed, generators = source
    if device not in generators:
        generators[device] = torch.Generator(device).manual_seed(seed)
    return generators[device]


class Dropout(nn.Module):
    """Set units to zero at random in training, and scale up the others.

    One random byte decides about a unit, so `p` is rounded to a multiple of 1/256; the scale is
    that of the rounded value, so the mean is kept.  Torch draws a number per unit and takes
    ten times as long on a CPU.  The numbers come from torch's generator of the device, or from one
    of `seeded_dropout`, in an order that does not depend on the number of threads.

    Parameters
    ----------
    p : float
        Share of the units that is dropped, at least 0 and below 1.

    Raises
    ------
    ConfigError
        If `p` is outside of that.

    Examples
    --------
    >>> Dropout(0.5).eval()(torch.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not isinstance(p, int | float | np.floating) or not 0 <= p < 1:
            raise ConfigError(f"dropout={p!r} must be a number of at least 0 and below 1")
        # At least one level is kept: none would divide by zero.
        self.kept = max(round(_LEVELS * (1 - p)), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with units dropped, the same shape."""
        if not self.training or self.kept == _LEVELS:
            return x
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        # The default range leaves the highest bit of every word 0.
        drawn = (
            words.random_(-(2**63), None, generator=_generator(x.device))
            .view(torch.uint8)[: x.numel()]
            .view(x.shape)
        )
        return x * ((drawn < self.kept).to(x.dtype) * (_LEVELS / self.kept))

    def extra_repr(self) -> str:
        """Show `p` as it is after rounding."""
        return f"p={1 - self.kept / _LEVELS:g}"
