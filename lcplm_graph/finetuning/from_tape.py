"""TAPE's tasks as examples: secondary structure, fluorescence, stability, remote homology."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.datasets.tape import (
    number_of,
    read_records,
    residue_labels,
    sequence_of,
    tape_family,
)
from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.finetuning.examples import Examples, Proteins
from lcplm_graph.finetuning.target import Kind
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.vocabulary import normal_form

_NUMBERS = {"fluorescence": "log_fluorescence", "stability": "stability_score"}
_LEVELS = {
    "secondary_structure": ("ss3", "ss8"),
    "remote_homology": ("fold", "superfamily", "family"),
}


def is_tape(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a folder with files of one of TAPE's tasks."""
    return Path(path).is_dir()


def tape_examples(folder: str | os.PathLike[str], level: str | None = None) -> Examples:
    """Read all parts of a task that are in a folder; the parts are TAPE's own.

    Parameters
    ----------
    folder : path-like
        As in `lcplm_graph.datasets.tape.read_records`.
    level : str, optional
        ``ss3`` (default) or ``ss8``; ``fold`` (default), ``superfamily`` or ``family``.  Classes
        are called by their numbers, as the files name them.

    Raises
    ------
    ConfigError
        If the task has no such level.
    DataError
        If there are no such files, or a record is faulty.
    """
    family = tape_family(folder)
    if family is None:
        raise DataError(
            "a folder is read as TAPE's, but there is no secondary_structure_<part>, "
            "fluorescence_<part>, stability_<part> or remote_homology_<part> with .lmdb or .json",
            path=folder,
        )
    levels = _LEVELS.get(family, ())
    if level is not None and level not in levels:
        known = f"knows {', '.join(levels)}" if levels else "has none"
        raise ConfigError(f"--level {level}: TAPE's {family} {known}")
    field = level or (levels[0] if levels else _NUMBERS[family])
    kind, label_of = _kind_and_reader(family, field)
    place: dict[str, int] = {}
    rows, names, parts, labels = [], [], [], []
    for part, path, number, record in read_records(folder, family):
        name, sequence = sequence_of(record, path, number)
        labels.append(label_of(record, path, number))
        rows.append(place.setdefault(normal_form(sequence), len(place)))
        names.append(name)
        parts.append(part if part in ("train", "valid", "test") else f"test_{part}")
    parts = [part.replace("test_test_", "test_") for part in parts]
    proteins = Proteins(list(place), np.array(rows, np.int64)[:, None], names, ("primary",))
    values, classes = _numbered(labels, kind, field)
    return Examples(proteins, values, kind, classes, parts)


def _kind_and_reader(family: str, field: str) -> tuple[Kind, Callable[[Any, Path, int], Any]]:
    if family == "secondary_structure":
        return "residue", lambda record, path, number: residue_labels(record, field, path, number)
    if family == "remote_homology":
        return "multiclass", lambda record, path, number: int(
            number_of(record, f"{field}_label", path, number)
        )
    return "regression", lambda record, path, number: number_of(record, field, path, number)


def _numbered(labels: list[Any], kind: Kind, field: str) -> tuple[Any, tuple[str, ...]]:
    """Return labels as arrays, classes counted without gaps, and their names."""
    if kind == "regression":
        return np.array(labels), (field,)
    flat = np.concatenate(labels) if kind == "residue" else np.array(labels, np.int64)
    found = np.unique(flat[flat >= 0])
    names = tuple(str(i) for i in found.tolist())

    def of(values: Any) -> Any:
        return np.where(values >= 0, np.searchsorted(found, values), IGNORE).astype(np.int64)

    return ([of(v) for v in labels] if kind == "residue" else of(flat)), names
