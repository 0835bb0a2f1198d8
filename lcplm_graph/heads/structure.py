"""What the graph between two proteins says: common neighbours, paths, degrees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

from lcplm_graph.numeric import FloatArray
from lcplm_graph.pairs import (
    IntArray,
    adjacency,
    as_nodes,
    as_pairs,
    is_in,
    ordered_pairs,
    pair_keys,
)

#: Columns of `PairStructure`; the last one tells whether the others say anything.
COLUMNS = (
    "common neighbours",
    "Adamic-Adar",
    "resource allocation",
    "common neighbours by degree",
    "paths of length 3",
    "paths of length 3 by degree",
    "degrees",
    "difference of degrees",
    "known",
)
WIDTH = len(COLUMNS)


class PairStructure:
    """Numbers of the message graph between two proteins, silent where one of them has no edge.

    Counts are logarithms; "by degree" divides by the geometric mean of the two degrees, as
    Salton's index does.  Paths of length 3 are weighed by the degrees on their way.

    Parameters
    ----------
    message : ndarray, dtype=int64, shape=(m, 2)
        Message edges, i < j.
    num_nodes : int

    References
    ----------
    .. [1] Adamic & Adar, Social Networks 25, 211 (2003).
    .. [2] Zhou, Lu & Zhang, European Physical Journal B 71, 623 (2009), resource allocation.
    .. [3] Kovacs et al., Nature Communications 10, 1240 (2019), paths of length 3.

    Examples
    --------
    >>> square = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
    >>> found = PairStructure(square, 5).of(np.array([[0, 2], [0, 4]]))
    >>> found[:, 0].exp().sub(1).round().tolist(), found[:, -1].tolist()
    ([2.0, 0.0], [1.0, 0.0])
    """

    def __init__(self, message: IntArray, num_nodes: int) -> None:
        message = as_pairs(message, num_nodes, "message")
        self._indptr, self._indices = adjacency(message, num_nodes)
        self._edges = np.sort(pair_keys(message, num_nodes))
        self.degree = degree = np.diff(self._indptr).astype(np.float32)
        resources = np.where(degree > 1, 1 / np.maximum(degree, 1), 0)
        self._weights = np.stack([np.ones(num_nodes), adamic_adar(degree), resources], axis=1)
        self._root = 1 / np.sqrt(np.maximum(degree, 1).astype(np.float64))
        own = np.repeat(np.arange(num_nodes), np.diff(self._indptr))
        self._around = np.bincount(own, self._root[self._indices], minlength=num_nodes)

    def of(self, pairs: IntArray, *, training: bool = False) -> Tensor:
        """Return the numbers of pairs, float32 of shape (n, WIDTH).

        Parameters
        ----------
        pairs : ndarray, dtype=int64, shape=(n, 2)
        training : bool
            Leave out the pair's own edge.  Pairs without one also count one edge less at both
            ends: otherwise the missing edge alone would tell the positives.

        Raises
        ------
        InputError
            If a pair names a protein outside the graph.
        """
        # In one order, so that (i, j) and (j, i) have the same sums to the last bit.
        pairs = np.sort(ordered_pairs(pairs, len(self.degree)), axis=1)
        sums = self._sums(pairs, np.argsort(pairs[:, 0], kind="stable"))
        if training:
            sums[:, -1] -= self._through_own_edge(pairs)
        di, dj = (self.degree[ends] - training for ends in pairs.T)
        return torch.from_numpy(_columns(sums, di, dj))

    def rows(self, proteins: IntArray) -> Iterator[Tensor]:
        """Yield for each protein its numbers with all proteins, float32 of shape (n, WIDTH)."""
        every = np.arange(len(self.degree))
        for i in as_nodes(proteins, len(every), "proteins").tolist():
            own = np.full(len(every), i)
            sums = self._sums(np.stack([own, every], axis=1), every)
            yield torch.from_numpy(_columns(sums, self.degree[own], self.degree))

    def _sums(self, pairs: IntArray, order: IntArray) -> FloatArray:
        return _sums(self._indptr, self._indices, self._weights, self._root, pairs, order)

    def _through_own_edge(self, pairs: IntArray) -> FloatArray:
        """Weigh the paths i-j-v-j, i-u-i-j and i-j-i-j, where the pair is an edge."""
        own = is_in(pair_keys(pairs, len(self.degree)), self._edges)
        i, j = pairs.T
        root, around = self._root, self._around
        return own * (root[j] * around[j] + root[i] * around[i] - root[i] * root[j])


def adamic_adar(degree: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what a common neighbour of each degree counts for, ``1 / log d``, shape (n,)."""
    # A common neighbour has two edges at least, so that its logarithm is above 0.
    return np.where(degree > 1, 1 / np.log(np.maximum(degree, 2)), 0)


@njit(cache=True, nogil=True)
def _sums(
    indptr: IntArray,
    indices: IntArray,
    weights: FloatArray,
    root: FloatArray,
    pairs: IntArray,
    order: IntArray,
) -> FloatArray:
    """Sum weights of common neighbours, and paths of length 3, over the neighbours of second ends.

    Pairs come in an order that keeps those of one first end together.  What lies around it is then
    laid out once; products of sparse matrices would do so for every pair, which takes hours where
    proteins have hundreds of edges.

    Returns
    -------
    ndarray, dtype=float64, shape=(n, 4)
        A column for each of `weights`, shape (num_nodes, 3), and one of paths.
    """
    found = np.zeros((len(pairs), 4))
    near = np.zeros(len(root))
    beside = np.zeros(len(root), np.bool_)
    last = -1
    for k in order:
        i, j = pairs[k]
        if i != last:
            near[:] = 0
            beside[:] = False
            for u in indices[indptr[i] : indptr[i + 1]]:
                beside[u] = True
                for v in indices[indptr[u] : indptr[u + 1]]:
                    near[v] += root[u]
            last = i
        for v in indices[indptr[j] : indptr[j + 1]]:
            found[k, 3] += near[v] * root[v]
            if beside[v]:
                for column in range(3):
                    found[k, column] += weights[v, column]
    return found


def _columns(
    sums: FloatArray, di: npt.NDArray[Any], dj: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    known = (di > 0) & (dj > 0)
    middle = np.sqrt(np.maximum(di, 1) * np.maximum(dj, 1))
    count, adamic, resources, paths = np.maximum(sums, 0).T
    first, second = (np.log1p(np.maximum(d, 0)) for d in (di, dj))
    columns = np.stack(
        [
            np.log1p(count),
            np.log1p(adamic),
            np.log1p(10 * resources),
            count / middle,
            np.log1p(paths),
            paths / middle,
            first + second,
            np.abs(first - second),
            np.ones_like(count),
        ],
        axis=1,
    )
    return np.asarray(columns * known[:, None], np.float32)
