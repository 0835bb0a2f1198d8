"""Read TAPE's remote homology records, LMDB or JSON, without trusting their pickles.

TAPE stores each LMDB value as a Python pickle, and a pickle can run any code when it is loaded.
`read_tape` therefore never calls `pickle.load`: its unpickler resolves a short fixed list of
names. NumPy arrays (alignment profiles that are not needed here) become inert objects, NumPy
scalars are decoded from their bytes, and the byte strings of old protocols are encoded as
Latin-1. Any other name in a pickle is refused with an error.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from lcplm_graph.errors import DataError
from lcplm_graph.files.open import open_stream

#: Parts of TAPE's split and the names of their masks.
TAPE_PARTS = {
    "train": "train_mask",
    "valid": "val_mask",
    "test_fold_holdout": "test_fold_mask",
    "test_superfamily_holdout": "test_superfamily_mask",
    "test_family_holdout": "test_family_mask",
}
_LABELS = ("fold_label", "superfamily_label", "family_label")


def read_tape(folder: str | Path) -> Iterator[tuple[str, str, str, tuple[int, ...]]]:
    """Read the records of all parts that are in a folder.

    Parameters
    ----------
    folder : path-like
        Holds ``remote_homology_<part>.lmdb`` (file or directory) or ``.json``, plain or
        compressed.

    Yields
    ------
    id, sequence, part, labels : str, str, str, tuple of int
        `labels` are fold, superfamily and family.

    Raises
    ------
    DataError
        If no part is there, or a record is damaged, forbidden or incomplete.
    """
    found = False
    for part in TAPE_PARTS:
        for path in _files_of(Path(folder), part):
            found = True
            records = _read_lmdb(path) if ".lmdb" in path.name else _read_json(path)
            for number, record in enumerate(records):
                yield *_unpack(record, path, number), part, _labels(record, path, number)
            break
    if not found:
        raise DataError("no remote_homology_<part>.lmdb or .json here", path=folder)


def _files_of(folder: Path, part: str) -> list[Path]:
    names = (f"remote_homology_{part}{suffix}" for suffix in (".lmdb", ".json", ".json.gz"))
    return [path for name in names if (path := folder / name).exists()]


def _unpack(record: Any, path: Path, number: int) -> tuple[str, str]:
    where = f"{number}"
    if not isinstance(record, dict) or not record.get("primary"):
        raise DataError("the record has no sequence ('primary')", path=path, record=where)
    name, sequence = record.get("id", where), record["primary"]
    name, sequence = (t.decode() if isinstance(t, bytes) else str(t) for t in (name, sequence))
    if not sequence.isalpha() or not sequence.isascii():
        raise DataError("its sequence holds characters that are no letters", path=path, record=name)
    return name, sequence.upper()


def _labels(record: Any, path: Path, number: int) -> tuple[int, ...]:
    try:
        return tuple(int(record[label]) for label in _LABELS)
    except (KeyError, TypeError, ValueError) as error:
        message = f"the labels {', '.join(_LABELS)} must be whole numbers ({error!r})"
        raise DataError(message, path=path, record=str(number)) from None


def _read_json(path: Path) -> Iterator[Any]:
    with open_stream(path) as stream:
        raw = stream.read()
    try:
        records = json.loads(raw)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON ({error.msg})", path=path, line=error.lineno) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError("not UTF-8; convert the file's encoding", path=path, line=line) from None
    if not isinstance(records, list):
        raise DataError("the JSON is no list of records", path=path, line=1)
    yield from records


def _read_lmdb(path: Path) -> Iterator[Any]:
    try:
        environment = lmdb.open(
            str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False
        )
    except lmdb.Error as error:
        raise DataError(f"not an LMDB database ({error})", path=path) from error
    try:
        with environment, environment.begin() as transaction:
            count = _load(transaction.get(b"num_examples"), path, "num_examples")
            if not isinstance(count, int):
                raise DataError("`num_examples` is no number", path=path)
            for number in range(count):
                yield _load(transaction.get(str(number).encode()), path, str(number))
    except lmdb.Error as error:
        raise DataError(f"the LMDB database is damaged ({error})", path=path) from error


def _load(raw: bytes | None, path: Path, record: str) -> Any:
    if raw is None:
        raise DataError("the database lacks this record", path=path, record=record)
    try:
        return _Unpickler(io.BytesIO(raw)).load()
    except Exception as error:  # damaged bytes make the unpickler raise anything
        raise DataError(f"its pickle is refused ({error})", path=path, record=record) from error


class _Inert:
    """Stands for a NumPy object that is not needed: takes all, does nothing."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        """Ignore the content."""


def _scalar(dtype: _Inert, raw: bytes) -> Any:
    code = str(dtype.args[0])
    if code[:1] not in {"i", "u", "f", "b"}:
        raise pickle.UnpicklingError(f"a NumPy scalar of type {code!r} is not allowed")
    return np.frombuffer(raw, np.dtype(code))[0].item()


def _latin1(text: str, _encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


_ALLOWED = {
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): _Inert,
    ("numpy", "dtype"): _Inert,
    **{
        (f"{core}.{module}", name): value
        for core in ("numpy.core", "numpy._core")
        for module, name, value in (
            ("multiarray", "_reconstruct", _Inert),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _Inert),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    """Builds plain containers, text and numbers; the module's docstring says what else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in data") from None
