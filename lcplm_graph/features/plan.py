"""What an `EmbedJob` computes in which order, and where each protein's rows end up."""

from __future__ import annotations

import numpy as np

from lcplm_graph.models.encoders import length_sorted_batches
from lcplm_graph.proteins.digests import wide_digests
from lcplm_graph.proteins.store import SequenceStore


class BatchPlan:
    """Batches of the distinct sequences of a store: a pure function of its arguments.

    Parameters
    ----------
    store : SequenceStore
    max_tokens : int
        Tokens per batch; a longer protein is a batch of its own.
    per_residue : bool
        Whether a protein has one row per residue, or one.

    Attributes
    ----------
    unique : ndarray of int64
        Proteins whose sequence is computed: of equal ones the first, in the order of the store.
    batches : list of ndarray
        Positions in `unique`, in the order of computation.
    starts : ndarray of int64
        First row of each protein of the store in the values of all batches one below the other.
    rows_before, residues_before : ndarray of int64, shape (len(batches) + 1,)
        Rows and residues of all earlier batches.

    Examples
    --------
    >>> store = SequenceStore.from_records(["a", "b", "c"], ["MKT", "MV", "MKT"])
    >>> plan = BatchPlan(store, max_tokens=100, per_residue=True)
    >>> plan.unique.tolist(), plan.starts.tolist(), plan.rows_before.tolist()
    ([0, 1], [0, 3, 0], [0, 5])
    """

    def __init__(self, store: SequenceStore, max_tokens: int, per_residue: bool) -> None:
        digests = wide_digests(store)
        _, unique, inverse = np.unique(digests, axis=0, return_index=True, return_inverse=True)
        # In input order, so that the batches do not depend on the hash.
        order = np.argsort(unique)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        self.unique, inverse = unique[order], rank[inverse.ravel()]
        lengths = store.lengths[self.unique].astype(np.int64)
        self.batches = length_sorted_batches(lengths, max_tokens)
        sequence = np.concatenate(self.batches)
        rows = lengths if per_residue else np.ones(len(lengths), np.int64)
        starts = np.empty(len(sequence), np.int64)
        starts[sequence] = np.cumsum(rows[sequence]) - rows[sequence]
        self.starts = starts[inverse]
        self.rows_before = _sums(rows, self.batches)
        self.residues_before = _sums(lengths, self.batches)

    def rows(self, batch: int) -> int:
        """Rows of one batch."""
        return int(self.rows_before[batch + 1] - self.rows_before[batch])

    def residues(self, batch: int) -> int:
        """Residues of one batch."""
        return int(self.residues_before[batch + 1] - self.residues_before[batch])

    def proteins(self, batch: int) -> np.ndarray:
        """Proteins of the store whose sequences one batch computes."""
        return self.unique[self.batches[batch]]


def _sums(counts: np.ndarray, batches: list[np.ndarray]) -> np.ndarray:
    return np.cumsum([0, *(int(counts[batch].sum()) for batch in batches)])
