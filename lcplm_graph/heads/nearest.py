"""The training pair that is nearest to a pair: how alike its proteins are to those of this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from lcplm_graph.pairs import IntArray, adjacency

#: Alignments below this identity, or over less than this share of either protein, do not count.
IDENTITY, COVERAGE = 0.3, 0.5
# What was found for this many proteins is kept.
_KEPT = 100_000

Relatives = dict[int, float]


class _Found(NamedTuple):
    """Identities of the training proteins that count as similar, and weights of all relatives."""

    identity: Relatives
    weight: Relatives


class Nearest(NamedTuple):
    """Nearest training pairs.

    Attributes
    ----------
    identity : ndarray, dtype=float64, shape=(n,)
        0 where no training pair is similar.
    pairs : ndarray, dtype=int64, shape=(n, 2)
        Training proteins, the relative of the first protein first; -1 where none is similar.
    """

    identity: npt.NDArray[np.float64]
    pairs: IntArray


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
    names : sequence of str, optional
        Of the training proteins; by default their places.
    """

    def __init__(
        self, sequences: Sequence[str], pairs: IntArray, names: Sequence[str] | None = None
    ) -> None:
        self.sequences, self.pairs = list(sequences), pairs
        self.names = list(map(str, range(len(self.sequences)) if names is None else names))
        self._place = {sequence: i for i, sequence in enumerate(self.sequences)}
        self._indptr, self._indices = adjacency(pairs, len(self.sequences))
        self._found: dict[str, _Found] = {}

    def of(self, sequences: Sequence[str], pairs: IntArray) -> Nearest:
        """Return the nearest training pair of each pair.

        Parameters
        ----------
        sequences : sequence of str
        pairs : ndarray, dtype=int64, shape=(n, 2)
            Places in `sequences`.
        """
        relatives = self.relatives(sequences)
        found = [self._nearest(relatives[i], relatives[j]) for i, j in pairs.tolist()]
        return Nearest(
            np.array([identity for identity, _ in found], np.float64),
            np.array([pair for _, pair in found], np.int64).reshape(-1, 2),
        )

    def relatives(self, sequences: Sequence[str]) -> list[Relatives]:
        """Return for each protein its similar training proteins and their identities."""
        return [own.identity for own in self._of(sequences)]

    def weights(self, sequences: Sequence[str], *, progress: bool = False) -> sparse.csr_array:
        """Return the weights of relatives, shape (n, training proteins); see `Interologs`."""
        found = [own.weight for own in self._of(sequences, progress)]
        rows = np.repeat(np.arange(len(found)), [len(own) for own in found])
        columns = np.array([place for own in found for place in own], np.int64)
        values = np.array([weight for own in found for weight in own.values()], np.float64)
        return sparse.csr_array((values, (rows, columns)), (len(found), len(self.sequences)))

    def _of(self, sequences: Sequence[str], progress: bool = False) -> list[_Found]:
        new = list(dict.fromkeys(text for text in sequences if text not in self._found))
        if new and len(self._found) + len(new) > _KEPT:
            self._found, new = {}, list(dict.fromkeys(sequences))
        if new:
            self._found.update(zip(new, self._search(new, progress), strict=True))
        return [self._found[text] for text in sequences]

    def _search(self, sequences: list[str], progress: bool) -> list[_Found]:
        found = [_Found({}, {}) for _ in sequences]
        from lcplm_graph.features.relatives import all_alignments, weights

        hits = all_alignments(sequences, self.sequences, progress=progress)
        counted = (hits.identity >= IDENTITY) & (hits.coverage >= COVERAGE)
        numbers = hits.identity, counted, weights(hits, sequences, self.sequences)
        for (query, target), *row in zip(hits.pairs.tolist(), *numbers, strict=True):
            identity, is_similar, weight = row
            found[query].weight[target] = float(weight)
            if is_similar:
                found[query].identity[target] = float(identity)
        for own, sequence in zip(found, sequences, strict=True):
            if sequence in self._place:
                own.identity[self._place[sequence]] = 1.0
                own.weight[self._place[sequence]] = 1.0
        return found

    def _nearest(self, first: Relatives, second: Relatives) -> tuple[float, tuple[int, int]]:
        # Of equally near pairs the same one whichever protein is named first.
        best = (0.0, 0.0, 0, 0)
        pair = (-1, -1)
        for protein, identity in first.items() if second else ():
            if identity < best[0]:
                continue
            partners = self._indices[self._indptr[protein] : self._indptr[protein + 1]]
            for partner in partners.tolist():
                other = second.get(partner, 0.0)
                low, high = sorted((protein, partner))
                rank = (min(identity, other), identity + other, -low, -high)
                if other and rank > best:
                    best, pair = rank, (protein, partner)
        return best[0], pair
