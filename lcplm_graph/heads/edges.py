"""Edges as convolutions take them, checked once for all heads and loaders."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lcplm_graph.errors import InputError


def checked_edges(edge_index: Any, count: int) -> Tensor:
    """Return edges as int64, of int64 as they are, if all of them join two nodes.

    PyG says so only where a convolution reads them: heads without one took anything.

    Parameters
    ----------
    edge_index : Tensor, dtype=int64 or int32, shape=(2, m)
    count : int
        Number of nodes.

    Raises
    ------
    InputError
        If they are something else, or one of them names a node that does not exist.

    Examples
    --------
    >>> import torch
    >>> checked_edges(torch.tensor([[0, 1], [1, 0]], dtype=torch.int32), 2).dtype
    torch.int64
    """
    if not isinstance(edge_index, Tensor):
        raise InputError(
            f"edge_index must be a tensor of shape (2, m), not {type(edge_index).__name__}"
        )
    if "sparse" in str(edge_index.layout):
        raise InputError(
            f"edge_index is a sparse matrix ({edge_index.layout}); take "
            "torch_geometric.utils.to_edge_index(adj_t)[0].flip(0)"
        )
    shape = tuple(edge_index.shape)
    if len(shape) != 2 or shape[0] != 2:
        raise InputError(f"edge_index must be a tensor of shape (2, m), not {shape}")
    if not edge_index.numel():
        return edge_index.long()
    kind = str(edge_index.dtype).removeprefix("torch.")
    if kind not in ("int64", "int32"):
        raise InputError(f"edge_index must be whole numbers (int64), not {kind}")
    low, high = (int(end) for end in edge_index.aminmax())
    if low < 0 or high >= count:
        wrong = low if low < 0 else high
        raise InputError(
            f"edge_index names a protein outside 0..{count - 1}: {wrong}; an unknown name has the "
            "number -1"
        )
    return edge_index.long()
