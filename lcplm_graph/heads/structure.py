"""What the graph between two proteins says: common neighbours, paths, degrees."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from lcplm_graph.pairs import IntArray, adjacency

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
_BLOCK = 2048

Floats = npt.NDArray[np.float32]


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
        indptr, indices = adjacency(message, num_nodes)
        degree = np.diff(indptr).astype(np.float32)
        data = np.ones(len(indices), np.float32)
        self._graph = sparse.csr_array((data, indices, indptr), shape=(num_nodes, num_nodes))
        self.degree = degree
        several = degree > 1
        self._weights = {
            "count": np.ones_like(degree),
            # A common neighbour has two edges at least, so that its logarithm is above 0.
            "adamic_adar": np.where(several, 1 / np.log(np.maximum(degree, 2)), 0),
            "resources": np.where(several, 1 / np.maximum(degree, 1), 0),
        }
        self._root = (1 / np.sqrt(np.maximum(degree, 1))).astype(np.float32)
        self._scaled = sparse.csr_array(
            (self._root[indices], indices, indptr), shape=(num_nodes, num_nodes)
        )
        self._around = self._graph @ self._root

    def of(self, pairs: IntArray, *, training: bool = False) -> Tensor:
        """Return the numbers of pairs, float32 of shape (n, WIDTH).

        Parameters
        ----------
        pairs : ndarray, dtype=int64, shape=(n, 2)
        training : bool
            Leave out the pair's own edge.  Pairs without one also count one edge less at both
            ends: otherwise the missing edge alone would tell the positives.
        """
        pairs = np.asarray(pairs, np.int64).reshape(-1, 2)
        parts = [np.empty((0, WIDTH), np.float32)]
        for start in range(0, len(pairs), _BLOCK):
            i, j = pairs[start : start + _BLOCK].T
            common = (self._graph[i] * self._graph[j]).tocsr()
            counts = np.stack([_weighed(common, weight) for weight in self._weights.values()])
            paths = np.asarray(((self._scaled[i] @ self._graph) * self._scaled[j]).sum(axis=1))
            if training:
                paths = paths - self._through_own_edge(i, j)
            di, dj = (self.degree[ends] - training for ends in (i, j))
            parts.append(_columns(counts, paths, di, dj))
        return torch.from_numpy(np.concatenate(parts))

    def rows(self, proteins: IntArray) -> Iterator[Tensor]:
        """Yield for each protein its numbers with all proteins, float32 of shape (n, WIDTH)."""
        for i in np.asarray(proteins, np.int64).tolist():
            own = self._graph[[i]]
            counts = np.stack(
                [
                    (own.multiply(weight[None, :]).tocsr() @ self._graph).toarray()[0]
                    for weight in self._weights.values()
                ]
            )
            near = (self._scaled[[i]] @ self._graph).tocsr()
            paths = (near @ self._scaled.T).toarray()[0]
            di = np.full(len(self.degree), self.degree[i])
            yield torch.from_numpy(_columns(counts, paths, di, self.degree))

    def _through_own_edge(self, i: IntArray, j: IntArray) -> Floats:
        """Weigh the paths i-j-v-j, i-u-i-j and i-j-i-j, where the pair is an edge."""
        own = np.asarray((self._graph[i] * _unit_rows(j, len(self.degree))).sum(axis=1))
        root, around = self._root, self._around
        walks = root[j] * around[j] + root[i] * around[i] - root[i] * root[j]
        return (own * walks).astype(np.float32)


def _unit_rows(columns: IntArray, width: int) -> sparse.csr_array:
    count = len(columns)
    data = np.ones(count, np.float32)
    return sparse.csr_array((data, columns, np.arange(count + 1)), shape=(count, width))


def _weighed(common: sparse.csr_array, weight: Floats) -> Floats:
    return np.asarray(common @ weight)


def _columns(counts: Floats, paths: Floats, di: Floats, dj: Floats) -> Floats:
    known = (di > 0) & (dj > 0)
    middle = np.sqrt(np.maximum(di, 1) * np.maximum(dj, 1))
    paths = np.maximum(paths, 0)
    count, adamic, resources = counts
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
    return (columns * known[:, None]).astype(np.float32)
