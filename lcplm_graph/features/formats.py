"""Embedding files: HDF5 as UniProt distributes them, NumPy archives, Parquet.

All writers stream: what they hold in memory does not grow with the number of proteins.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lcplm_graph.apart import try_elsewhere
from lcplm_graph.errors import ConfigError, InputError

_CHUNK_VALUES = 1 << 22
_PIECE = 1 << 24
_LARGEST_IDS = 1 << 32


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of proteins as rows of one matrix, which several proteins may share.

    Attributes
    ----------
    ids : list of str
    values : ndarray, shape=(rows, width)
        Usually memory-mapped; float32 or float16.
    starts : ndarray, dtype=int64, shape=(n,)
        First row of each protein.
    counts : ndarray, dtype=int64, shape=(n,), or None
        Rows of each protein, one per residue; None if each protein is one row.
    info : dict
        How they were made; JSON types only.
    """

    ids: list[str]
    values: np.ndarray
    starts: np.ndarray
    counts: np.ndarray | None
    info: dict[str, Any]

    def __getitem__(self, index: Any) -> np.ndarray:
        start = self.starts[index]
        if self.counts is None:
            return self.values[start]
        return self.values[start : start + self.counts[index]]

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Ranges of proteins of bounded total size."""
        rows = np.ones(len(self.ids), np.int64) if self.counts is None else self.counts
        ends = np.cumsum(rows) * self.values.shape[1] // _CHUNK_VALUES
        cuts = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), len(self.ids)]
        yield from itertools.pairwise(cuts)

    def gather(self, start: int, stop: int) -> np.ndarray:
        """Rows of proteins `start` to ``stop - 1``, one below the other."""
        if self.counts is None:
            return self.values[self.starts[start:stop]]
        return np.concatenate([self[i] for i in range(start, stop)])


def write_h5(path: Path, embeddings: Embeddings) -> None:
    """Write HDF5: one dataset per protein id, shape (width,) or (residues, width).

    The layout of UniProt's embedding files.  How they were made is in the file's attributes.
    Proteins of equal sequence have a dataset each: readers that visit every object once, as
    `h5py.Group.visititems` does, would see one of several links to the same dataset only.
    """
    with open(path, "w+b", buffering=0) as raw:
        kept = _FullDisk(raw)
        with h5py.File(kept, "w", libver="latest") as file:
            file.attrs.update(embeddings.info)
            for i, name in enumerate(embeddings.ids):
                file.create_dataset(name, data=embeddings[i])
                kept.check()
        kept.check()


class _FullDisk(io.RawIOBase):
    """A file for HDF5, which ends the process where the disk is full: the error is kept from it.

    After the first error nothing more is written, and `check` raises it.
    """

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what HDF5 was not told."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        if self._error is None:
            try:
                while rest:
                    rest = rest[self._raw.write(rest) :]
            except OSError as error:
                self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        if self._error is None:
            try:
                self._raw.truncate(size)
            except OSError as error:
                self._error = error
        return self.tell() if size is None else size

    def readinto(self, buffer: Any) -> int:
        return self._raw.readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()


def write_npz(path: Path, embeddings: Embeddings) -> None:
    """Write a NumPy archive of `ids` and `embeddings`.

    `embeddings` has one row per protein; with residues one row per residue, protein after
    protein, and `offsets` (n + 1) tells where each begins.  How they were made is the JSON in
    the comment of the archive.
    """
    total = len(embeddings.ids) if embeddings.counts is None else int(embeddings.counts.sum())
    shape = (total, embeddings.values.shape[1])
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = json.dumps(embeddings.info).encode()
        _write_ids(archive, embeddings.ids)
        if embeddings.counts is not None:
            offsets = np.concatenate([[0], np.cumsum(embeddings.counts)])
            _write_array(archive, "offsets", offsets)
        with archive.open(_member("embeddings"), "w", force_zip64=True) as file:
            _write_header(file, shape, embeddings.values.dtype)
            for start, stop in embeddings.chunks():
                file.write(embeddings.gather(start, stop).tobytes())


def write_parquet(path: Path, embeddings: Embeddings) -> None:
    """Write Parquet with the columns `id` and `embedding`.

    `embedding` is a list of fixed size, with residues a list of such lists.  How they were made
    is the JSON under the key ``lcplm_graph`` of the schema.
    """
    width, dtype = embeddings.values.shape[1], pa.from_numpy_dtype(embeddings.values.dtype)
    row = pa.list_(dtype, width)
    column = row if embeddings.counts is None else pa.large_list(row)
    schema = pa.schema(
        {"id": pa.string(), "embedding": column},
        metadata={"lcplm_graph": json.dumps(embeddings.info)},
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start, stop in embeddings.chunks():
            flat = pa.array(np.ascontiguousarray(embeddings.gather(start, stop)).reshape(-1))
            cells = pa.FixedSizeListArray.from_arrays(flat, width)
            if embeddings.counts is not None:
                offsets = np.concatenate([[0], np.cumsum(embeddings.counts[start:stop])])
                cells = pa.LargeListArray.from_arrays(offsets, cells)
            ids = pa.array(embeddings.ids[start:stop], pa.string())
            writer.write_table(pa.table([ids, cells], schema=schema))


WRITERS: dict[str, Callable[[Path, Embeddings], None]] = {
    ".h5": write_h5,
    ".npz": write_npz,
    ".parquet": write_parquet,
}


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix that tells the format, in small letters as the tables here have it."""
    return Path(path).suffix.lower()


def writer_for(path: str | os.PathLike[str]) -> Callable[[Path, Embeddings], None]:
    """Choose the writer by the suffix of a file.

    Raises
    ------
    ConfigError
        If the suffix is not one of ``.h5``, ``.npz``, ``.parquet``.

    Examples
    --------
    >>> writer_for("proteins.h5").__name__
    'write_h5'
    """
    suffix = format_of(path)
    if suffix not in WRITERS:
        raise ConfigError(f"{path}: embeddings are written as {', '.join(WRITERS)}")
    return WRITERS[suffix]


def info_of(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read how a file of embeddings was made; None if there is none, or it does not say.

    Examples
    --------
    >>> info_of("no/such/file.npz") is None
    True
    """
    path = Path(path)
    try:
        if format_of(path) == ".h5" and path.is_file():
            try_elsewhere(__name__, path)
        info = _READERS[format_of(path)](path)
    except Exception:  # damaged files raise nearly anything, and say nothing
        return None
    return info if isinstance(info, dict) and info else None


def _h5_info(path: str | os.PathLike[str]) -> Any:
    with h5py.File(path) as file:
        return {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in file.attrs.items()
        }


def _npz_info(path: str | os.PathLike[str]) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.comment)


def _parquet_info(path: str | os.PathLike[str]) -> Any:
    return json.loads(pq.read_schema(path).metadata[b"lcplm_graph"])


_READERS: dict[str, Callable[[str | os.PathLike[str]], Any]] = {
    ".h5": _h5_info,
    ".npz": _npz_info,
    ".parquet": _parquet_info,
}


def check_ids(path: str | os.PathLike[str], ids: list[str]) -> None:
    """Raise if the format of `path` cannot name these proteins.

    Raises
    ------
    InputError
        HDF5 takes ``/`` in a name as a folder, and ``.`` as the folder itself; neither HDF5 nor
        NumPy keeps the character NUL; NumPy gives every id of an array the room of the longest.
    """
    suffix = format_of(path)
    if suffix == ".h5":
        bad = [name for name in ids if "/" in name or "\0" in name or name == "."]
        if bad:
            raise InputError(
                f"{len(bad)} ids cannot name a dataset of an HDF5 file, for example {bad[0]!r} "
                "('/' means a folder there); write .npz or .parquet instead"
            )
    if suffix == ".npz":
        bad = [name for name in ids if name.endswith("\0")]
        if bad:
            raise InputError(f"{bad[0]!r} ends in NUL, which NumPy drops; write .parquet instead")
        longest = max(ids, key=len, default="")
        size = 4 * len(longest) * len(ids)
        if size > _LARGEST_IDS:
            raise InputError(
                f"the array of ids would take {size / 1e9:.1f} GB to read, because one has "
                f"{len(longest):,} characters ({longest:.30}...); shorten it, or write .parquet"
            )


def _write_ids(archive: zipfile.ZipFile, ids: list[str]) -> None:
    """Write strings as an array; compressed where most of it is the room of the longest."""
    longest = max(map(len, ids), default=1)
    padded, text = 4 * longest * len(ids), 4 * sum(map(len, ids))
    kind = zipfile.ZIP_DEFLATED if padded > 4 * text + _PIECE else zipfile.ZIP_STORED
    dtype = np.dtype(f"<U{longest}")
    rows = max(1, _PIECE // dtype.itemsize)
    with archive.open(_member("ids", kind), "w", force_zip64=True) as file:
        _write_header(file, (len(ids),), dtype)
        for start in range(0, len(ids), rows):
            file.write(np.array(ids[start : start + rows], dtype).tobytes())


def _write_array(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(_member(name), "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _member(name: str, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    """Describe an array of an archive, without the time, so that equal content is equal bytes."""
    member = zipfile.ZipInfo(f"{name}.npy")
    member.compress_type = compression
    member.external_attr = 0o600 << 16
    return member


def _write_header(file: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_2_0(file, header)


if __name__ == "__main__":
    _h5_info(sys.argv[1])
