"""`EdgeSets`: the training, message and held-out pairs of one graph, sorted and classified."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import InputError, UnknownNameError
from lcplm_graph.numeric import edge_weights, finite, whole_number
from lcplm_graph.pairs import IntArray, as_pairs, distinct_pairs, ordered_pairs, pair_keys
from lcplm_graph.splits.parts import Part

#: Kinds of splits that are made here, and what others made.
SPLIT_KINDS = ("random", "C1", "C2", "C3", "node", "species", "temporal", "cluster")
PUBLISHED = "published"


@dataclass(frozen=True, eq=False)
class EdgeSets:
    """The edge sets of one protein graph; `Split` adds what checks, saves and samples them.

    Parameters and attributes are those of `lcplm_graph.splits.split.Split`.
    """

    kind: str
    num_nodes: int
    message: IntArray
    supervision: IntArray
    held_out: IntArray
    held_out_part: npt.NDArray[np.int8]
    message_weight: npt.NDArray[np.float32] | None = None
    dropped: IntArray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    node_part: npt.NDArray[np.int8] | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in (*SPLIT_KINDS, PUBLISHED):
            # What `check` proves depends on it.
            known = ", ".join((*SPLIT_KINDS, PUBLISHED))
            raise UnknownNameError(f"no kind of split {self.kind!r}; there are {known}")
        object.__setattr__(self, "num_nodes", whole_number(self.num_nodes, "num_nodes", 0))
        if self.message_weight is not None:
            weight = edge_weights(self.message_weight, self.message, "message_weight")
            object.__setattr__(self, "message_weight", weight)
        parts = finite(self.held_out_part, "held_out_part")
        if not np.isin(parts, (Part.VALID, Part.TEST)).all():
            raise InputError("held_out_part may hold 0 (valid) and 1 (test) only")
        object.__setattr__(self, "held_out_part", parts)
        self._sort("message", "message_weight", np.float32)
        self._sort("supervision")
        self._sort("held_out", "held_out_part", np.int8)
        self._sort("dropped")
        if self.node_part is not None:
            node_part = finite(self.node_part, "node_part")
            if node_part.shape != (self.num_nodes,):
                raise InputError(f"node_part has shape {node_part.shape}, not ({self.num_nodes},)")
            if not np.isin(node_part, list(Part)).all():
                values = ", ".join(f"{part.value} ({part.name.lower()})" for part in Part)
                raise InputError(f"node_part may hold {values} only")
            object.__setattr__(self, "node_part", node_part.astype(np.int8))

    def _sort(self, name: str, companion: str | None = None, dtype: type = np.int8) -> None:
        pairs = as_pairs(getattr(self, name), self.num_nodes, name)
        order = np.argsort(pair_keys(pairs, self.num_nodes), kind="stable")
        object.__setattr__(self, name, pairs[order])
        values = getattr(self, companion) if companion else None
        if companion and values is not None:
            values = np.asarray(values, dtype)
            if values.shape != (len(pairs),):
                raise InputError(f"{companion} has shape {values.shape}, not ({len(pairs)},)")
            object.__setattr__(self, companion, values[order])

    @cached_property
    def train(self) -> IntArray:
        """All training positives, `message` and `supervision` together, shape (t, 2), sorted."""
        return distinct_pairs(np.concatenate([self.message, self.supervision]), self.num_nodes)

    @cached_property
    def known(self) -> IntArray:
        """Every known positive of the graph, in whichever set, shape (k, 2), sorted."""
        every = np.concatenate([self.train, self.held_out, self.dropped])
        return distinct_pairs(every, self.num_nodes)

    @cached_property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Which proteins occur in a training pair, shape (num_nodes,)."""
        seen = np.zeros(self.num_nodes, bool)
        seen[self.train.ravel()] = True
        return seen

    @cached_property
    def held_out_class(self) -> npt.NDArray[np.int8]:
        """Class 1, 2 or 3 of each held-out pair."""
        return self.classify(self.held_out)

    def classify(self, pairs: IntArray) -> npt.NDArray[np.int8]:
        """Return the class (1, 2, 3) of any pairs: 3 minus the number of proteins seen.

        Raises
        ------
        InputError
            If a pair names a protein outside the graph.
        """
        seen = self.seen[ordered_pairs(pairs, self.num_nodes)]
        return (3 - seen.sum(axis=1)).astype(np.int8)

    def positives(self, part: str | Part) -> IntArray:
        """Return the positives of `train` (the supervision pairs), `valid` or `test`."""
        part = Part.of(part)
        if part is Part.TRAIN:
            return self.supervision
        return self.held_out[self.held_out_part == part]

    def counts(self) -> dict[str, int]:
        """Return the number of pairs of each set and class."""
        result = {name: len(getattr(self, name)) for name in ("message", "supervision", "dropped")}
        for part in (Part.VALID, Part.TEST):
            name, chosen = part.label, self.held_out_part == part
            result[name] = int(chosen.sum())
            for number in (1, 2, 3):
                result[f"{name}_C{number}"] = int((self.held_out_class[chosen] == number).sum())
        return result
