"""The training pair that is nearest to a pair: how alike its proteins are to those of this one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lcplm_graph.pairs import IntArray, adjacency

#: Alignments below this identity, or over less than this share of either protein, do not count.
IDENTITY, COVERAGE = 0.3, 0.5


class NearestPairs:
    """Find for pairs of proteins the most similar training pair.

    The identity of two pairs is that of the less similar of their two proteins; a protein that is
    a training protein itself counts as 1.

    Parameters
    ----------
    sequences : sequence of str
        Training proteins.
    pairs : ndarray, dtype=int64, shape=(n, 2)
        Training positives, as places in `sequences`.
    """

    def __init__(self, sequences: Sequence[str], pairs: IntArray) -> None:
        self.sequences = list(sequences)
        self._place = {sequence: i for i, sequence in enumerate(self.sequences)}
        self._indptr, self._indices = adjacency(pairs, len(self.sequences))

    def relatives(self, sequences: Sequence[str]) -> list[dict[int, float]]:
        """Return for each protein its similar training proteins and their identities."""
        from lcplm_graph.proteins.search import homologous_pairs

        found: list[dict[int, float]] = [{} for _ in sequences]
        hits = homologous_pairs(
            list(sequences), self.sequences, identity=IDENTITY, coverage=COVERAGE, method="kmer"
        )
        for (query, target), identity in zip(hits.pairs.tolist(), hits.identity, strict=True):
            found[query][target] = float(identity)
        for own, sequence in zip(found, sequences, strict=True):
            if sequence in self._place:
                own[self._place[sequence]] = 1.0
        return found

    def identity(
        self, relatives: Sequence[dict[int, float]], pairs: IntArray
    ) -> npt.NDArray[np.float64]:
        """Return the identity of the nearest training pair of each pair, 0 without any.

        Parameters
        ----------
        relatives : sequence of dict
            From `relatives`.
        pairs : ndarray, dtype=int64, shape=(n, 2)
            Places in `relatives`.
        """
        return np.array([self._nearest(relatives[i], relatives[j]) for i, j in pairs.tolist()])

    def _nearest(self, first: dict[int, float], second: dict[int, float]) -> float:
        if not (first and second):
            return 0.0
        best = 0.0
        for protein, identity in first.items():
            if identity > best:
                partners = self._indices[self._indptr[protein] : self._indptr[protein + 1]]
                shared = (second.get(partner, 0.0) for partner in partners.tolist())
                best = max(best, min(identity, max(shared, default=0.0)))
        return best
