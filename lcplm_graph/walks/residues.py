"""All proteins of a store as one flat array of token ids."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lcplm_graph.errors import DataError
from lcplm_graph.io import atomic_path
from lcplm_graph.numeric import map_array
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.vocabulary import encode_residues


class ResidueTable(NamedTuple):
    """Residue tokens of many proteins, end to end, without `<cls>` and `<eos>`.

    Attributes
    ----------
    tokens : numpy.ndarray
        uint8 (R,).
    offsets : numpy.ndarray
        int64 (n + 1,); protein i is ``tokens[offsets[i]:offsets[i + 1]]``.

    Examples
    --------
    >>> table = ResidueTable.from_store(SequenceStore.from_records(["a", "b"], ["MKT", "MV"]))
    >>> table.tokens.tolist(), table.offsets.tolist()
    ([20, 15, 11, 20, 7], [0, 3, 5])
    """

    tokens: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Residues per protein, int64 (n,)."""
        return np.diff(self.offsets)

    @classmethod
    def from_store(cls, store: SequenceStore) -> ResidueTable:
        """Encode every protein of a store.

        Raises
        ------
        SequenceError
            If a protein is empty or holds a character that is not a letter.
        """
        return cls._encode(store.ids, store, int(store.lengths.sum()))

    @classmethod
    def _encode(cls, ids: list[str], sequences: Iterable[str], room: int) -> ResidueTable:
        tokens = np.empty(room, np.uint8)
        offsets = np.zeros(len(ids) + 1, np.int64)
        for i, (name, sequence) in enumerate(zip(ids, sequences, strict=True)):
            part = encode_residues(sequence, record=name)
            offsets[i + 1] = offsets[i] + len(part)
            tokens[offsets[i] : offsets[i + 1]] = part
        # A final "*" is not a residue, so fewer tokens than characters may come out.
        return cls(tokens[: offsets[-1]], offsets)

    def save(self, directory: str | PathLike[str]) -> None:
        """Write ``tokens.npy`` and ``offsets.npy``, which `open` maps instead of reading."""
        for name, array in self._asdict().items():
            with atomic_path(Path(directory) / f"{name}.npy") as temporary:
                np.save(temporary, array, allow_pickle=False)

    @classmethod
    def open(cls, directory: str | PathLike[str]) -> ResidueTable:
        """Memory-map what `save` wrote.

        Raises
        ------
        DataError
            If a file is missing or damaged, or the two do not belong together.
        """
        arrays = []
        for name, dtype in (("tokens", np.uint8), ("offsets", np.int64)):
            path = Path(directory) / f"{name}.npy"
            arrays.append(map_array(path, f"delete {directory}", dtype))
            if arrays[-1].ndim != 1:
                raise DataError("a residue table is flat", path=path)
        table = cls(*arrays)
        if not len(table.offsets) or table.offsets[-1] != len(table.tokens):
            raise DataError("tokens.npy and offsets.npy do not belong together", path=directory)
        return table
