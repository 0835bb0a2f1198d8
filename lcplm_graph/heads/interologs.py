"""Interologs: known interactions of relatives of two proteins, as evidence that these interact."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse

from lcplm_graph.callers import callers_random
from lcplm_graph.errors import InputError
from lcplm_graph.heads.calibration import class_masks
from lcplm_graph.numeric import FloatArray
from lcplm_graph.pairs import IntArray, as_nodes, ordered_pairs

#: Of a model that does not look at relatives: what evidence adds to pairs of C1, C2 and C3.
NO_WEIGHT = (0.0, 0.0, 0.0)
# What a standard deviation of the scores counts for at least, beside one of the evidence.
_LEAST = 0.01


class Interologs:
    """How often relatives of one protein interact with relatives of another.

    With ``w`` the weights of relatives and ``A`` the graph, the evidence of proteins i and j is
    the root of ``(w A w^T)_ij / sqrt((1 + D_i) (1 + D_j))``, where ``D_i`` is the weighted number
    of interactions of i's relatives: 0 without an interaction between relatives, nearly 1 if all
    that is known of the ones is that they interact with the others.  A protein is its own relative.
    The root lets weak evidence, as of remote relatives, count for more.

    Parameters
    ----------
    relatives : sparse array, float, shape=(n, m)
        From `lcplm_graph.features.relatives.relatives`; columns are the graph's proteins.
    edges : ndarray, dtype=int64, shape=(e, 2)
        Known interactions of those, each once.

    Raises
    ------
    InputError
        If an edge is of a protein that is no column.

    References
    ----------
    .. [1] Walhout et al., Science 287, 116 (2000).
    .. [2] Yu et al., Genome Research 14, 1107 (2004), which also measures when they can be relied
       on.

    Examples
    --------
    >>> relatives = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.5, 0, 1, 0], [0, 0, 0, 1]])
    >>> found = Interologs(sparse.csr_array(relatives), np.array([[0, 1]]))
    >>> found.of(np.array([[2, 1], [1, 2], [3, 1]])).round(2).tolist()
    [0.54, 0.54, 0.0]
    """

    def __init__(self, relatives: sparse.csr_array, edges: IntArray) -> None:
        count = relatives.shape[1]
        if len(edges) and int(edges.max()) >= count:
            raise InputError(
                f"a pair of protein {int(edges.max())}, but relatives among {count} proteins"
            )
        both = np.concatenate([edges, edges[edges[:, 0] != edges[:, 1]][:, ::-1]])
        self._graph = sparse.csr_array(
            (np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count)
        ).sorted_indices()
        self._relatives = sparse.csr_array(relatives, dtype=np.float64).sorted_indices()
        interactions = self._relatives @ np.asarray(self._graph.sum(axis=1)).ravel()
        self._scale = 1 / np.sqrt(1 + interactions)
        self._of_kernel = _parts(self._relatives), _parts(self._graph)

    def of(self, pairs: IntArray) -> FloatArray:
        """Return the evidence of pairs, shape (n,); the same in either order, to the last bit.

        Parameters
        ----------
        pairs : ndarray, dtype=int64, shape=(n, 2)

        Raises
        ------
        InputError
            If a pair names another protein.
        """
        pairs = ordered_pairs(pairs, len(self._scale))
        i, j = pairs.T
        # The two differ in their last bits.
        sums = self._met(i, j) + self._met(j, i)
        return np.sqrt(sums / 2 * (self._scale[i] * self._scale[j]))

    def row(self, protein: int, others: IntArray) -> FloatArray:
        """Return the evidence of one protein with others, shape (len(others),)."""
        others = as_nodes(others, len(self._scale), "others")
        [protein] = as_nodes([protein], len(self._scale), "proteins").tolist()
        near = (self._relatives[[protein]] @ self._graph).toarray()[0]
        met = (self._relatives @ near)[others]
        return np.sqrt(met * (self._scale[protein] * self._scale[others]))

    def rows(self, proteins: IntArray) -> FloatArray:
        """Return the evidence of proteins with all proteins, shape (len(proteins), n)."""
        every = np.arange(len(self._scale))
        return np.stack([self.row(protein, every) for protein in np.asarray(proteins).tolist()])

    def _met(self, first: IntArray, second: IntArray) -> FloatArray:
        order = np.argsort(first, kind="stable")
        return _met(*self._of_kernel, first, second, order)


def _parts(matrix: sparse.csr_array) -> tuple[IntArray, IntArray, FloatArray]:
    # Of one type whatever their size, so that they are compiled for once.
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data


@njit(cache=True, nogil=True)
def _met(
    relatives: tuple[IntArray, IntArray, FloatArray],
    graph: tuple[IntArray, IntArray, FloatArray],
    first: IntArray,
    second: IntArray,
    order: IntArray,
) -> FloatArray:
    """Sum what relatives of second proteins have to do with those of first ones, shape (n,).

    Pairs come in an order that keeps those of one first protein together, whose relatives'
    partners are laid out once.  Those of all proteins are a matrix that is nearly full where
    families are large: gigabytes, which a product for each pair reads again.
    """
    start, of, weight = relatives
    edge, partner, count = graph
    found = np.zeros(len(first))
    near = np.zeros(len(edge) - 1)
    last = -1
    for k in order:
        if first[k] != last:
            last = first[k]
            near[:] = 0
            for a in range(start[last], start[last + 1]):
                for e in range(edge[of[a]], edge[of[a] + 1]):
                    near[partner[e]] += weight[a] * count[e]
        for b in range(start[second[k]], start[second[k] + 1]):
            found[k] += near[of[b]] * weight[b]
    return found


def interolog_weights(
    scores: FloatArray, evidence: FloatArray, labels: Any, classes: Any
) -> tuple[float, ...]:
    """Choose what evidence adds to log-odds, for each of the classes C1, C2, C3.

    Parameters
    ----------
    scores, evidence : ndarray, dtype=float64, shape=(n,)
        Log-odds of validation pairs without the evidence, and from `Interologs.of`.
    labels : array_like, bool, shape=(n,)
    classes : array_like, int, shape=(n,)
        1, 2 or 3.

    Returns
    -------
    tuple of float
        Never below 0: that relatives interact is no reason against it.
    """
    label = np.asarray(labels, bool)
    masks = class_masks(label, np.asarray(classes))
    return tuple(_weight(scores[own], evidence[own], label[own]) for own in masks)


def _weight(scores: FloatArray, evidence: FloatArray, label: npt.NDArray[np.bool_]) -> float:
    spread = scores.std(), evidence.std()
    if min(spread) == 0 or label.all() or not label.any():
        return 0.0
    # Imported here: a model that is only used does not choose again.
    with callers_random():
        from sklearn.linear_model import LogisticRegression

    columns = np.stack([scores, evidence], axis=1) / spread
    of_scores, of_evidence = LogisticRegression().fit(columns, label).coef_[0]
    if of_evidence <= 0:
        return 0.0
    # Scores that say nothing, or rank the wrong way, still decide between pairs of equal evidence.
    ratio = of_evidence / max(of_scores, _LEAST * of_evidence)
    return float(ratio * spread[0] / spread[1])
