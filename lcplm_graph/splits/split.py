"""`Split`: which pairs may be walked over, learned from, and are held out.

The kinds of split and what each one proves are explained in docs/splits.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import DataError, InputError, LeakageError
from lcplm_graph.io import atomic_path, json_bytes
from lcplm_graph.pairs import IntArray, is_in, pair_keys
from lcplm_graph.splits.negatives import sample_negatives
from lcplm_graph.splits.parts import Part
from lcplm_graph.splits.sets import PUBLISHED, EdgeSets
from lcplm_graph.strings import as_path, string_list

#: Kinds whose held-out pairs must not share a protein with training.
DISJOINT_KINDS = ("C3", "cluster", "species")
_FORMAT = 1


class Labelled(NamedTuple):
    """Pairs and whether they interact.

    Attributes
    ----------
    pairs : ndarray, dtype=int64, shape=(n, 2)
    labels : ndarray, dtype=bool, shape=(n,)
    """

    pairs: IntArray
    labels: npt.NDArray[np.bool_]

    @property
    def positives(self) -> IntArray:
        """The pairs that interact."""
        return self.pairs[self.labels]


@dataclass(frozen=True, eq=False)
class Split(EdgeSets):
    """Three named edge sets of one graph, canonical pairs i < j.

    Rows are sorted on construction, the arrays that belong to them with them.

    Parameters
    ----------
    kind : str
        `random`, `C1`, `C2`, `C3`, `node`, `cluster`, `species`, `temporal` or `published`.
    num_nodes : int
    message : ndarray, dtype=int64, shape=(m, 2)
        Walks and message passing may use these.
    supervision : ndarray, dtype=int64, shape=(s, 2)
        Positives of the training loss; equal to `message`, or disjoint from it.
    held_out : ndarray, dtype=int64, shape=(h, 2)
        Pairs that nothing but evaluation may see.
    held_out_part : ndarray, dtype=int8, shape=(h,)
        0 = valid, 1 = test.
    message_weight : ndarray, dtype=float32, shape=(m,), optional
        Confidence in [0, 1].
    dropped : ndarray, dtype=int64, shape=(d, 2), optional
        Known positives in no set, for example those across the border of a `C3` split.
        Evaluation negatives avoid them.
    node_part : ndarray, dtype=int8, shape=(num_nodes,), optional
        -1 = train, 0 = valid, 1 = test, -2 = in no part; None if pairs, not proteins, were split.
    info : dict, optional
        Options and counts of how the split was made; JSON types only.

    Attributes
    ----------
    held_out_class : ndarray, dtype=int8, shape=(h,)
        1, 2, 3 = C1, C2, C3 of Park & Marcotte (2012): both, one, none of a pair's proteins
        occur in a training pair.

    Raises
    ------
    UnknownNameError
        If there is no such kind, of which `check` could not tell what to prove.
    InputError
        If an array has the wrong shape or type, or a pair is not a pair of two existing proteins.

    Examples
    --------
    >>> split = Split("random", 4, [[0, 1], [2, 1]], [[0, 1], [1, 2]], [[0, 3]], [1])
    >>> split.message.tolist(), split.held_out_class.tolist()
    ([[0, 1], [1, 2]], [2])
    >>> split.check().counts()["test"]
    1
    """

    def __repr__(self) -> str:
        sets = ("message", "supervision", "valid", "test", "dropped")
        counts = self.counts()
        shown = ", ".join(f"{counts[name]} {name}" for name in sets)
        return f"{type(self).__name__}({self.kind!r}, {self.num_nodes} proteins; pairs: {shown})"

    def negatives(
        self, part: str | Part, kind: str = "stub_matched", ratio: float = 1.0, seed: int = 0
    ) -> IntArray:
        """Draw pairs not known to interact; see `lcplm_graph.splits.negatives`.

        Parameters
        ----------
        part : {"train", "valid", "test"}
        kind : {"stub_matched", "uniform", "hard"}
        ratio : float
            Negatives per positive of the part, within each C class.
        seed : int

        Returns
        -------
        ndarray, dtype=int64, shape=(n, 2)

        Raises
        ------
        InputError
            If the graph is too small or too dense for half of them.
        """
        return sample_negatives(self, part, kind, ratio, seed)

    def labelled(
        self, part: str | Part, kind: str = "stub_matched", ratio: float = 1.0, seed: int = 0
    ) -> Labelled:
        """Return the positives of a part, then negatives drawn as `negatives` does."""
        positives = self.positives(part)
        pairs = np.concatenate([positives, self.negatives(part, kind, ratio, seed)])
        return Labelled(pairs, np.arange(len(pairs)) < len(positives))

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over kind, number of nodes and the sorted pairs of every set, in hex.

        It does not depend on the order in which pairs were given, nor on the machine.
        """
        digest = hashlib.sha256(f"lcplm split {_FORMAT} {self.kind} {self.num_nodes}".encode())
        sets = {
            "message": self.message,
            "supervision": self.supervision,
            "valid": self.positives("valid"),
            "test": self.positives("test"),
            "dropped": self.dropped,
        }
        for name, pairs in sets.items():
            digest.update(f" {name} {len(pairs)} ".encode())
            digest.update(pairs.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def weights_sha256(self) -> str | None:
        """Sha256 of the weights of message edges, in hex, which `fingerprint` leaves out."""
        if self.message_weight is None:
            return None
        return hashlib.sha256(self.message_weight.astype("<f4").tobytes()).hexdigest()

    def check(self, protein_id: Iterable[str] | None = None) -> Split:
        """Raise if training and held-out sets share what they must not; else return the split.

        Parameters
        ----------
        protein_id : iterable of str, optional
            Names for the error message; node numbers otherwise.

        Raises
        ------
        InputError
            If `supervision` is neither equal to `message` nor disjoint from it.
        LeakageError
            If a held-out pair is also a training pair, a pair occurs twice in a set, a pair is
            in valid and test, or, in a `C3`, `cluster` or `species` split, a held-out protein
            occurs in training or in both held-out parts. The message names the pair.
        """
        name = _Names(protein_id, self.num_nodes)
        train, held_out = (pair_keys(p, self.num_nodes) for p in (self.train, self.held_out))
        twice = np.flatnonzero(held_out[1:] == held_out[:-1])
        if len(twice):
            raise LeakageError(f"pair {name(self.held_out[twice[0]])} is held out twice")
        for label in ("message", "supervision"):
            keys = pair_keys(getattr(self, label), self.num_nodes)
            if (keys[1:] == keys[:-1]).any():
                row = int(np.argmax(keys[1:] == keys[:-1]))
                raise LeakageError(f"pair {name(getattr(self, label)[row])} is twice in {label}")
        self._check_supervision(name)
        both = is_in(held_out, train)
        if both.any():
            raise LeakageError(
                f"{int(both.sum())} held-out pairs are training pairs too, for example "
                f"{name(self.held_out[np.argmax(both)])}; split the graph again"
            )
        if self.kind in DISJOINT_KINDS:
            self._check_proteins(name)
        return self

    def _check_supervision(self, name: _Names) -> None:
        message, supervision = (
            pair_keys(pairs, self.num_nodes) for pairs in (self.message, self.supervision)
        )
        shared = is_in(supervision, message)
        if shared.any() and not np.array_equal(message, supervision):
            raise InputError(
                f"{int(shared.sum())} of {len(supervision)} supervision pairs are message pairs, "
                f"for example {name(self.supervision[np.argmax(shared)])}; let the two be equal or "
                "share none"
            )

    def _check_proteins(self, name: _Names) -> None:
        wrong = self.held_out_class != 3
        if wrong.any():
            raise LeakageError(
                f"{int(wrong.sum())} held-out pairs of this {self.kind} split have a protein "
                f"that training saw, for example {name(self.held_out[np.argmax(wrong)])}"
            )
        in_valid = np.zeros(self.num_nodes, bool)
        in_valid[self.positives("valid").ravel()] = True
        test = self.positives("test")
        shared = in_valid[test].any(axis=1)
        if shared.any():
            raise LeakageError(
                f"{int(shared.sum())} test pairs have a protein of a validation pair, for "
                f"example {name(test[np.argmax(shared)])}"
            )

    def save(self, path: str | PathLike[str]) -> Path:
        """Write `path`.json (kind, counts, fingerprint) and `path`.npz (arrays); no pickle.

        A suffix `.json` or `.npz` of `path` is left off first. Returns the JSON file's path.

        Raises
        ------
        InputError
            If `info` holds what JSON cannot; files of this name stay as they were.
        WriteError
            If the disk is full or the folder may not be written.
        """
        json_path, npz_path = _paths(path)
        header = {
            "format": _FORMAT,
            "kind": self.kind,
            "num_nodes": self.num_nodes,
            "fingerprint": self.fingerprint,
            "counts": self.counts(),
            "info": self.info,
        }
        written = json_bytes(header, json_path)
        # Both are whole before one takes the place of what is there.
        with atomic_path(json_path) as new_json, atomic_path(npz_path) as new_npz:
            new_json.write_bytes(written)
            np.savez_compressed(new_npz, allow_pickle=False, **self._arrays())
        return json_path

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is saved beside kind and number of proteins."""
        names = ("message", "supervision", "held_out", "held_out_part", "dropped")
        beside = ("message_weight", "node_part")
        given = [name for name in beside if getattr(self, name) is not None]
        return {name: getattr(self, name) for name in (*names, *given)}

    @classmethod
    def _of_arrays(cls, header: Mapping[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Split:
        """Make a split of what was saved."""
        return cls(
            kind=header["kind"], num_nodes=header["num_nodes"], info=header["info"], **arrays
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Split:
        """Read what `save` wrote; a published split is a `PublishedSplit` again.

        Raises
        ------
        DataError
            If a file is missing, damaged, or the two files do not belong together.
        """
        json_path, npz_path = _paths(path)
        try:
            header = json.loads(json_path.read_text(encoding="utf-8"))
            with np.load(npz_path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            split = _class_of(header["kind"])._of_arrays(header, arrays)
            expected = header["fingerprint"]
        except FileNotFoundError as error:
            raise DataError(
                "a saved split is this file and its partner; one is missing", path=error.filename
            ) from error
        except Exception as error:
            raise DataError(f"this is not a saved split ({error})", path=json_path) from error
        if split.fingerprint != expected:
            raise DataError("the pairs are not those that the JSON file describes", path=npz_path)
        return split


def _class_of(kind: str) -> type[Split]:
    if kind != PUBLISHED:
        return Split
    # Imported here: it is made of the class above.
    from lcplm_graph.splits.published import PublishedSplit

    return PublishedSplit


class _Names:
    """Write a pair with the proteins' names, or their numbers where there are none."""

    def __init__(self, protein_id: Iterable[str] | None, num_nodes: int) -> None:
        self.protein_id = None if protein_id is None else string_list(protein_id, "protein_id")
        if self.protein_id is not None and len(self.protein_id) != num_nodes:
            raise InputError(f"{len(self.protein_id)} names for {num_nodes} proteins")

    def __call__(self, pair: IntArray) -> str:
        ends = [int(i) if self.protein_id is None else self.protein_id[int(i)] for i in pair]
        return f"({ends[0]}, {ends[1]})"


def _paths(path: str | PathLike[str]) -> tuple[Path, Path]:
    path = as_path(path)
    stem = path.with_suffix("") if path.suffix in (".json", ".npz") else path
    return stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".npz")
