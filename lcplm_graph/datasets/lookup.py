"""One protein of a dataset, and the sequences that a transform finds beside the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch_geometric.data import Data

from lcplm_graph.proteins.store import SequenceStore


@dataclass(frozen=True)
class Protein:
    """What a dataset knows of one protein.

    Attributes
    ----------
    node : int
        Its place in the graph.
    id : str
    symbol : str or None
        Gene name; None where the dataset has none.
    sequence : str or None
    degree : int or None
        Number of partners; None where there is no graph.
    """

    node: int
    id: str
    symbol: str | None
    sequence: str | None
    degree: int | None

    def __len__(self) -> int:
        return len(self.sequence or "")

    def __repr__(self) -> str:
        symbol = "" if self.symbol is None else f", symbol={self.symbol!r}"
        degree = "" if self.degree is None else f", degree={self.degree}"
        return f"Protein({self.id!r}{symbol}, node={self.node}, {len(self)} residues{degree})"


def is_one(index: Any) -> bool:
    """Whether an index of a dataset names one graph, rather than several."""
    return isinstance(index, int | np.integer) or getattr(index, "ndim", None) == 0


def transformed(transform: Callable[[Any], Any], data: Data, sequences: SequenceStore) -> Any:
    """Apply a transform to a graph that has its sequences meanwhile, as `data.sequences`."""
    data.sequences = sequences
    return _without_sequences(transform(data))


def _without_sequences(found: Any) -> Any:
    if isinstance(found, tuple | list):  # as of RandomLinkSplit
        return type(found)(_without_sequences(one) for one in found)
    if isinstance(found, Data) and "sequences" in found:
        del found.sequences
    return found
