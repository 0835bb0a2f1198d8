"""Strings of the nodes of a graph: a list that can be taken apart as the tensors beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch_geometric.data import Data


class NodeStrings(list[str]):
    """A list of strings that takes indices, masks and slices as a tensor does.

    PyG takes a list as long as the graph has nodes for an attribute of the nodes, and indexes it
    with tensors.

    Examples
    --------
    >>> import torch
    >>> names = NodeStrings(["a", "b", "c"])
    >>> names[0], names[torch.tensor([2, 0])], names[torch.tensor([False, True, True])]
    ('a', ['c', 'a'], ['b', 'c'])
    """

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return NodeStrings(super().__getitem__(index))
        if isinstance(index, int):
            return super().__getitem__(index)
        rows = np.asarray(index.cpu() if hasattr(index, "cpu") else index)
        if rows.ndim == 0:
            return super().__getitem__(int(rows))
        if rows.dtype == bool:
            if len(rows) != len(self):
                raise IndexError(f"a mask of {len(rows)} for {len(self)} nodes")
            rows = np.flatnonzero(rows)
        return NodeStrings(super(NodeStrings, self).__getitem__(int(i)) for i in rows)


def index_by_node(data: Data) -> Data:
    """Make the lists of strings of a graph's nodes `NodeStrings`, in place."""
    for key, value in list(data.to_dict().items()):
        if type(value) is list and len(value) == data.num_nodes and _are_strings(value):
            data[key] = NodeStrings(value)
    return data


def _are_strings(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
