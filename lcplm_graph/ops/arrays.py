"""Views of tensors as the flat float32 arrays that the Numba kernels take."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.tokens.packing import check_cu_seqlens

_NOTHING = np.zeros(1, dtype=np.float32)


def boundaries(cu_seqlens: Tensor, num_tokens: int) -> np.ndarray:
    """Check the values of `cu_seqlens` and return them as int64 of shape (S + 1,)."""
    check_cu_seqlens(cu_seqlens, num_tokens)
    return cu_seqlens.numpy().astype(np.int64)


def flat(tensor: Tensor | None) -> np.ndarray:
    """Flatten a tensor (copied only if it is not contiguous); None gives a dummy."""
    return _NOTHING if tensor is None else _view(tensor.detach().contiguous().view(-1))


def rows(tensor: Tensor | None) -> tuple[np.ndarray, int]:
    """Flatten a matrix whose rows may be spaced out; returns the elements and the row distance."""
    if tensor is None:
        return _NOTHING, 0
    tensor = tensor.detach()
    if tensor.stride(1) != 1:
        tensor = tensor.contiguous()
    span = (len(tensor) - 1) * tensor.stride(0) + tensor.shape[1]
    return _view(tensor.as_strided((span,), (1,))), tensor.stride(0)


def _view(tensor: Tensor) -> np.ndarray:
    if torch.distributed.is_initialized():
        # FSDP frees gathered parameters after use, which `numpy` would forbid for good.
        return np.from_dlpack(tensor)
    return tensor.numpy()
