"""Views of tensors as flat arrays for the Numba kernels: float32, or bfloat16 as int16."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.tokens.packing import check_cu_seqlens

_NOTHING: dict[torch.dtype, np.ndarray] = {
    torch.float32: np.zeros(1, dtype=np.float32),
    torch.bfloat16: np.zeros(1, dtype=np.int16),
}


def float32(*shape: Any) -> Tensor:
    """Return memory for a kernel to fill, float32 on the CPU whatever torch's defaults are."""
    return torch.empty(*shape, dtype=torch.float32, device="cpu")


class Streams:
    """Boundaries of packed streams, and what kernels derive from them, once for all layers.

    Attributes
    ----------
    cu : ndarray, dtype=int64, shape=(S + 1,)
    """

    def __init__(self, cu: np.ndarray) -> None:
        self.cu = cu
        self._derived: dict[Callable[[np.ndarray], np.ndarray], np.ndarray] = {}

    def derived(self, make: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return ``make(cu)``, computed the first time; not to be written to."""
        if make not in self._derived:
            self._derived[make] = make(self.cu)
        return self._derived[make]


def streams_of(cu_seqlens: Tensor, num_tokens: int) -> Streams:
    """Check the boundaries of a batch; those of the last batches are known by their values.

    Raises
    ------
    InputError
        If `cu_seqlens` does not partition the tokens.
    """
    if cu_seqlens.dtype != torch.int32 or cu_seqlens.dim() != 1:
        check_cu_seqlens(cu_seqlens, num_tokens)
    return _streams(cu_seqlens.numpy().tobytes(), num_tokens)


@lru_cache(maxsize=16)
def _streams(raw: bytes, num_tokens: int) -> Streams:
    cu = np.frombuffer(raw, np.int32)
    check_cu_seqlens(torch.from_numpy(cu.copy()), num_tokens)
    return Streams(cu.astype(np.int64))


def flat(tensor: Tensor | None, absent: torch.dtype = torch.float32) -> np.ndarray:
    """Flatten a tensor (copied only if it is not contiguous); None gives a dummy of a dtype."""
    return _NOTHING[absent] if tensor is None else _view(tensor.detach().contiguous().view(-1))


def rows(tensor: Tensor | None, absent: torch.dtype = torch.float32) -> tuple[np.ndarray, int]:
    """Flatten a matrix whose rows may be spaced out; returns the elements and the row distance."""
    if tensor is None:
        return _NOTHING[absent], 0
    tensor = tensor.detach()
    if tensor.stride(1) != 1:
        tensor = tensor.contiguous()
    span = (len(tensor) - 1) * tensor.stride(0) + tensor.shape[1]
    return _view(tensor.as_strided((span,), (1,))), tensor.stride(0)


def _view(tensor: Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    if torch.distributed.is_initialized():
        # FSDP frees gathered parameters after use, which `numpy` would forbid for good.
        return np.from_dlpack(tensor)
    return tensor.numpy()
