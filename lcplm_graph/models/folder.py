"""`ModelFolder`: the one owner of the names in a model's folder, and of what it says of its past.

The leakage guard lives on what stage 2 was shown.  So the hashes of those edges are checked when
they are read, they are missed when the record says that they must be there, and every later stage
inherits them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.errors import CheckpointError
from lcplm_graph.io import sha256_of
from lcplm_graph.models.checkpoints import read_json
from lcplm_graph.models.names import (
    CARD,
    CONFIG,
    HEAD,
    PRECISION,
    PROMISE,
    PROPERTY,
    QUALITY,
    RECORD,
    SEEN_EDGES,
    WEIGHTS,
)
from lcplm_graph.pairs import distinct

FAMILIES = ("lcplm", "esm2", "esmc", "composition", "dipeptide")
_RUN = "model"
"""Where a training run keeps its model."""


@dataclass(frozen=True)
class Record:
    """What a model was trained on, now and in its past.

    Attributes
    ----------
    facts : dict
        Of the last run, as in ``training.json``; those before it, the first one first, are under
        ``history``.
    seen_edges : ndarray of uint64, optional
        Strictly ascending hashes of all pairs that any stage 2 was shown.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    seen_edges: np.ndarray | None = None

    def __repr__(self) -> str:
        edges = "no" if self.seen_edges is None else len(self.seen_edges)
        return (
            f"{type(self).__name__}(facts: {', '.join(self.facts) or 'none'}; {edges} seen edges)"
        )

    def __bool__(self) -> bool:
        return bool(self.facts) or self.seen_edges is not None

    def having_seen(self, edges: np.ndarray) -> Record:
        """Return this record with more seen edges, which may be in any order."""
        parts = [part for part in (self.seen_edges, edges) if part is not None]
        return Record(self.facts, distinct(np.concatenate(parts)))

    def joined(self, other: Record) -> Record:
        """Return the record of two things in one: a model, and an adapter trained on it."""
        facts = self.followed_by(other.facts).facts if other.facts else self.facts
        joined = Record(facts, self.seen_edges)
        return joined if other.seen_edges is None else joined.having_seen(other.seen_edges)

    def followed_by(self, facts: Mapping[str, Any], seen_edges: np.ndarray | None = None) -> Record:
        """Return the record of a run that went on from here.

        Parameters
        ----------
        facts : mapping
            Of the new run.
        seen_edges : ndarray of uint64, optional
            What it was shown; all that was seen before is added.
        """
        history = [*self.facts.get("history", [])]
        own = {k: v for k, v in self.facts.items() if k != "history"}
        if own:
            history.append(own)
        later = Record({**facts, **({"history": history} if history else {})}, self.seen_edges)
        return later if seen_edges is None else later.having_seen(seen_edges)


def model_folder(path: str | os.PathLike[str]) -> Path:
    """Return the model's folder of a training run, or the path itself if it is not a run."""
    run = Path(path) / _RUN
    is_model = (run / CONFIG).is_file() or (run / PROPERTY).is_file()
    return run if is_model else Path(path)


class ModelFolder:
    """A folder that holds one model.

    Parameters
    ----------
    path : path-like

    Examples
    --------
    >>> ModelFolder("runs/one/model").seen_edges.name
    'seen_edges.npy'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config, self.weights = self.path / CONFIG, self.path / WEIGHTS
        self.training, self.seen_edges = self.path / RECORD, self.path / SEEN_EDGES
        self.quality, self.card = self.path / QUALITY, self.path / CARD
        self.precision = self.path / PRECISION
        self.property, self.head = self.path / PROPERTY, self.path / HEAD

    def family(self) -> str | None:
        """Return what kind of encoder a fine-tuned model's folder holds; None for other folders.

        Raises
        ------
        CheckpointError
            If the file that says so is damaged.
        """
        if not self.property.is_file():
            return None
        family = read_json(self.property).get("encoder")
        if family not in FAMILIES:
            raise CheckpointError(
                f"{self.property}: the encoder is {family!r}, not one of {', '.join(FAMILIES)}"
            )
        return str(family)

    def record(self) -> Record:
        """Read what the folder says of the model's past.

        Returns
        -------
        Record
            Empty if the folder says nothing, as published checkpoints do.

        Raises
        ------
        CheckpointError
            If a file is damaged, or seen edges are missing although the record says that the model
            was trained on a graph.
        """
        facts = read_json(self.training) if os.path.lexists(self.training) else {}
        where, promised = RECORD, facts.get(PROMISE)
        if promised is None and self.config.is_file():
            # Whoever copies weights takes their configuration along, but not always the record.
            promised = read_json(self.config).get(PROMISE)
            where = RECORD if promised is None else CONFIG
        if not os.path.lexists(self.seen_edges):
            if promised is not None or _saw_graph(facts):
                raise CheckpointError(
                    f"{self.seen_edges}: missing, although {where} says that this model was "
                    "trained on a graph; without it the pairs that it saw are unknown, so "
                    "fetch or export the folder again"
                )
            return Record(facts)
        seen = _read_seen_edges(self.seen_edges)
        if promised is not None:
            stored = {"count": len(seen), "sha256": sha256_of(self.seen_edges)}
            if not (isinstance(promised, dict) and stored == {k: promised.get(k) for k in stored}):
                raise CheckpointError(
                    f"{self.seen_edges}: not the file that {where} describes (count and sha256); "
                    "fetch or export the folder again"
                )
        return Record(facts, seen)

    def write_record(self, record: Record) -> None:
        """Write a record into a folder that is being made, see `lcplm_graph.io.whole_folder`."""
        facts = {k: v for k, v in record.facts.items() if k != PROMISE}
        if record.seen_edges is not None:
            np.save(self.seen_edges, record.seen_edges.astype(np.uint64), allow_pickle=False)
            facts[PROMISE] = {
                "count": len(record.seen_edges),
                "sha256": sha256_of(self.seen_edges),
            }
            if self.config.is_file():
                config = {**read_json(self.config), PROMISE: facts[PROMISE]}
                self.config.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        self.training.write_text(json.dumps(facts, indent=1) + "\n")


def _saw_graph(facts: Any) -> bool:
    """Tell whether a run, or one before it, was of stage 2."""
    if not isinstance(facts, dict):
        return False
    before = [*_as_list(facts.get("history")), *_as_list(facts.get("before")), facts.get("data")]
    return facts.get("stage") == 2 or any(map(_saw_graph, before))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_seen_edges(path: Path) -> np.ndarray:
    try:
        # Mapped: a header that promises more than the file holds is then refused at once.
        seen = np.load(path, mmap_mode="r", allow_pickle=False)
        seen = np.array(seen) if isinstance(seen, np.ndarray) else None
    except Exception as error:  # the parser of the header raises nearly anything
        raise CheckpointError(
            f"{path}: not readable as an array ({error}); without it the pairs that "
            "this model saw are unknown, so fetch or export the folder again"
        ) from error
    if seen is None or seen.dtype != np.uint64 or seen.ndim != 1 or not len(seen):
        found = "no array" if seen is None else f"{seen.dtype} of shape {seen.shape}"
        raise CheckpointError(
            f"{path}: seen edges are uint64 of shape (n,) with n >= 1, but this is {found}; "
            "fetch or export the folder again"
        )
    if not (seen[1:] > seen[:-1]).all():
        raise CheckpointError(
            f"{path}: the hashes of seen edges must ascend strictly and do not; the file was "
            "changed, so fetch or export the folder again"
        )
    return seen
