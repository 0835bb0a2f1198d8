"""Read TAPE's records, LMDB or JSON, without trusting their pickles.

TAPE (Rao et al. 2019) stores each LMDB value as a Python pickle, which can run any code when it is
loaded; `inert_pickle` reads it without running anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.datasets.inert_pickle import InertArray, inert_loads
from lcplm_graph.datasets.lmdb_values import open_values
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
#: Tasks by the beginning of their files, and the parts of each.
FAMILIES: dict[str, tuple[str, ...]] = {
    "remote_homology": tuple(TAPE_PARTS),
    "secondary_structure": ("train", "valid", "casp12", "ts115", "cb513"),
    "fluorescence": ("train", "valid", "test"),
    "stability": ("train", "valid", "test"),
}
_LABELS = ("fold_label", "superfamily_label", "family_label")


def tape_family(folder: str | PathLike[str]) -> str | None:
    """Return which of TAPE's tasks a folder holds files of; None if there are none.

    Raises
    ------
    DataError
        If there are files of several tasks.
    """
    found = [family for family in FAMILIES if any(True for _ in _files(Path(folder), family))]
    if len(found) > 1:
        raise DataError(
            f"there are files of {' and of '.join(found)}; give a folder with one task's",
            path=folder,
        )
    return found[0] if found else None


def read_records(folder: str | PathLike[str], family: str) -> Iterator[tuple[str, Path, int, Any]]:
    """Read the records of all parts of a task that are in a folder.

    Parameters
    ----------
    folder : path-like
        Holds ``<family>_<part>.lmdb`` (file or directory) or ``.json``, plain or compressed.
    family : str
        One of `FAMILIES`.

    Yields
    ------
    part, path, number, record : str, Path, int, object
        See `sequence_of`, `number_of` and `residue_labels` for what is in a record.

    Raises
    ------
    DataError
        If no part is there, or a file is damaged or forbidden.
    """
    found = False
    for part, path in _files(Path(folder), family):
        found = True
        records = _read_lmdb(path) if ".lmdb" in path.name else _read_json(path)
        for number, record in enumerate(records):
            yield part, path, number, record
    if not found:
        raise DataError(f"no {family}_<part>.lmdb or .json here", path=folder)


def read_tape(folder: str | Path) -> Iterator[tuple[str, str, str, tuple[int, ...]]]:
    """Read the remote homology records of all parts that are in a folder.

    Parameters
    ----------
    folder : path-like
        As in `read_records`.

    Yields
    ------
    id, sequence, part, labels : str, str, str, tuple of int
        `labels` are fold, superfamily and family.

    Raises
    ------
    DataError
        If no part is there, or a record is damaged, forbidden or incomplete.
    """
    for part, path, number, record in read_records(folder, "remote_homology"):
        yield *sequence_of(record, path, number), part, _labels(record, path, number)


def sequence_of(record: Any, path: Path, number: int) -> tuple[str, str]:
    """Return id and sequence of a record; what has no id is called by its number.

    Raises
    ------
    DataError
        If there is no sequence, or one with characters that are not letters.
    """
    where = f"{number}"
    if not isinstance(record, dict) or not record.get("primary"):
        raise DataError("the record has no sequence ('primary')", path=path, record=where)
    name, sequence = record.get("id", where), record["primary"]
    try:
        name, sequence = (t.decode() if isinstance(t, bytes) else str(t) for t in (name, sequence))
    except UnicodeDecodeError:
        raise DataError("its id or sequence is not UTF-8", path=path, record=where) from None
    if not sequence.isalpha() or not sequence.isascii():
        message = "its sequence holds characters that are not letters"
        raise DataError(message, path=path, record=name)
    return name, sequence.upper()


def number_of(record: Any, field: str, path: Path, number: int) -> float:
    """Return a number of a record, which TAPE keeps in an array of one.

    Raises
    ------
    DataError
        If it is missing, or not one finite number.
    """
    values = _array(record, field, path, number)
    if values.size != 1 or not np.isfinite(values).all():
        raise DataError(f"{field!r} is not one finite number", path=path, record=str(number))
    return float(values.ravel()[0])


def residue_labels(record: Any, field: str, path: Path, number: int) -> npt.NDArray[np.int64]:
    """Return the labels of a record's residues, -1 where there is none.

    Raises
    ------
    DataError
        If they are missing, no whole numbers, or not as many as residues.
    """
    values = _array(record, field, path, number)
    length = len(record["primary"])
    if values.shape != (length,):
        raise DataError(
            f"{field!r} has the shape {values.shape} for a protein of {length} residues",
            path=path,
            record=str(number),
        )
    whole = np.asarray(values, np.float64)
    if not np.isfinite(whole).all() or (whole != np.round(whole)).any() or (whole < -1).any():
        raise DataError(f"{field!r} holds no class numbers", path=path, record=str(number))
    return whole.astype(np.int64)


def _array(record: Any, field: str, path: Path, number: int) -> npt.NDArray[Any]:
    value = record.get(field) if isinstance(record, dict) else None
    if isinstance(value, InertArray):
        value = value.decoded()
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if value is None or (not array.size and len(record["primary"])):
        raise DataError(f"{field!r} is missing or holds no numbers", path=path, record=str(number))
    return array


def _files(folder: Path, family: str) -> Iterator[tuple[str, Path]]:
    for part in FAMILIES[family]:
        names = (f"{family}_{part}{suffix}" for suffix in (".lmdb", ".json", ".json.gz"))
        for path in (folder / name for name in names):
            if path.exists():
                yield part, path
                break


def _labels(record: Any, path: Path, number: int) -> tuple[int, ...]:
    try:
        return tuple(int(record[label]) for label in _LABELS)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        message = f"the labels {', '.join(_LABELS)} must be whole numbers ({error!r})"
        raise DataError(message, path=path, record=str(number)) from None


def _read_json(path: Path) -> Iterator[Any]:
    with open_stream(path) as stream:
        raw = stream.read()
    try:
        records = json.loads(raw)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON ({error.msg})", path=path, line=error.lineno) from None
    except RecursionError as error:
        raise DataError(f"not a list of records ({error})", path=path, line=1) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError("not UTF-8; convert the file's encoding", path=path, line=line) from None
    if not isinstance(records, list):
        raise DataError("the JSON is not a list of records", path=path, line=1)
    yield from records


def _read_lmdb(path: Path) -> Iterator[Any]:
    with open_values(path) as values:
        count = _load(values.get(b"num_examples"), path, "num_examples")
        if type(count) is not int:
            raise DataError("`num_examples` is not a whole number", path=path)
        for number in range(count):
            yield _load(values.get(str(number).encode()), path, str(number))


def _load(raw: bytes | None, path: Path, record: str) -> Any:
    if raw is None:
        raise DataError("the database lacks this record", path=path, record=record)
    try:
        return inert_loads(raw)
    except Exception as error:  # damaged bytes make the unpickler raise anything
        raise DataError(f"its pickle is refused ({error})", path=path, record=record) from error
