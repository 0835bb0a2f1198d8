"""Packed streams cut into tiles of equal length, the unit of work of the GPU kernels."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.tokens.packing import check_cu_seqlens

MEMORY = 16
"""How many tables are remembered: tile sizes times batches in flight."""


class Tiles(NamedTuple):
    """Tiles in token order; none crosses a boundary of streams.

    Attributes
    ----------
    table : Tensor, dtype=int32, shape=(n, 4)
        First token of the tile, its end, first token of its stream, its stream's end.
    first : Tensor, dtype=int32, shape=(S + 1,)
        Index of each stream's first tile; the last entry is the number of tiles.
    """

    table: Tensor
    first: Tensor


def cut_into_tiles(cu_seqlens: Tensor, num_tokens: int, size: int) -> Tiles:
    """Check the values of `cu_seqlens` and cut its streams into tiles of at most `size` tokens.

    Reading the boundaries waits for the device, so the tables of the last batches are remembered:
    the operations of all layers of one forward and backward pass share one look.  A remembered
    tensor is held, so its memory cannot be reused, and recognised as changed by its version
    counter.  Tensors made under `torch.inference_mode` have no such counter and are read each time.

    Parameters
    ----------
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    num_tokens, size : int

    Returns
    -------
    Tiles
        On the device of `cu_seqlens`.

    Raises
    ------
    InputError
        If `cu_seqlens` does not partition the tokens.

    Examples
    --------
    >>> tiles = cut_into_tiles(torch.tensor([0, 3, 8], dtype=torch.int32), 8, size=4)
    >>> tiles.table.tolist()
    [[0, 3, 0, 3], [3, 7, 3, 8], [7, 8, 3, 8]]
    >>> tiles.first.tolist()
    [0, 1, 3]
    """
    if cu_seqlens.is_inference():
        return _cut(cu_seqlens, num_tokens, size)
    place = (cu_seqlens.device, cu_seqlens.data_ptr(), cu_seqlens.stride(), len(cu_seqlens))
    key = (*place, num_tokens, size)
    known = _remembered.get(key)
    if known is not None and known[1] == cu_seqlens._version:
        return known[2]
    version = cu_seqlens._version
    tiles = _cut(cu_seqlens, num_tokens, size)
    _remembered[key] = (cu_seqlens.detach(), version, tiles)
    while len(_remembered) > MEMORY:
        _remembered.popitem(last=False)
    return tiles


_remembered: OrderedDict[tuple, tuple[Tensor, int, Tiles]] = OrderedDict()


def _cut(cu_seqlens: Tensor, num_tokens: int, size: int) -> Tiles:
    bounds = cu_seqlens.cpu()
    check_cu_seqlens(bounds, num_tokens)
    cu = bounds.numpy().astype(np.int64)
    counts = (np.diff(cu) + size - 1) // size
    first = np.concatenate([[0], np.cumsum(counts)])
    stream = np.repeat(np.arange(len(counts)), counts)
    begin = cu[stream] + (np.arange(first[-1]) - first[stream]) * size
    stream_end = cu[stream + 1]
    table = np.stack([begin, np.minimum(begin + size, stream_end), cu[stream], stream_end], axis=1)
    device = cu_seqlens.device
    return Tiles(
        torch.from_numpy(table.astype(np.int32)).to(device),
        torch.from_numpy(first.astype(np.int32)).to(device),
    )
