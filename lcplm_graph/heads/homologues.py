"""Terms of a protein's homologues: what a sequence search knows, beside what a head says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from lcplm_graph.callers import callers_random
from lcplm_graph.pairs import IntArray
from lcplm_graph.proteins.search import homologous_pairs
from lcplm_graph.strings import string_list

Scores = npt.NDArray[np.floating]
PREFIX = "homologues."
"""Of the names of `AnnotatedProteins.tensors`."""
_WEIGHTS = np.arange(11) / 10


def homologue_transfer(
    pairs: IntArray, bits: npt.NDArray[Any], train_labels: Any, count: int
) -> Scores:
    """Give each protein the labels of its training homologues, each with the weight of its bits.

    Parameters
    ----------
    pairs : ndarray, dtype=int64, shape=(h, 2)
        Protein and training protein, from ``homologous_pairs(test, train)``.
    bits : ndarray, float, shape=(h,)
        Bit scores of the alignments.
    train_labels : array_like or sparse array, bool, shape=(m, terms)
    count : int
        Number of proteins.

    Returns
    -------
    ndarray, dtype=float64, shape=(count, terms)
        The share of all bits that belongs to homologues with the term; 0 without a homologue.

    References
    ----------
    .. [1] Kulmanov & Hoehndorf, Bioinformatics 36, 422 (2020), "DiamondScore".

    Examples
    --------
    >>> pairs, bits = np.array([[0, 0], [0, 1]]), np.array([300.0, 100.0])
    >>> homologue_transfer(pairs, bits, [[True, False], [True, True]], 2).tolist()
    [[1.0, 0.25], [0.0, 0.0]]
    """
    # A tuple of rows is no description of a sparse array.
    rows = train_labels if sparse.issparse(train_labels) else np.asarray(train_labels)
    labels = sparse.csr_array(rows).astype(np.float64)
    weight = sparse.csr_array(
        (np.asarray(bits, np.float64), (pairs[:, 0], pairs[:, 1])), shape=(count, labels.shape[0])
    )
    total = np.asarray(weight.sum(axis=1)).reshape(-1, 1)
    share = np.asarray((weight @ labels).toarray()) / np.where(total > 0, total, 1)
    # A sum over all homologues may differ from the total in its last bit.
    return np.minimum(share, 1)


def mixed(scores: Scores, transferred: Scores, weight: float) -> Scores:
    """Average a head's probabilities and the shares of homologues; without homologues, the head's.

    Parameters
    ----------
    scores, transferred : ndarray, shape=(n, terms)
        From a head, and from `homologue_transfer`.
    weight : float
        Of the homologues, from 0 to 1.

    Examples
    --------
    >>> head, homologues = np.array([[0.2], [0.2]]), np.array([[1.0], [0.0]])
    >>> mixed(head, homologues, 0.5).tolist()
    [[0.6], [0.2]]
    """
    found = transferred.any(axis=1, keepdims=True)
    return np.where(found, weight * transferred + (1 - weight) * scores, scores)


def best_weight(labels: Any, scores: Scores, transferred: Scores) -> float:
    """Return the weight of homologues, in tenths, with the best micro average precision.

    Parameters
    ----------
    labels : array_like, bool, shape=(n, terms)
        Of proteins that neither the head nor the search was shown.
    scores, transferred : ndarray, shape=(n, terms)
        As for `mixed`.

    Returns
    -------
    float
        0 if there is nothing to choose by.
    """
    with callers_random():
        from sklearn.metrics import average_precision_score

    truth = np.asarray(labels, bool)
    if not truth.any():
        return 0.0
    quality = [
        average_precision_score(truth.ravel(), mixed(scores, transferred, weight).ravel())
        for weight in _WEIGHTS
    ]
    return float(_WEIGHTS[int(np.argmax(quality))])


@dataclass(frozen=True)
class AnnotatedProteins:
    """Sequences whose terms are known, for a search.

    Attributes
    ----------
    sequences : list of str
    labels : sparse array, bool, shape=(len(sequences), terms)
    """

    sequences: list[str]
    labels: sparse.csr_array

    def transfer(self, sequences: Iterable[str], progress: bool = False) -> Scores:
        """Return the share of homologues, by bits, that have each term, shape (n, terms).

        Homologues have an E-value of at most 0.001, whatever their identity and coverage.

        Parameters
        ----------
        sequences : iterable of str
        progress : bool
            Show that the search is at work.
        """
        asked = string_list(sequences)
        hits = homologous_pairs(asked, self.sequences, identity=0, coverage=0, progress=progress)
        return homologue_transfer(hits.pairs, hits.bits, self.labels, len(asked))

    def annotations(self, sequences: Iterable[str]) -> sparse.csr_array:
        """Return the terms of proteins with exactly these sequences, bool, shape (n, terms)."""
        places: dict[str, list[int]] = {}
        for place, sequence in enumerate(self.sequences):
            places.setdefault(sequence, []).append(place)
        same = [places.get(sequence, []) for sequence in sequences]
        rows = np.repeat(np.arange(len(same)), [len(found) for found in same])
        columns = np.array([place for found in same for place in found], np.int64)
        pick = sparse.csr_array(
            (np.ones(len(rows), np.int32), (rows, columns)), (len(same), len(self.sequences))
        )
        return sparse.csr_array((pick @ self.labels.astype(np.int32)) > 0)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything as tensors, for a file."""
        letters = [np.frombuffer(s.encode("ascii"), np.uint8) for s in self.sequences]
        lengths = np.array([len(s) for s in self.sequences], np.int64)
        return {
            f"{PREFIX}letters": torch.from_numpy(np.concatenate(letters)),
            f"{PREFIX}lengths": torch.from_numpy(lengths),
            f"{PREFIX}terms": torch.from_numpy(self.labels.indices.astype(np.int64)),
            f"{PREFIX}offsets": torch.from_numpy(self.labels.indptr.astype(np.int64)),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], terms: int) -> AnnotatedProteins:
        """Make it again from what `tensors` returned."""
        text = tensors[f"{PREFIX}letters"].numpy().tobytes().decode("ascii")
        lengths = tensors[f"{PREFIX}lengths"].numpy()
        ends = np.cumsum(lengths)
        sequences = [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        indices, offsets = (tensors[f"{PREFIX}{key}"].numpy() for key in ("terms", "offsets"))
        labels = sparse.csr_array(
            (np.ones(len(indices), bool), indices, offsets), shape=(len(sequences), terms)
        )
        labels.check_format()
        if len(text) != lengths.sum() or lengths.min(initial=0) < 0:
            raise ValueError("letters and lengths of the homologues do not fit")
        return cls(sequences, labels)
