"""Undirected protein pairs as arrays: one canonical form, keys, hashes, degrees, neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import InputError
from lcplm_graph.io import warn_once
from lcplm_graph.numeric import edge_weights
from lcplm_graph.splitmix import GOLDEN, mix64

IntArray = npt.NDArray[np.int64]
Key = TypeVar("Key", np.int64, np.uint64)


class PairGraph(NamedTuple):
    """An undirected graph as canonical pairs.

    Attributes
    ----------
    pairs : ndarray, dtype=int64, shape=(m, 2)
        Each undirected edge once, i < j, sorted.
    weight : ndarray, dtype=float32, shape=(m,), or None
        Confidence in [0, 1].
    num_nodes : int
    """

    pairs: IntArray
    weight: npt.NDArray[np.float32] | None
    num_nodes: int


def as_pairs(pairs: Any, num_nodes: int, what: str = "pairs") -> IntArray:
    """Return `pairs` as an int64 array (n, 2) with i < j in each row, order of rows kept.

    Raises
    ------
    InputError
        If the shape is wrong, a node does not exist, or a pair joins a protein with itself.
    """
    array = np.sort(ordered_pairs(pairs, num_nodes, what), axis=1)
    same = array[:, 0] == array[:, 1]
    if same.any():
        row = int(np.argmax(same))
        raise InputError(f"{what}[{row}] joins protein {int(array[row, 0])} with itself; remove it")
    return array


def ordered_pairs(pairs: Any, num_nodes: int, what: str = "pairs") -> IntArray:
    """Return `pairs` as a contiguous int64 array (n, 2), the ends of each in the order given.

    Raises
    ------
    InputError
        If the shape is wrong or a node does not exist, by its pair.

    Examples
    --------
    >>> ordered_pairs([[2, 1], [1, 1]], 3).tolist()
    [[2, 1], [1, 1]]
    """
    array = _as_array(pairs, what)
    if array.size == 0:
        return np.empty((0, 2), np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise InputError(
            f"{what} must be integers of shape (n, 2), not {array.dtype} of shape {array.shape}"
        )
    return _existing(array, num_nodes, what)


def as_nodes(nodes: Any, num_nodes: int, what: str = "nodes") -> IntArray:
    """Return numbers of nodes as a contiguous int64 array (n,).

    Raises
    ------
    InputError
        If the shape is wrong or a node does not exist.
    """
    array = _as_array(nodes, what)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(
            f"{what} must be integers of shape (n,), not {array.dtype} of shape {array.shape}"
        )
    return _existing(array, num_nodes, what)


def _as_array(values: Any, what: str) -> npt.NDArray[Any]:
    """Return numbers of nodes as an array, from tensors of any device, too."""
    if "sparse" in str(getattr(values, "layout", "")):
        raise InputError(
            f"{what} is a sparse matrix ({values.layout}); torch_geometric.utils.to_edge_index "
            "makes a list of edges of it"
        )
    try:
        return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except (TypeError, ValueError) as error:  # rows of unequal length
        raise InputError(f"{what} must be whole numbers in an array: {error}") from error


def _existing(array: npt.NDArray[Any], num_nodes: int, what: str) -> IntArray:
    numbers = np.ascontiguousarray(array, np.int64)
    outside = ((numbers < 0) | (numbers >= num_nodes)).reshape(len(numbers), -1).any(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        is_unknown = bool((numbers[row] == -1).any())
        advice = "; -1 is a name that was not found, leave it out" if is_unknown else ""
        raise InputError(
            f"{what}[{row}] = {numbers[row].tolist()} names a protein outside "
            f"0..{num_nodes - 1}{advice}"
        )
    return numbers


def pair_keys(pairs: IntArray, num_nodes: int) -> IntArray:
    """Return one int64 per canonical pair, i * num_nodes + j; sorting keys sorts pairs."""
    return pairs[:, 0] * np.int64(num_nodes) + pairs[:, 1]


def keys_to_pairs(keys: IntArray, num_nodes: int) -> IntArray:
    """Undo `pair_keys`."""
    return np.stack(np.divmod(keys, np.int64(num_nodes)), axis=1)


def distinct_pairs(pairs: IntArray, num_nodes: int | None = None) -> IntArray:
    """Return each pair once, sorted, shape (k, 2).

    Parameters
    ----------
    pairs : ndarray, dtype=int64, shape=(n, 2)
    num_nodes : int, optional
        Default: as many as the pairs name.

    Examples
    --------
    >>> distinct_pairs(np.array([[1, 2], [0, 3], [1, 2]])).tolist()
    [[0, 3], [1, 2]]
    """
    if not len(pairs):
        return np.empty((0, 2), np.int64)
    count = int(pairs.max()) + 1 if num_nodes is None else num_nodes
    return keys_to_pairs(distinct(pair_keys(pairs, count)), count)


def distinct(keys: npt.NDArray[Key]) -> npt.NDArray[Key]:
    """Return each number once, sorted, as `numpy.unique`, which hashes them.

    Where most of them differ, as keys and hashes of pairs do, sorting takes a tenth of the time.
    """
    ordered = np.sort(keys)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def is_in(keys: npt.NDArray[Any], sorted_keys: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell for each key whether `sorted_keys` (ascending) holds it."""
    if len(sorted_keys) == 0:
        return np.zeros(len(keys), bool)
    at = np.searchsorted(sorted_keys, keys)
    return sorted_keys[np.minimum(at, len(sorted_keys) - 1)] == keys


def single_graph(data: Any, *, edges: bool = True) -> Any:
    """Return a PyG `Data` as it is, and of a dataset its only graph, as its `transform` makes it.

    Parameters
    ----------
    data : Data or dataset
    edges : bool
        Whether there must be edges.

    Raises
    ------
    InputError
        If there is no `edge_index` or `num_nodes`, nodes are of several kinds, or there are
        several graphs.
    """
    data = _only_graph(data)
    if _has_kinds(data):
        raise InputError(
            f"this is {type(data).__name__}, a graph of several kinds of nodes or edges; give a "
            "graph of one kind, such as to_homogeneous() makes"
        )
    if getattr(data, "num_nodes", None) is None:
        raise InputError(f"this is {type(data).__name__}, not a graph of proteins")
    if edges and getattr(data, "edge_index", None) is None:
        held = getattr(data, "adj_t", None) is not None
        advice = "; ToSparseTensor(remove_edge_index=False) keeps it beside `adj_t`" if held else ""
        raise InputError(f"these proteins have no graph: `edge_index` is missing{advice}")
    return data


def _only_graph(data: Any) -> Any:
    """Return the graph of a dataset; what is none of both stays as it is."""
    if hasattr(data, "adj") and hasattr(data, "nodes"):
        raise InputError(
            "this is a graph of NetworkX; lcplm_graph.datasets.memory.from_networkx makes a "
            "dataset of it"
        )
    # PyG's datasets in memory (told by `indices`, as importing PyG takes a second) have the
    # attributes of their graph, too, but those before the transform.
    is_dataset = hasattr(type(data), "indices") or not hasattr(data, "edge_index")
    holds_others = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if not is_dataset or not holds_others or _has_kinds(data):
        return data
    if isinstance(data, str | bytes) or hasattr(data, "dtype"):
        return data
    if not len(data):
        raise InputError(f"this {type(data).__name__} holds no graph")
    first = data[0]
    if len(data) > 1 and hasattr(first, "num_nodes"):
        raise InputError(
            f"this {type(data).__name__} holds {len(data)} graphs; give one of them, or all as one "
            "(torch_geometric.data.Batch.from_data_list)"
        )
    return first


def _has_kinds(data: Any) -> bool:
    """Tell whether it is PyG's heterogeneous graph, which this module does without importing."""
    return hasattr(data, "node_types") and hasattr(data, "edge_types")


def pair_graph(data: Any) -> PairGraph:
    """Read a PyG `Data` as a `PairGraph`.

    Both directions of an edge become one pair whose weight is the larger one; self loops
    are left out with one warning that counts them.

    Raises
    ------
    InputError
        If the weights are not one number in [0, 1] for each edge.
    """
    num_nodes = int(data.num_nodes)
    keys, loops = _column_keys(data)
    if loops.any():
        warn_once(f"{int(loops.sum())} self loops are left out: no protein pairs with itself")
    unique, row = np.unique(keys[~loops], return_inverse=True)
    weight = None
    if getattr(data, "edge_weight", None) is not None:
        given = edge_weights(data.edge_weight, _columns(data.edge_index).T).astype(np.float32)
        weight = np.zeros(len(unique), np.float32)
        np.maximum.at(weight, row, given[~loops])
    return PairGraph(keys_to_pairs(unique, num_nodes), weight, num_nodes)


def rows_of_columns(data: Any, graph: PairGraph) -> IntArray:
    """Return for each column of `data.edge_index` its row in `graph.pairs`, -1 for a self loop."""
    keys, loops = _column_keys(data)
    row = np.searchsorted(pair_keys(graph.pairs, graph.num_nodes), keys)
    return np.where(loops, -1, row)


def _column_keys(data: Any) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    index = _columns(data.edge_index).T
    loops = index[:, 0] == index[:, 1]
    keys = np.full(len(index), -1, np.int64)
    keys[~loops] = pair_keys(
        as_pairs(index[~loops], int(data.num_nodes), "edge_index"), int(data.num_nodes)
    )
    return keys, loops


def _columns(edge_index: Any) -> npt.NDArray[Any]:
    array = _as_array(edge_index, "edge_index")
    if array.ndim != 2 or len(array) != 2 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(
            f"edge_index must be whole numbers of shape (2, m), not {array.dtype} of shape "
            f"{array.shape}"
        )
    return array


def degrees(pairs: IntArray, num_nodes: int) -> IntArray:
    """Return the number of pairs that each node is in, shape (num_nodes,)."""
    return np.bincount(pairs.ravel(), minlength=num_nodes).astype(np.int64)


def adjacency(pairs: IntArray, num_nodes: int) -> tuple[IntArray, IntArray]:
    """Return the graph of canonical pairs as CSR: `indptr` (num_nodes + 1,), `indices` (2m,).

    Neighbours are sorted within each row.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    keys = np.sort(both[:, 0] * np.int64(num_nodes) + both[:, 1])
    indptr = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(both[:, 0], minlength=num_nodes), out=indptr[1:])
    return indptr, keys % np.int64(max(num_nodes, 1))


def pair_hashes(digests: npt.NDArray[np.uint64], pairs: IntArray) -> npt.NDArray[np.uint64]:
    """Hash each unordered pair by the sequences of its two proteins.

    The hash does not depend on ids, node order or the order within a pair, so a pair of one
    database is recognised in another one.

    Parameters
    ----------
    digests : ndarray, dtype=uint64, shape=(n,)
        One number per protein, from `SequenceStore.digests()`.
    pairs : ndarray, dtype=int64, shape=(m, 2)

    Returns
    -------
    ndarray, dtype=uint64, shape=(m,)

    Raises
    ------
    InputError
        If a pair names a protein without a digest.

    Examples
    --------
    >>> digests = np.array([11, 22, 33], np.uint64)
    >>> a, b = pair_hashes(digests, np.array([[0, 2], [2, 0]]))
    >>> bool(a == b)
    True
    """
    ends = np.asarray(digests, np.uint64)[ordered_pairs(pairs, len(digests))]
    low, high = ends.min(axis=1), ends.max(axis=1)
    return mix(mix(low) + high)


def mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hash numbers one to one: the first output of SplitMix64 from each as a seed."""
    return mix64(x + GOLDEN)
