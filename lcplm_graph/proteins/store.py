"""Protein sequences on disk: one memory-mapped Arrow IPC file, read without copying.

The file has the columns `id`, `sequence` and `description` and is an ordinary Arrow IPC
("Feather v2") file, so pandas, Polars, DuckDB, Ray and Spark read it too.
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.files.open import check_is_file
from lcplm_graph.io import atomic_path, warn_once
from lcplm_graph.proteins.digests import sequence_digests
from lcplm_graph.proteins.fasta import SCHEMA, line_of_record, read_fasta
from lcplm_graph.proteins.ids import match_by_accession
from lcplm_graph.proteins.residues import check_columns, checked_residues
from lcplm_graph.strings import string_list

# Other fields of UniProt's headers, such as PE=1, may follow; a gene name has no blanks.
_GENE = re.compile(r"(?:^|\s)GN=(\S+)")

Text = TypeVar("Text", str, list[str])


class SequenceStore:
    """Proteins in a fixed order, held by Arrow in memory or memory-mapped from a file.

    Parameters
    ----------
    table : pyarrow.Table
        Columns `id`, `sequence`, `description`; ids are unique.

    Examples
    --------
    >>> store = SequenceStore.from_records(["a", "b"], ["MKT", "MV"])
    >>> store[1], store.ids, store.lengths.tolist()
    ('MV', ['a', 'b'], [3, 2])
    >>> store.select([1]).ids
    ['b']
    """

    def __init__(self, table: pa.Table) -> None:
        missing = [name for name in ("id", "sequence") if name not in table.column_names]
        if missing:
            raise InputError(f"a sequence table needs the column(s) {', '.join(missing)}")
        if "description" not in table.column_names:
            empty = pa.array([""] * table.num_rows, pa.large_string())
            table = table.append_column("description", empty)
        self._table = table.select(SCHEMA.names).cast(SCHEMA)

    @classmethod
    def from_fasta(
        cls, path: str | os.PathLike[str], arrow_path: str | os.PathLike[str] | None = None
    ) -> SequenceStore:
        """Read a FASTA file (plain, gzip, zstd, bz2 or xz).

        Parameters
        ----------
        path : path-like
            The FASTA file.
        arrow_path : path-like, optional
            Write the records there on the way, batch by batch, and memory-map the result:
            for files that do not fit in memory.

        Raises
        ------
        DataError
            As `read_fasta`, and for an id that occurs twice.
        """
        if arrow_path is None:
            store = cls(pa.Table.from_batches(list(read_fasta(path)), schema=SCHEMA))
            if name := store._repeated_id():
                raise _repeated_in_fasta(name, path)
            return store
        return cls.from_batches(
            read_fasta(path), arrow_path, lambda name: _repeated_in_fasta(name, path)
        )

    @classmethod
    def from_batches(
        cls,
        batches: Iterable[pa.RecordBatch],
        arrow_path: str | os.PathLike[str],
        repeated: Callable[[str], DataError],
    ) -> SequenceStore:
        """Write record batches one after the other to `arrow_path`, and memory-map the result.

        An id that occurs twice is refused with the error that `repeated` makes of it.
        """
        with atomic_path(arrow_path) as temporary:
            with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            if name := cls.open(temporary)._repeated_id():
                raise repeated(name)
        return cls.open(arrow_path)

    @classmethod
    def from_records(
        cls,
        ids: Iterable[str],
        sequences: Iterable[str],
        descriptions: Iterable[str] | None = None,
    ) -> SequenceStore:
        """Make a store of ids and sequences held in memory, in their normal form.

        Raises
        ------
        InputError
            If the lengths differ, something is not a string, an id occurs twice or holds a line
            break, or a sequence is empty, only gaps, or holds a character that is not a letter.
        """
        names = string_list(ids, "ids")
        residues = string_list(sequences, records=names)
        texts = [""] * len(names)
        if descriptions is not None:
            texts = string_list(descriptions, "descriptions")
        if not len(names) == len(residues) == len(texts):
            raise InputError(
                f"{len(names)} ids, {len(residues)} sequences and {len(texts)} descriptions; "
                "each protein has one of each"
            )
        broken = next((name for name in names if "\n" in name or "\r" in name), None)
        if broken is not None:
            raise InputError(
                f"the id {broken!r:.50} holds a line break, which breaks every table; leave it out"
            )
        if len(set(names)) != len(names):
            raise InputError(f"the id {_first_repeated(names)!r} occurs more than once")
        try:
            normal, replaced = checked_residues(names, pa.array(residues, pa.large_string()))
        except DataError as error:
            raise InputError(str(error)) from None
        if replaced:
            warn_once(f"residues outside the alphabet read as X: {replaced}")
        return cls(pa.table([names, normal, texts], schema=SCHEMA))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> SequenceStore:
        """Memory-map an Arrow IPC file; nothing is read before it is asked for.

        Raises
        ------
        DataError
            If the file is missing, damaged, or not Arrow IPC.
        """
        try:
            # The reader keeps the map alive through the buffers of the table.
            table = pa.ipc.open_file(pa.memory_map(str(check_is_file(path)))).read_all()
            check_columns(
                table.select([n for n in table.column_names if n != "sequence"]), text=True
            )
            # All sequences are not read to open a store: their text is looked at when asked for.
            check_columns(table, text=False)
            _check_present(table)
            return cls(table)
        except (pa.ArrowException, OSError, InputError, UnicodeDecodeError) as error:
            raise DataError(f"not an Arrow file of sequences ({error})", path=path) from error

    def save(self, path: str | os.PathLike[str], compression: str | None = None) -> Path:
        """Write an Arrow IPC file, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file, by custom ``.arrow``.
        compression : {None, "zstd", "lz4"}
            A compressed file is smaller but is read into memory rather than mapped.
        """
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with (
            atomic_path(path) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, SCHEMA, options=options) as writer,
        ):
            writer.write_table(self._table)
        return Path(path)

    @property
    def table(self) -> pa.Table:
        """The Arrow table itself, for pandas, Polars, DuckDB and Ray."""
        return self._table

    @cached_property
    def ids(self) -> list[str]:
        """Identifiers in order."""
        return self._table["id"].to_pylist()

    @cached_property
    def descriptions(self) -> list[str]:
        """What the headers say behind the identifiers, in order."""
        return self._table["description"].to_pylist()

    @property
    def gene_names(self) -> list[str]:
        """Gene names of UniProt's headers (``GN=TP53``), in order; empty where there is none.

        Examples
        --------
        >>> SequenceStore.from_records(["P1"], ["MKT"], ["Some protein OX=9606 GN=ABC1"]).gene_names
        ['ABC1']
        """
        found = (_GENE.search(text) for text in self.descriptions)
        return [match[1] if match else "" for match in found]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Residues per protein, int64 of shape (n,)."""
        return pc.binary_length(self._table["sequence"]).to_numpy().astype(np.int64)

    def __len__(self) -> int:
        return self._table.num_rows

    def __getitem__(self, index: int) -> str:
        try:
            index = operator.index(index)
        except TypeError:
            raise InputError(
                f"a store gives the sequence of a protein's number, not of {index!r:.60}; "
                "store.index_of(ids) finds numbers, store.select(rows) takes several"
            ) from None
        if not -len(self) <= index < len(self):
            raise IndexError(f"protein {index} of a store of {len(self)}")
        return self._read(lambda: self._table["sequence"][index % len(self)].as_py())

    def __iter__(self) -> Iterator[str]:
        for chunk in self._table["sequence"].chunks:
            for start in range(0, len(chunk), 4096):
                yield from self._read(chunk.slice(start, 4096).to_pylist)

    def __repr__(self) -> str:
        return f"SequenceStore({len(self)} proteins, {int(self.lengths.sum())} residues)"

    def index_of(self, ids: str | Iterable[str]) -> np.ndarray:
        """Positions of ids.

        Parameters
        ----------
        ids : str or iterable of str
            Identifiers to look up.

        Returns
        -------
        ndarray, dtype=int64, shape=(n,)
            Position of each id, -1 where it is not in the store.
        """
        wanted = pa.array(
            [ids] if isinstance(ids, str) else string_list(ids, "ids"), pa.large_string()
        )
        found = pc.index_in(wanted, value_set=self._table["id"].combine_chunks())
        return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)

    def match(self, ids: Iterable[str], where: str = "") -> np.ndarray:
        """Positions of ids, by accession where no full id is there; see `match_by_accession`.

        Parameters
        ----------
        ids : iterable of str
            In any usual spelling: ``P12345`` finds ``sp|P12345|AATM_RABIT``.
        where : str
            What joins them, for the warning that counts the ids matched so.

        Returns
        -------
        ndarray, dtype=int64, shape=(n,)
            -1 where nothing is found, or several rows are.
        """
        wanted = string_list(ids, "ids")
        rows = self.index_of(wanted)
        return match_by_accession(self.ids, wanted, rows, where) if (rows < 0).any() else rows

    def select(self, indices: Sequence[int] | np.ndarray) -> SequenceStore:
        """Give the proteins at `indices` (integers or a mask of length n), in that order."""
        if not hasattr(indices, "__array__") and not isinstance(indices, Iterable):
            raise InputError(f"proteins are chosen by whole numbers or a mask, not {indices!r:.60}")
        is_array = hasattr(indices, "__array__") or isinstance(indices, Sequence)
        rows = np.asarray(indices if is_array else list(indices))
        if not rows.size:
            rows = rows.astype(np.int64)
        if rows.ndim != 1 or rows.dtype.kind not in "biu" or isinstance(indices, (set, frozenset)):
            raise InputError(f"proteins are chosen by whole numbers or a mask, not {indices!r:.60}")
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise InputError(f"a mask over {len(self)} proteins has shape {rows.shape}")
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise InputError(
                f"indices run from 0 to {len(self) - 1}, got {rows.min()} to {rows.max()}"
            )
        return SequenceStore(self._table.take(rows))

    @staticmethod
    def _read(read: Callable[[], Text]) -> Text:
        try:
            return read()
        except UnicodeDecodeError as error:
            raise DataError(f"the store of sequences is damaged ({error}); make it anew") from None

    def _repeated_id(self) -> str | None:
        if pc.count_distinct(self._table["id"]).as_py() == len(self):
            return None
        return _first_repeated(self.ids)

    def digests(self) -> np.ndarray:
        """Return `sequence_digests` of all sequences: uint64, shape (n,)."""
        return sequence_digests(self)


def read_fasta_files(paths: Sequence[str | os.PathLike[str]]) -> SequenceStore:
    """Join FASTA files; an id may come again with the same sequence.

    Raises
    ------
    DataError
        As `SequenceStore.from_fasta`, and if an id has two sequences.
    """
    sequences: dict[str, str] = {}
    texts: dict[str, str] = {}
    for path in paths:
        store = SequenceStore.from_fasta(path)
        for name, sequence in zip(store.ids, store, strict=True):
            if sequences.setdefault(name, sequence) != sequence:
                raise DataError(
                    "another FASTA file has another sequence under this id", path=path, record=name
                )
        texts |= dict(zip(store.ids, store.descriptions, strict=True))
    return SequenceStore.from_records(sequences.keys(), sequences.values(), texts.values())


def _check_present(table: pa.Table) -> None:
    """Raise `InputError` if ids or sequences are missing or not text; looks at no row."""
    for name in ("id", "sequence"):
        if name not in table.column_names:
            continue
        column = table[name]
        if column.null_count:
            raise InputError(f"{column.null_count} values of the column {name!r} are missing")
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InputError(f"the column {name!r} is of type {kind}, not text")


def _repeated_in_fasta(name: str, path: str | os.PathLike[str]) -> DataError:
    return DataError(
        f"the id was there before, at line {line_of_record(path, name)}; ids must be unique",
        path=path,
        line=line_of_record(path, name, occurrence=2),
        record=name,
    )


def _first_repeated(ids: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no id is repeated")
