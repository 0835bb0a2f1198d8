"""Between packed tokens and padded, channels-first batches, for kernels that know only those."""

from __future__ import annotations

import torch
from torch import Tensor


class PaddedLayout:
    """Where every packed token goes in a (S, L) batch.

    Streams start at column 0 and pads stand behind them, so a causal kernel never sees a pad
    before a token.  With `reverse` every stream is laid out back to front by its own length.

    Parameters
    ----------
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    reverse : bool

    Examples
    --------
    >>> layout = PaddedLayout(torch.tensor([0, 2, 5], dtype=torch.int32), reverse=True)
    >>> layout.pad(torch.arange(1.0, 6.0)[:, None])[:, 0].tolist()
    [[2.0, 1.0, 0.0], [5.0, 4.0, 3.0]]
    """

    def __init__(self, cu_seqlens: Tensor, reverse: bool) -> None:
        bounds = cu_seqlens.long()
        lengths = bounds[1:] - bounds[:-1]
        self.streams, self.length = len(lengths), int(lengths.max())
        owner = torch.repeat_interleave(torch.arange(self.streams, device=bounds.device), lengths)
        position = torch.arange(len(owner), device=bounds.device) - bounds[owner]
        if reverse:
            position = lengths[owner] - 1 - position
        self.index = owner * self.length + position

    def pad(self, packed: Tensor) -> Tensor:
        """(T, E) to (S, E, L), zeros at pads."""
        flat = packed.new_zeros(self.streams * self.length, packed.shape[1])
        flat = flat.index_copy(0, self.index, packed)
        return flat.view(self.streams, self.length, -1).transpose(1, 2).contiguous()

    def unpad(self, padded: Tensor) -> Tensor:
        """(S, E, L) to (T, E)."""
        return padded.transpose(1, 2).reshape(self.streams * self.length, -1)[self.index]
