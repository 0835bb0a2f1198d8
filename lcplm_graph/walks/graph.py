"""The part of a `Split` that walks may see, as flat arrays."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.io import atomic_path
from lcplm_graph.numeric import flag, map_array
from lcplm_graph.ops.random_walk.tables import WalkGraph, make_graph
from lcplm_graph.splits.split import Split

# Dtype and dimensions of each table.
_KINDS: dict[str, tuple[Any, int]] = {
    "indptr": (np.int64, 1), "indices": (np.int32, 1), "weight": (np.float32, 1),
    "strength": (np.float64, 1), "alias": (np.uint32, 2), "bitmap": (np.uint64, 2),
}  # fmt: skip


def walk_graph(split: Split, *, weighted: bool = False, adjacency_bits: bool = False) -> WalkGraph:
    """Take the message edges of a split to walk on, and its training edges to avoid.

    Held-out pairs are not read at all: neither walks nor negative hops can depend on them.

    Parameters
    ----------
    split : Split
    weighted : bool
        Build the tables of weighted steps, from `split.message_weight`.
    adjacency_bits : bool
        Build the adjacency bitmap of node2vec, if it is small.

    Raises
    ------
    InputError
        If `split` is not a `Split`, or has no weights where they are asked for.
    """
    if not isinstance(split, Split):
        raise InputError(
            f"walks take a Split, not a {type(split).__name__}, so that they cannot see held-out "
            "edges; make one by dataset.split(...)"
        )
    if flag(weighted, "weighted") and split.message_weight is None:
        raise InputError("this split has no edge weights; walk with weighted=False")
    return make_graph(
        split.num_nodes,
        split.message,
        split.message_weight if weighted else None,
        excluded=split.supervision,
        adjacency_bits=adjacency_bits,
    )


def save_graph(graph: WalkGraph, folder: str | PathLike[str]) -> None:
    """Write every table of a graph as ``<name>.npy``; the excluded rows only if they differ."""
    for name, array in graph._asdict().items():
        path = Path(folder) / f"{name}.npy"
        if name.startswith("excluded_") and array is getattr(graph, name[len("excluded_") :]):
            path.unlink(missing_ok=True)
            continue
        with atomic_path(path) as temporary:
            np.save(temporary, array, allow_pickle=False)


def open_graph(folder: str | PathLike[str]) -> WalkGraph:
    """Memory-map the tables that `save_graph` wrote.

    Raises
    ------
    DataError
        If a table is missing or damaged.
    """
    tables: dict[str, np.ndarray] = {}
    for name in WalkGraph._fields:
        path = Path(folder) / f"{name}.npy"
        same = name.removeprefix("excluded_")
        if same != name and not path.exists():
            tables[name] = tables[same]
            continue
        dtype, dimensions = _KINDS[same]
        # Plain arrays over the map: compiled code needs no second version for a subclass.
        tables[name] = np.asarray(map_array(path, f"delete {folder}", dtype))
        if tables[name].ndim != dimensions:
            raise DataError(f"a table of a walk graph has {dimensions} dimensions here", path=path)
    for rows in ("", "excluded_"):
        indptr, indices = tables[f"{rows}indptr"], tables[f"{rows}indices"]
        if not len(indptr) or indptr[-1] != len(indices):
            message = f"{rows}indptr.npy and {rows}indices.npy do not belong together"
            raise DataError(message, path=folder)
    return WalkGraph(**tables)
