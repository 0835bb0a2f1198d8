"""`PublishedSplit`: labelled training, validation and test pairs, kept as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.pairs import IntArray, distinct_pairs, ordered_pairs, pair_keys
from lcplm_graph.splits.parts import PARTS, Part
from lcplm_graph.splits.sets import PUBLISHED
from lcplm_graph.splits.split import Labelled, Split

# Names of arrays in the file of a saved split, by part and column.
_SAVED, _COLUMNS = "published_{}_{}", ("pairs", "labels")


@dataclass(frozen=True, eq=False, repr=False)
class PublishedSplit(Split):
    """A split whose negatives were published with it.

    Message and supervision edges are the training positives.  `labelled` returns the pairs of the
    files in their order, whatever kind of negatives is asked for.

    Parameters
    ----------
    published : mapping of str to Labelled
        For ``train``, ``valid`` and ``test``.  Pairs of a protein with itself may be among them;
        message edges leave them out.
    """

    published: Mapping[str, Labelled] = field(default_factory=dict)

    @classmethod
    def of(
        cls, parts: Mapping[str, Labelled], num_nodes: int, info: dict[str, Any] | None = None
    ) -> PublishedSplit:
        """Make the split of three labelled parts.

        Examples
        --------
        >>> pairs = np.array([[0, 1], [2, 3]])
        >>> part = Labelled(pairs, np.array([True, False]))
        >>> split = PublishedSplit.of({"train": part, "valid": part, "test": part}, 4)
        >>> split.message.tolist(), split.labelled("test").labels.tolist()
        ([[0, 1]], [True, False])
        """
        edges = {name: _edges(part) for name, part in parts.items()}
        held_out = [edges["valid"], edges["test"]]
        return cls(
            kind=PUBLISHED,
            num_nodes=num_nodes,
            message=edges["train"],
            supervision=edges["train"],
            held_out=np.concatenate(held_out),
            held_out_part=np.repeat([Part.VALID, Part.TEST], list(map(len, held_out))).astype(
                np.int8
            ),
            info=info or {},
            published=parts,
        )

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays = super()._arrays()
        for name, part in self.published.items():
            arrays |= {_SAVED.format(name, column): part[i] for i, column in enumerate(_COLUMNS)}
        return arrays

    @classmethod
    def _of_arrays(cls, header: Mapping[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Split:
        parts = {}
        for label in (part.label for part in PARTS):
            found = [arrays.pop(_SAVED.format(label, column), None) for column in _COLUMNS]
            pairs, labels = found
            if pairs is None or labels is None:
                raise ValueError(
                    f"the labelled {label} pairs are missing, which versions until 0.2 left out; "
                    "make the split of its tables again"
                )
            if labels.shape != (len(pairs),) or labels.dtype != bool:
                raise ValueError(f"{len(pairs)} {label} pairs have labels of shape {labels.shape}")
            parts[label] = Labelled(ordered_pairs(pairs, header["num_nodes"]), labels)
        return cls(
            kind=header["kind"], num_nodes=header["num_nodes"], info=header["info"],
            published=parts, **arrays,
        )  # fmt: skip

    def labelled(
        self, part: str | Part, kind: str = PUBLISHED, ratio: float = 1.0, seed: int = 0
    ) -> Labelled:
        """Return the pairs of a part as published; `kind`, `ratio` and `seed` change nothing."""
        return self.published[Part.of(part).label]

    @cached_property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Which proteins occur in a training pair of either label, shape (num_nodes,)."""
        seen = np.zeros(self.num_nodes, bool)
        seen[self.published["train"].pairs.ravel()] = True
        return seen

    @cached_property
    def known(self) -> IntArray:
        """Positives of all parts, shape (k, 2), sorted."""
        return distinct_pairs(
            np.concatenate([_edges(self.published[part.label]) for part in PARTS]), self.num_nodes
        )

    def shared_proteins(self, first: str, second: str) -> IntArray:
        """Return the proteins that occur in both parts."""
        return np.intersect1d(self.published[first].pairs, self.published[second].pairs)

    def shared_pairs(self, first: str, second: str) -> IntArray:
        """Return the pairs that occur in both parts, whatever their labels, shape (n, 2)."""
        one, other = (
            pair_keys(np.sort(self.published[name].pairs, axis=1), self.num_nodes)
            for name in (first, second)
        )
        return np.stack(np.divmod(np.intersect1d(one, other), self.num_nodes), axis=1)


def _edges(part: Labelled) -> IntArray:
    positive = np.sort(part.positives, axis=1)
    return distinct_pairs(positive[positive[:, 0] != positive[:, 1]])
