"""Which rows are learned from, chosen by and tested on, and what the parts have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.finetuning.examples import Examples
from lcplm_graph.io import warn_once
from lcplm_graph.pairs import IntArray
from lcplm_graph.proteins.search import homologous_pairs
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.clusters import cluster_parts
from lcplm_graph.splits.kinds import share_groups
from lcplm_graph.splits.parts import PARTS, Part
from lcplm_graph.strings import one_of

SplitKind = Literal["homology", "random", "column"]
_SPELLINGS = {
    "train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid",
    "dev": "valid", "test": "test",
}  # fmt: skip
_STEPS = (0.3, 0.5, 0.9)


@dataclass(frozen=True)
class Partition:
    """Rows of each part.

    Attributes
    ----------
    kind : str
    rows : dict of str to ndarray of int64
        ``train``, ``valid`` and one or more parts to test on.
    facts : dict
        How it was made, and what was left out.
    """

    kind: str
    rows: Mapping[str, IntArray]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def tests(self) -> list[str]:
        """Names of the parts to test on."""
        return [name for name in self.rows if name not in ("train", "valid")]

    def names(self, count: int) -> list[str]:
        """Return the part of each of `count` rows; empty for those in none."""
        result = [""] * count
        for name, rows in self.rows.items():
            for row in rows.tolist():
                result[row] = name
        return result


def divide(
    examples: Examples,
    kind: SplitKind,
    *,
    valid: float,
    test: float,
    identity: float,
    seed: int,
    search: str = "auto",
    progress: bool = True,
) -> Partition:
    """Share rows out.

    Parameters
    ----------
    examples : Examples
    kind : {"homology", "random", "column"}
        ``homology``: no protein has a homologue (`identity` over half of it) in an earlier part;
        pairs of two parts are left out.  ``random``: only equal sequences (or pairs) stay
        together.  ``column``: as the table says; without a valid part a tenth of the training rows
        is drawn.
    valid, test : float
        Fractions of the proteins (rows, if pairs are split at random).
    identity : float
    seed : int
    search : str
        The method of `homologous_pairs`.
    progress : bool

    Raises
    ------
    ConfigError
        If a part stays empty.
    DataError
        If a part of the table is called neither train, valid nor test.
    """
    one_of(kind, "split", get_args(SplitKind))
    rng = np.random.default_rng(seed)
    rows = examples.proteins.rows
    facts: dict[str, Any] = {"split": kind}
    if kind == "column":
        return _by_column(examples, rng, valid, facts)
    if kind == "random":
        _, groups = np.unique(np.sort(rows, axis=1), axis=0, return_inverse=True)
        part = share_groups(groups.ravel().astype(np.int64), rng, valid, test)
    else:
        store = _store(examples)
        of_protein, info = cluster_parts(
            store, rng, valid, test, identity=identity, method=search, progress=progress
        )
        ends = of_protein[rows]
        part = np.where(ends.min(1) == ends.max(1), ends[:, 0], Part.NOWHERE).astype(np.int8)
        facts |= info | {"rows_left_out": int((part == Part.NOWHERE).sum())}
    found = {part_.label: np.flatnonzero(part == part_) for part_ in PARTS}
    return _checked(Partition(kind, found, facts))


def _by_column(
    examples: Examples, rng: np.random.Generator, valid: float, facts: dict[str, Any]
) -> Partition:
    assert examples.parts is not None
    named = np.array([_spelled(part) for part in examples.parts])
    found = {name: np.flatnonzero(named == name) for name in sorted(set(named.tolist()))}
    if "valid" not in found and "train" in found:
        train = found["train"]
        _, groups = np.unique(
            np.sort(examples.proteins.rows[train], axis=1), axis=0, return_inverse=True
        )
        drawn = share_groups(groups.ravel().astype(np.int64), rng, valid, 0.0) == Part.VALID
        found |= {"train": train[~drawn], "valid": train[drawn]}
        facts["valid_drawn_from_train"] = int(drawn.sum())
    order = ("train", "valid", *(n for n in found if n not in ("train", "valid")))
    return _checked(
        Partition("column", {n: found.get(n, np.empty(0, np.int64)) for n in order}, facts)
    )


def _spelled(part: str) -> str:
    name = part.strip().lower()
    if name.startswith("test"):
        return name
    if name not in _SPELLINGS:
        raise DataError(
            f"a row is of the part {part!r:.40}; parts are called train, valid, test, or test and "
            "something after it"
        )
    return _SPELLINGS[name]


def _checked(partition: Partition) -> Partition:
    for name, rows in partition.rows.items():
        if not len(rows):
            left = partition.facts.get("rows_left_out", 0)
            why = f" ({left:,} pairs join two parts, which it leaves out)" if left else ""
            raise ConfigError(
                f"the {partition.kind} split leaves no row for {name}{why}; more rows, other "
                "fractions (--valid, --test) or another --split (random) are needed"
            )
    return partition


@dataclass(frozen=True)
class Leakage:
    """What a part shares with training.

    Attributes
    ----------
    proteins : int
        Distinct ones of the part.
    identical : int
        Those that occur in training, by their normal form.
    rows : int
        Rows whose protein, or pair in either order, is a training row.
    similar : dict of str to int
        Proteins whose nearest training protein has at least this identity, found by a search.
    nearest : float
        Median identity of the nearest training protein, 0 where none was found.
    """

    proteins: int
    identical: int
    rows: int
    similar: dict[str, int]
    nearest: float

    def __str__(self) -> str:
        steps = ", ".join(f"{count} at {step}" for step, count in self.similar.items())
        return (
            f"{self.proteins:,} proteins: {self.identical:,} also in training; nearest training "
            f"protein found: {steps}; median identity {self.nearest:.2f}"
        )


def leakage(
    examples: Examples, partition: Partition, search: str = "auto", progress: bool = True
) -> dict[str, Leakage]:
    """Measure what each part shares with training.

    Identities are those of `homologous_pairs` with at least half of both proteins aligned.
    """
    rows = examples.proteins.rows
    store = _store(examples)
    train = np.unique(rows[partition.rows["train"]])
    learned = {tuple(r) for r in np.sort(rows[partition.rows["train"]], axis=1).tolist()}
    found: dict[str, Leakage] = {}
    for name, chosen in partition.rows.items():
        if name == "train":
            continue
        proteins = np.unique(rows[chosen])
        hits = homologous_pairs(
            store.select(proteins),
            store.select(train),
            identity=0.0,
            method=search,
            progress=progress,
        )
        nearest = np.zeros(len(proteins))
        np.maximum.at(nearest, hits.pairs[:, 0], hits.identity)
        identical = np.isin(proteins, train)
        nearest[identical] = 1.0
        shared = [tuple(r) in learned for r in np.sort(rows[chosen], axis=1).tolist()]
        found[name] = Leakage(
            proteins=len(proteins),
            identical=int(identical.sum()),
            rows=sum(shared),
            similar={f"{step:.0%}": int((nearest >= step).sum()) for step in _STEPS},
            nearest=float(np.median(nearest)),
        )
        if identical.any():
            warn_once(
                f"{identical.sum()} of {len(proteins)} proteins of the part {name} are also in "
                "training"
            )
    return found


def _store(examples: Examples) -> SequenceStore:
    sequences = examples.proteins.sequences
    return SequenceStore.from_records(map(str, range(len(sequences))), sequences)
