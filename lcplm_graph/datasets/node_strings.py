"""Strings of the nodes of a graph, in a tensor: what PyG does with tensors, it does with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Data

_JOINS = {"cat", "concat", "concatenate", "hstack"}
# Functions whose elements are those of the tensor that they are given.
_TAKES = {
    "__getitem__", "chunk", "clone", "contiguous", "cpu", "cuda", "detach", "flatten", "flip",
    "gather", "index_select", "masked_select", "narrow", "pin_memory", "repeat",
    "repeat_interleave", "requires_grad_", "reshape", "roll", "share_memory_", "split", "squeeze",
    "take", "to", "view",
}  # fmt: skip
_MAKES = {
    "empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like",
    "zeros_like",
}  # fmt: skip


class _StringList:
    """What strings of nodes and strings of graphs are to Python: a list."""

    def tolist(self) -> list[str]:
        """Return the strings as a list."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def __contains__(self, text: object) -> bool:
        return text in self.tolist()

    def __eq__(self, other: object) -> Any:
        if isinstance(other, _StringList):
            other = other.tolist()
        return self.tolist() == other if isinstance(other, list) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return not self == other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return bool(self.tolist())

    def __repr__(self, **_options: Any) -> str:
        texts = self.tolist()
        shown = texts if len(texts) <= 6 else [*texts[:3], "...", *texts[-3:]]
        return f"{type(self).__name__}({shown})"

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.tolist(), dtype=object if dtype is None else dtype)

    def index(self, text: str) -> int:
        """Return the number of the first place with this string."""
        return self.tolist().index(text)

    def count(self, text: str) -> int:
        """Return the number of places with this string."""
        return self.tolist().count(text)


class GraphStrings(_StringList):
    """Strings that belong to a graph as a whole, such as the names of its labels.

    PyG takes a list or tensor for an attribute of the nodes where it happens to be as long as there
    are nodes, in a batch too; this it leaves alone.

    Examples
    --------
    >>> terms = GraphStrings(["GO:0000001", "GO:0000002"])
    >>> terms[1], len(terms), terms == ["GO:0000001", "GO:0000002"]
    ('GO:0000002', 2, True)
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._strings = list(strings)

    def __getitem__(self, index: Any) -> Any:
        return self._strings[index]

    def __len__(self) -> int:
        return len(self._strings)

    def tolist(self) -> list[str]:
        """Return the strings as a list."""
        return list(self._strings)

    def __reduce__(self) -> Any:
        return GraphStrings, (self._strings,)


class NodeStrings(_StringList, Tensor):  # type: ignore[misc]
    """Strings that are sliced, masked, joined and sent to devices as the tensors beside them.

    Every place of PyG that takes nodes out of a graph, or puts graphs together, indexes the tensors
    of the nodes, and many of them refuse lists or leave them as they were. So the strings are held
    as numbers of rows in a list that is never changed.

    Parameters
    ----------
    strings : iterable of str

    Notes
    -----
    To Python it is a list of strings: elements, ``==``, ``in``, `tolist`, `numpy`, truth. To torch
    it is an int64 tensor of one dimension; what is computed with it, such as a sum, is a plain
    tensor. Nodes that a function adds, such as `torch_geometric.transforms.VirtualNode`, have
    empty strings.

    Examples
    --------
    >>> names = NodeStrings(["a", "b", "c"])
    >>> names[0], names[torch.tensor([2, 0])], names[torch.tensor([False, True, True])]
    ('a', NodeStrings(['c', 'a']), NodeStrings(['b', 'c']))
    >>> names == ["a", "b", "c"], torch.cat([names, NodeStrings(["d"])]).tolist()
    (True, ['a', 'b', 'c', 'd'])
    """

    _strings: list[str]

    @staticmethod
    def __new__(cls, strings: Iterable[str]) -> NodeStrings:  # noqa: D102
        table = list(strings)
        return _with_table(torch.arange(len(table), device="cpu"), table)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function of torch on the numbers of the rows."""
        name = getattr(func, "__name__", "")
        if name in _JOINS:
            return _joined(*args, **(kwargs or {}))
        if name == "pad":
            return _padded(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
            if name in _MAKES and _are_rows(result):
                return _with_table(result.fill_(-1), [])
            if name not in _TAKES or not isinstance(args[0], NodeStrings):
                return result
            if isinstance(result, tuple | list):
                return type(result)(_with_table(part, args[0]._strings) for part in result)
            return _with_table(result, args[0]._strings) if _are_rows(result) else result

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer) or getattr(index, "shape", None) == ():
            return self._text(int(super().__getitem__(int(index))))
        return super().__getitem__(index)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __reduce_ex__(self, protocol: Any) -> Any:
        return NodeStrings, (self.tolist(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> NodeStrings:
        return NodeStrings(self.tolist())

    def tolist(self) -> list[str]:
        """Return the strings as a list."""
        return [self._text(row) for row in self.rows().tolist()]

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """Return the strings as an array of objects."""
        return self.__array__()

    def rows(self) -> Tensor:
        """Return the numbers of the rows as a plain tensor; -1 for nodes that have none."""
        return self.as_subclass(Tensor)

    def _text(self, row: int) -> str:
        return self._strings[row] if row >= 0 else ""


torch.serialization.add_safe_globals([NodeStrings, GraphStrings])


def index_by_node(data: Data) -> Data:
    """Make the lists of strings of a graph's nodes `NodeStrings`, in place."""
    for key, value in list(data.to_dict().items()):
        if isinstance(value, list) and len(value) == data.num_nodes and _are_strings(value):
            data[key] = NodeStrings(value)
    return data


def _are_strings(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.int64 and value.ndim == 1


def _with_table(rows: Tensor, strings: list[str]) -> NodeStrings:
    made = rows.as_subclass(NodeStrings)
    made._strings = strings
    return made


def _joined(tensors: Sequence[Tensor], dim: int = 0, *, out: Any = None) -> NodeStrings:
    """Put strings behind one another; numbers that are not strings leave their places empty."""
    rows: list[Tensor] = []
    table: list[str] = []
    start_of: dict[int, int] = {}
    for part in tensors:
        if not isinstance(part, NodeStrings):
            rows.append(torch.full_like(part, -1, dtype=torch.int64))
            continue
        if id(part._strings) not in start_of:
            start_of[id(part._strings)] = len(table)
            table += part._strings
        own = part.rows()
        rows.append(torch.where(own < 0, own, own + start_of[id(part._strings)]))
    return _with_table(torch.cat(rows), table)


def _padded(input: NodeStrings, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    return _with_table(functional.pad(input.rows(), pad, mode, -1), input._strings)
