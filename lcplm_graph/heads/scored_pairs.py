"""`ScoredPairs`: probabilities of pairs, and what one must know beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.numeric import FloatArray


@dataclass(frozen=True)
class ScoredPairs:
    """Answers, in the order of the pairs.

    Attributes
    ----------
    names : list of (str, str)
    probability : ndarray, dtype=float64, shape=(n,)
        Calibrated at one pair that does not interact per pair that does.
    uncertainty : ndarray, dtype=float64, shape=(n,)
        Standard deviation of the members' own probabilities.
    nearest_training_identity : ndarray, dtype=float64, shape=(n,)
        Of the nearest training pair, see `NearestPairs`; 0 if none is similar.
    nearest_training_pair : list of (str, str)
        That pair, the protein like the first one first; two empty names if none is similar.
    unlike_training : ndarray, dtype=bool, shape=(n,)
        A protein whose features lie outside of what training proteins have.
    interolog_evidence : ndarray, dtype=float64, shape=(n,)
        From 0 to 1: what training pairs between relatives of the two say, see `Interologs`.
    known : ndarray, dtype=bool, shape=(n,)
        The network that ships has this pair.  A probability knows of it only where it was a
        training pair, whose `nearest_training_identity` is 1.
    """

    names: list[tuple[str, str]]
    probability: FloatArray
    uncertainty: FloatArray
    nearest_training_identity: FloatArray
    nearest_training_pair: list[tuple[str, str]]
    unlike_training: npt.NDArray[np.bool_]
    interolog_evidence: FloatArray
    known: npt.NDArray[np.bool_]

    def rows(self, *, details: bool = False) -> list[tuple[Any, ...]]:
        """Return the rows of the table that ``lcplm score`` writes, one per pair.

        Parameters
        ----------
        details : bool
            Add the nearest training pair, ``yes`` or ``no`` for `unlike_training`, the evidence,
            and ``yes`` or ``no`` for `known`.
        """
        numbers = (self.probability, self.uncertainty, self.nearest_training_identity)
        short = [
            (a, b, *(round(float(column[i]), 4) for column in numbers))
            for i, (a, b) in enumerate(self.names)
        ]
        if not details:
            return short
        odd, known = (
            ["yes" if value else "no" for value in column]
            for column in (self.unlike_training, self.known)
        )
        evidence = [round(float(value), 4) for value in self.interolog_evidence]
        more = zip(odd, evidence, known, strict=True)
        pairs = zip(short, self.nearest_training_pair, more, strict=True)
        return [(*row, *pair, *rest) for row, pair, rest in pairs]
