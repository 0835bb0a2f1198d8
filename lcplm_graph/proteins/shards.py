"""Sequences from Arrow and Parquet files: one, or a folder of them in the order of their names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import DataError
from lcplm_graph.files.open import check_is_file
from lcplm_graph.io import sha256_of, warn_once
from lcplm_graph.proteins.fasta import SCHEMA
from lcplm_graph.proteins.residues import check_columns, checked_residues
from lcplm_graph.proteins.store import SequenceStore

FORMATS = {".parquet": "parquet", ".arrow": "ipc", ".feather": "ipc"}
_ROWS = 1 << 14


def sequence_files(path: str | os.PathLike[str]) -> list[Path]:
    """List the files a path of sequences stands for: itself, or the shards in a folder.

    Raises
    ------
    DataError
        If there is no such file, a pipe, or no Arrow or Parquet file in the folder.
    """
    path = Path(path)
    if not path.is_dir():
        return [check_is_file(path)]
    files = sorted(file for file in path.iterdir() if file.suffix in FORMATS)
    if not files:
        raise DataError(f"no file in this folder ends in {', '.join(FORMATS)}", path=path)
    return files


def content_sha256(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file, or of the hashes of a folder's shards."""
    files = sequence_files(path)
    if files == [Path(path)]:
        return sha256_of(path)
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def store_sequences(
    path: str | os.PathLike[str], arrow_path: str | os.PathLike[str]
) -> SequenceStore:
    """Write the proteins of FASTA, or of Arrow or Parquet shards, as one memory-mapped store.

    Parameters
    ----------
    path : path-like
        FASTA (plain, gzip, zstd, bz2, xz); ``.parquet``, ``.arrow`` or ``.feather`` with the
        columns `id` and `sequence` and, optionally, `description`; or a folder of such files.
    arrow_path : path-like
        The store; written batch by batch.

    Returns
    -------
    SequenceStore

    Raises
    ------
    DataError
        If there is no protein, a column is missing, an id is missing or there twice, or a
        sequence is empty or holds a character that is not a letter, with file and record.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in "ab":
    ...     store = SequenceStore.from_records([name], ["mkt" + name])
    ...     _ = store.save(folder / f"{name}.arrow")
    >>> list(store_sequences(folder, folder / "all" / "sequences.arrow"))
    ['MKTA', 'MKTB']
    """
    files = sequence_files(path)
    if files[0].suffix not in FORMATS:
        return SequenceStore.from_fasta(path, arrow_path)
    return SequenceStore.from_batches(
        _not_empty((batch for file in files for batch in _read(file)), path),
        arrow_path,
        lambda name: DataError(
            "the id occurs more than once; ids must be unique", path=path, record=name
        ),
    )


def _not_empty(
    batches: Iterator[pa.RecordBatch], path: str | os.PathLike[str]
) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        rows += len(batch)
        yield batch
    if not rows:
        raise DataError("there is no protein in it", path=path)


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.dataset as ds  # takes pandas along, which a FASTA file has no use for

    try:
        shard = ds.dataset(path, format=FORMATS[path.suffix])
        missing = {"id", "sequence"} - set(shard.schema.names)
        if missing:
            raise DataError(f"there is no column {', '.join(sorted(missing))}", path=path)
        columns = [name for name in SCHEMA.names if name in shard.schema.names]
        for batch in shard.to_batches(columns=columns, batch_size=_ROWS):
            check_columns(batch, text=True)
            yield _checked(batch, path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"not a readable shard of sequences ({error})", path=path) from error


def _checked(batch: pa.RecordBatch, path: Path) -> pa.RecordBatch:
    ids = batch.column("id").cast(pa.large_string())
    sequences = batch.column("sequence").cast(pa.large_string())
    if ids.null_count or sequences.null_count:
        raise DataError("an id or a sequence is missing (null)", path=path)
    if pc.any(pc.equal(pc.utf8_trim_whitespace(ids), "")).as_py():
        raise DataError("an id is empty", path=path)
    try:
        normal, replaced = checked_residues(ids.to_pylist(), sequences)
    except DataError as error:
        raise error.within(path) from None
    if replaced:
        warn_once(f"{path}: residues outside the alphabet read as X: {replaced}")
    if "description" in batch.schema.names:
        texts = pc.fill_null(batch.column("description").cast(pa.large_string()), "")
    else:
        texts = pa.array([""] * len(ids), pa.large_string())
    return pa.record_batch([ids, normal, texts], schema=SCHEMA)
