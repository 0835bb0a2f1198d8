"""What held-out pairs share with training: the report, and the guard for trained encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from lcplm_graph.errors import InputError
from lcplm_graph.pairs import IntArray, degrees, is_in, pair_hashes, pair_keys
from lcplm_graph.splits.split import DISJOINT_KINDS, Split


@dataclass(frozen=True)
class LeakageReport:
    """What a held-out part shares with training.

    Attributes
    ----------
    kind, part : str
        Kind of split, and the part looked at.
    pairs, proteins : int
        Size of the held-out part.
    shared_pairs : int
        Held-out pairs that are training pairs, in either order; with sequences also those of
        other ids but the same two sequences.
    shared_proteins : int
        Held-out proteins that occur in a training pair.
    identical_sequences : int or None
        Held-out proteins, not in training themselves, with the sequence of one that is; None if
        no sequences were given.
    homologues : int or None
        The same for sequences similar at `identity` and `coverage`; None if not searched.
    identity, coverage : float
        Cut-offs of that search.
    degree_auroc : float
        AUROC of log(1 + d(i)) + log(1 + d(j)), d the number of training pairs, against
        `negatives`: what a model gets for knowing no more than who is a hub. 0.5 is chance.
    negatives : str
    """

    kind: str
    part: str
    pairs: int
    proteins: int
    shared_pairs: int
    shared_proteins: int
    identical_sequences: int | None
    homologues: int | None
    identity: float
    coverage: float
    degree_auroc: float
    negatives: str

    def ok(self, kind: str | None = None) -> bool:
        """Tell whether the part is as clean as a split of this kind (default: its own) promises.

        No kind may share a pair; `C3`, `cluster` and `species` may share no protein; `cluster`
        no identical or similar sequence either.

        Raises
        ------
        InputError
            If `cluster` is asked about and no search was made.
        """
        kind = self.kind if kind is None else kind
        if self.shared_pairs or (kind in DISJOINT_KINDS and self.shared_proteins):
            return False
        if kind != "cluster":
            return True
        if self.identical_sequences is None or self.homologues is None:
            raise InputError("a cluster split is judged by a search; give `sequences`")
        return not (self.identical_sequences or self.homologues)

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values, as they are printed."""
        cut_off = f" (>= {self.identity:.0%} identity, {self.coverage:.0%} coverage)"
        rows: list[tuple[str, int | str | None]] = [
            (f"pairs / proteins ({self.kind}, {self.part})", f"{self.pairs} / {self.proteins}"),
            ("shared pairs", self.shared_pairs),
            ("shared proteins", self.shared_proteins),
            ("identical sequences in training", self.identical_sequences),
            (f"homologues in training{cut_off}", self.homologues),
            (f"degree-only AUROC ({self.negatives} negatives)", f"{self.degree_auroc:.3f}"),
        ]
        return [(name, "not searched" if v is None else str(v)) for name, v in rows]

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def leakage_report(
    split: Split,
    sequences: Any = None,
    *,
    part: str = "test",
    identity: float = 0.3,
    coverage: float = 0.5,
    method: str = "auto",
    negatives: str = "stub_matched",
    seed: int = 0,
) -> LeakageReport:
    """Measure what a held-out part shares with training.

    Parameters
    ----------
    split : Split
    sequences : SequenceStore, optional
        In node order. Without it nothing is said about sequences.
    part : {"test", "valid"}
    identity, coverage, method
        Of the search, as in `homologous_pairs`.
    negatives : str
        Kind of negatives that the degree-only score is tested against.
    seed : int
        Of the negatives.

    Returns
    -------
    LeakageReport
    """
    held_out = split.positives(part)
    proteins = np.unique(held_out)
    shared, identical, homologues = _shared_rows(held_out, split), None, None
    if sequences is not None:
        digests = np.asarray(sequences.digests())
        shared |= is_in(pair_hashes(digests, held_out), np.sort(pair_hashes(digests, split.train)))
        new = proteins[~split.seen[proteins]]
        train = np.flatnonzero(split.seen)
        identical = int(is_in(digests[new], np.sort(digests[train])).sum())
        homologues = _count_homologues(sequences, new, train, identity, coverage, method)
    return LeakageReport(
        kind=split.kind,
        part=part,
        pairs=len(held_out),
        proteins=len(proteins),
        shared_pairs=int(shared.sum()),
        shared_proteins=int(split.seen[proteins].sum()),
        identical_sequences=identical,
        homologues=homologues,
        identity=identity,
        coverage=coverage,
        degree_auroc=_degree_auroc(split, part, negatives, seed),
        negatives=negatives,
    )


def saw_edges(
    seen: npt.NDArray[np.uint64], digests: npt.NDArray[np.uint64], pairs: IntArray
) -> int:
    """Count the pairs that an encoder saw as edges when it was trained.

    Parameters
    ----------
    seen : ndarray, dtype=uint64, shape=(e,)
        Sorted hashes, from `encoder.seen_edges()`.
    digests : ndarray, dtype=uint64, shape=(n,)
        Of the proteins, from `SequenceStore.digests()`.
    pairs : ndarray, dtype=int64, shape=(m, 2)
        For example ``split.held_out``.

    Examples
    --------
    >>> digests = np.array([5, 6, 7], np.uint64)
    >>> seen = np.sort(pair_hashes(digests, np.array([[0, 1], [1, 2]])))
    >>> saw_edges(seen, digests, np.array([[1, 0], [0, 2]]))
    1
    """
    return int(is_in(pair_hashes(digests, pairs), np.asarray(seen, np.uint64)).sum())


def _shared_rows(held_out: IntArray, split: Split) -> npt.NDArray[np.bool_]:
    keys, train = (pair_keys(pairs, split.num_nodes) for pairs in (held_out, split.train))
    return is_in(keys, train)


def _count_homologues(
    sequences: Any, new: IntArray, train: IntArray, identity: float, coverage: float, method: str
) -> int:
    # Imported here, because it compiles kernels that a report without sequences does not need.
    from lcplm_graph.proteins.search import pairs_across

    pairs = pairs_across(
        sequences.select(new),
        sequences.select(train),
        identity=identity,
        coverage=coverage,
        method=method,
    )
    return len(np.unique(pairs[:, 0]))


def _degree_auroc(split: Split, part: str, kind: str, seed: int) -> float:
    score = np.log1p(degrees(split.train, split.num_nodes))
    positive, negative = split.positives(part), split.negatives(part, kind, seed=seed)
    pairs = np.concatenate([positive, negative])
    label = np.arange(len(pairs)) < len(positive)
    return float(roc_auc_score(label, score[pairs].sum(axis=1)))
