"""Baselines that every table shows: what is reached without an encoder.

Link baselines see the message edges only. Function baselines see the training labels only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from lcplm_graph.errors import InputError, UnknownNameError
from lcplm_graph.evaluation.metrics import truth_matrix
from lcplm_graph.heads.structure import adamic_adar
from lcplm_graph.numeric import FloatArray, finite, whole_number
from lcplm_graph.pairs import IntArray, adjacency, as_nodes, ordered_pairs

LINK_BASELINES = ("degree", "common_neighbours", "adamic_adar", "resource_allocation")
_BLOCK = 4096
# Proteins whose neighbours are looked for at a time, and most of their cosines: 128 MB.
_ROWS, _CELLS = 1024, 1 << 24
# Cosines of equal features may differ in their last bits.
_ROUNDING = 1e-12
_CONSTANT = 1e-9


class LinkBaseline:
    """A score of pairs that knows the message graph and nothing else.

    Parameters
    ----------
    name : {"degree", "common_neighbours", "adamic_adar", "resource_allocation"}
        ``log(1 + d(i)) + log(1 + d(j))``; the number of proteins joined to both; the same with
        each of them weighted by ``1 / log d``, or by ``1 / d``.
    message : ndarray, dtype=int64, shape=(m, 2)
        Message edges, i < j, for example ``split.message``.
    num_nodes : int

    Raises
    ------
    UnknownNameError
        If there is no such baseline.

    References
    ----------
    .. [1] Adamic & Adar, Social Networks 25, 211 (2003).
    .. [2] Zhou, Lu & Zhang, European Physical Journal B 71, 623 (2009).

    Examples
    --------
    >>> square = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
    >>> LinkBaseline("common_neighbours", square, 4).score(np.array([[0, 2], [0, 1]])).tolist()
    [2.0, 0.0]
    """

    def __init__(self, name: str, message: IntArray, num_nodes: int) -> None:
        if name not in LINK_BASELINES:
            raise UnknownNameError(
                f"no baseline {name!r}; choose one of {', '.join(LINK_BASELINES)}"
            )
        self.name = name
        indptr, indices = adjacency(message, num_nodes)
        degree = np.diff(indptr)
        self._activity = np.log1p(degree)
        weight = np.ones(num_nodes)
        if name == "adamic_adar":
            weight = adamic_adar(degree)
        if name == "resource_allocation":
            weight = 1 / np.maximum(degree, 1)
        data = np.ones(len(indices))
        self._graph = sparse.csr_array((data, indices, indptr), shape=(num_nodes, num_nodes))
        self._weighted = sparse.csr_array(
            (weight[indices], indices, indptr), shape=(num_nodes, num_nodes)
        )

    def score(self, pairs: IntArray) -> FloatArray:
        """Return the scores of pairs (n, 2), shape (n,).

        Raises
        ------
        InputError
            If a pair names a protein outside the graph.
        """
        pairs = ordered_pairs(pairs, len(self._activity))
        if self.name == "degree":
            return self._activity[pairs].sum(axis=1)
        parts = [np.empty(0)]
        for start in range(0, len(pairs), _BLOCK):
            i, j = pairs[start : start + _BLOCK].T
            parts.append(np.asarray((self._weighted[i] * self._graph[j]).sum(axis=1)).ravel())
        return np.concatenate(parts)

    def rows(self, proteins: IntArray) -> FloatArray:
        """Return the scores of each protein with all proteins, shape (len(proteins), num_nodes).

        Raises
        ------
        InputError
            If a protein is outside the graph.
        """
        proteins = as_nodes(proteins, len(self._activity), "proteins")
        if self.name == "degree":
            return self._activity[proteins][:, None] + self._activity[None, :]
        return (self._weighted[proteins] @ self._graph.T).toarray()


def naive_frequency(train_labels: Any, count: int) -> FloatArray:
    """Predict each term with its frequency in training, the same for each of `count` proteins.

    Parameters
    ----------
    train_labels : array_like or sparse array, bool, shape=(proteins, terms)
    count : int

    Returns
    -------
    ndarray, dtype=float64, shape=(count, terms)

    Raises
    ------
    InputError
        If labels are not true or false, or there is no training protein.

    References
    ----------
    .. [1] Radivojac et al., Nature Methods 10, 221 (2013), "Naive".
    """
    train_labels, count = truth_matrix(train_labels), whole_number(count, "count", 0)
    if not train_labels.shape[0]:
        raise InputError("there is no training protein to count terms of")
    frequency = np.asarray(train_labels.sum(axis=0), np.float64).ravel() / train_labels.shape[0]
    return np.tile(frequency, (count, 1))


def nearest_neighbour_transfer(
    train_features: Any, train_labels: Any, features: Any, neighbours: int = 1
) -> FloatArray:
    """Give each protein the labels of the training proteins with the most similar features.

    Similarity is the cosine, cut off at 0, and weighs the labels: a far neighbour proves
    little.  Equally near proteins share the places that are left, so that their order says nothing.

    Parameters
    ----------
    train_features : array_like, float, shape=(m, d)
    train_labels : array_like or sparse array, bool, shape=(m, terms)
    features : array_like, float, shape=(n, d)
    neighbours : int
        How many are averaged; the nearest alone by default.

    Returns
    -------
    ndarray, dtype=float64, shape=(n, terms)

    Raises
    ------
    InputError
        If a feature is not finite or a protein's are all zero, there are too few neighbours, labels
        are not true or false, or there is not one row of them for each training protein.
    """
    train, test = _directions(train_features), _directions(features)
    labels, neighbours = truth_matrix(train_labels), whole_number(neighbours, "neighbours")
    if train.shape[1] != test.shape[1]:
        raise InputError(f"features of widths {train.shape[1]} and {test.shape[1]}")
    if labels.shape[0] != len(train):
        raise InputError(f"{labels.shape[0]} rows of labels for {len(train)} training proteins")
    if neighbours > len(train):
        raise InputError(f"{neighbours} neighbours cannot be taken from {len(train)} proteins")
    rows, columns, values = [], [], []
    block = max(1, min(_ROWS, _CELLS // len(train)))
    for start in range(0, len(test), block):
        similar = np.maximum(test[start : start + block] @ train.T, 0)
        last = np.partition(similar, -neighbours, axis=1)[:, [-neighbours]]
        nearer, tied = similar > last + _ROUNDING, np.abs(similar - last) <= _ROUNDING
        left = neighbours - nearer.sum(axis=1, keepdims=True)
        share = nearer + tied * (left / tied.sum(axis=1, keepdims=True))
        row, column = np.nonzero(share)
        rows.append(start + row)
        columns.append(column)
        values.append((similar * share)[row, column] / neighbours)
    weight = sparse.csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(len(test), len(train)),
    )
    return _as_dense(weight @ labels)


def standardised(features: Any, train: Any) -> FloatArray:
    """Return features less their mean over training proteins, in standard deviations of those.

    A feature that all training proteins have alike tells nothing, and is 0 for every protein: a
    pair of residues that training never saw would else outweigh all others.

    Parameters
    ----------
    features : array_like, float, shape=(n, d)
    train : array_like, bool, shape=(n,)

    Raises
    ------
    InputError
        If `train` is no mask of the proteins, or features are not finite.

    Examples
    --------
    >>> standardised([[1, 5], [3, 5], [3, 6]], [True, True, False]).tolist()
    [[-1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    array, chosen = finite(features, "features"), np.asarray(train)
    if chosen.dtype != bool or array.ndim != 2 or chosen.shape != array.shape[:1]:
        # Whole numbers would name rows.
        raise InputError(
            f"train must be a mask of {len(np.atleast_1d(array))} proteins (bool), not "
            f"{chosen.dtype} of shape {chosen.shape}"
        )
    mean, spread = array[chosen].mean(0), array[chosen].std(0)
    return np.where(spread > _CONSTANT, (array - mean) / np.maximum(spread, _CONSTANT), 0.0)


def _directions(features: Any) -> FloatArray:
    array = finite(features, "features")
    if array.ndim != 2:
        raise InputError(f"features must be of shape (proteins, width), not {array.shape}")
    length = np.linalg.norm(array, axis=1, keepdims=True)
    if (length == 0).any():
        raise InputError(
            f"the features of {int((length == 0).sum())} of {len(array)} proteins are all zero; "
            "they have no nearest neighbour"
        )
    return array / length


def _as_dense(matrix: Any) -> FloatArray:
    return np.asarray(matrix.toarray())
