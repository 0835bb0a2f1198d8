"""The training pair that is nearest to a pair: how alike its proteins are to those of this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lcplm_graph.pairs import IntArray, adjacency

#: Alignments below this identity, or over less than this share of either protein, do not count.
IDENTITY, COVERAGE = 0.3, 0.5
# What was found for this many proteins is kept.
_KEPT = 100_000

Relatives = dict[int, float]


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
        self.sequences = list(sequences)
        self.names = list(map(str, range(len(self.sequences)) if names is None else names))
        self._place = {sequence: i for i, sequence in enumerate(self.sequences)}
        self._indptr, self._indices = adjacency(pairs, len(self.sequences))
        self._lengths = np.array([len(sequence) for sequence in self.sequences])
        self._found: dict[str, Relatives] = {}

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
        new = list(dict.fromkeys(text for text in sequences if text not in self._found))
        if len(self._found) + len(new) > _KEPT:
            self._found, new = {}, list(dict.fromkeys(sequences))
        self._found.update(zip(new, self._search(new), strict=True))
        return [self._found[text] for text in sequences]

    def _search(self, sequences: list[str]) -> list[Relatives]:
        found: list[Relatives] = [{} for _ in sequences]
        if not sequences:
            return found
        from lcplm_graph.proteins.search import homologous_pairs

        # No alignment spans enough of a protein that is too long or too short.
        asked = [len(text) for text in sequences]
        low, high = COVERAGE * min(asked), max(asked) / COVERAGE
        near = np.flatnonzero((self._lengths >= low) & (self._lengths <= high)).tolist()
        hits = homologous_pairs(
            sequences, [self.sequences[i] for i in near],
            identity=IDENTITY, coverage=COVERAGE, method="kmer",
        )  # fmt: skip
        for (query, target), identity in zip(hits.pairs.tolist(), hits.identity, strict=True):
            found[query][near[target]] = float(identity)
        for own, sequence in zip(found, sequences, strict=True):
            if sequence in self._place:
                own[self._place[sequence]] = 1.0
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
