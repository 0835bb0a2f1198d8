"""Labels as they stand in a table: which kind they are, and as arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import DataError
from lcplm_graph.finetuning.table import Table, is_nothing
from lcplm_graph.finetuning.target import Kind
from lcplm_graph.numeric import is_number
from lcplm_graph.tokens.masking import IGNORE

SEPARATOR = ";"
UNKNOWN = "?"
_POSITIVE = ("1", "true", "yes", "positive", "pos", "+", "interacting", "binding", "soluble")
_WORDS = re.compile(r"[\s,;]+")

Labels = npt.NDArray[Any] | list[npt.NDArray[np.int64]]
"""Numbers (n,), classes (n,), rows of bool (n, names), or an array of classes for each protein."""


def infer_kind(cells: Sequence[str], lengths: Sequence[int] | None) -> Kind:
    """Find out what the labels of a column are.

    Parameters
    ----------
    cells : sequence of str
    lengths : sequence of int, optional
        Of the proteins; None for pairs.

    Examples
    --------
    >>> infer_kind(["0.5", "2"], [9, 9]), infer_kind(["0", "1", "1"], [9, 9, 9])
    ('regression', 'binary')
    >>> infer_kind(["HHE", "CC"], [3, 2]), infer_kind(["a", "b", "c"], [9, 8, 9])
    ('residue', 'multiclass')
    """
    given = [cell for cell in cells if not is_nothing(cell)]
    classes = set(given)
    if (
        lengths is not None
        and min(lengths) > 1
        and len(given) == len(cells)
        and all(_count(c, n) == n for c, n in zip(cells, lengths, strict=True))
    ):
        return "residue"
    if any(SEPARATOR in cell for cell in given):
        return "multilabel"
    if all(map(is_number, given)):
        return "binary" if classes <= {"0", "1"} else "regression"
    return "binary" if len(classes) == 2 else "multiclass"


def read_labels(
    table: Table, columns: Sequence[str], kind: Kind, lengths: Sequence[int]
) -> tuple[Labels, tuple[str, ...]]:
    """Read the labels of all rows.

    Parameters
    ----------
    table : Table
    columns : sequence of str
        One; or several of 0 and 1 for multilabel.
    kind : str
    lengths : sequence of int
        Of the proteins, for labels of residues.

    Returns
    -------
    labels : see `Labels`
    names : tuple of str
        Of classes or labels.

    Raises
    ------
    DataError
        With row and column: a label that is missing or not what the kind needs; without: only one
        class.
    """
    cells = [table.column(name, "labels") for name in columns]
    if len(columns) > 1:
        return np.stack([_flags(table, c) for c in columns], axis=1), tuple(columns)
    (name,), (texts,) = columns, cells
    if kind != "multilabel":
        for row, text in enumerate(texts):
            if is_nothing(text):
                shown = f"missing ({text})" if text else "missing"
                raise table.error(f"the label is {shown}; remove the row", row, name)
    if kind == "regression":
        return _numbers(table, name), (name,)
    if kind == "multilabel":
        return _many(table, name)
    if kind == "residue":
        return _residues(table, name, lengths)
    return _classes(table, name, kind)


def of_rows(values: Any, rows: npt.NDArray[np.int64]) -> Any:
    """Return the labels, or answers, of some rows, in the form they have."""
    if isinstance(values, list):
        return [values[row] for row in rows.tolist()]
    return values[rows]


def flat(values: Any) -> npt.NDArray[Any]:
    """Return labels, or answers, as one array; those of residues protein after protein."""
    return np.concatenate(values) if isinstance(values, list) else values


def _numbers(table: Table, name: str) -> npt.NDArray[np.float64]:
    values = np.empty(len(table))
    for row, text in enumerate(table.columns[name]):
        if not is_number(text):
            raise table.error(
                f"{text!r:.40} is not a number, which regression needs; for classes give "
                "--task multiclass",
                row,
                name,
            )
        values[row] = float(text)
        if not math.isfinite(values[row]):
            raise table.error(f"the label {text} is not finite; remove the row", row, name)
    if (values == values[0]).all():
        raise DataError(
            f"column {name!r} holds the same number in all {len(values)} rows, so there is nothing "
            "to learn",
            path=table.path,
        )
    return values


def _classes(table: Table, name: str, kind: Kind) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    texts = table.columns[name]
    classes = sorted(set(texts), key=lambda c: (c.lower() in _POSITIVE, _natural(c)))
    if len(classes) < 2:
        raise DataError(
            f"column {name!r} holds one class only, {classes[0]!r}, so there is nothing to learn",
            path=table.path,
        )
    if kind == "binary" and len(classes) > 2:
        row = texts.index(classes[2])
        raise table.error(
            f"{texts[row]!r:.40} is a third class beside {classes[0]!r} and {classes[1]!r}; "
            "binary has two, for more give --task multiclass",
            row,
            name,
        )
    if kind == "multiclass" and len(classes) > max(2, len(texts) // 2):
        raise DataError(
            f"column {name!r} holds {len(classes)} different labels in {len(texts)} rows, too many "
            "for classes; are they numbers (--task regression) or lists (--task multilabel)?",
            path=table.path,
        )
    number = {c: i for i, c in enumerate(classes)}
    return np.array([number[t] for t in texts], np.int64), tuple(classes)


def _many(table: Table, name: str) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    rows = [
        {part.strip() for part in text.split(SEPARATOR) if part.strip()}
        for text in table.columns[name]
    ]
    names = sorted(set().union(*rows), key=_natural)
    if len(names) < 2:
        found = f"the one label {names[0]!r}" if names else "no label"
        raise DataError(
            f"column {name!r} holds {found}; multilabel needs two or more, with {SEPARATOR} "
            "between those of a row",
            path=table.path,
        )
    place = {label: i for i, label in enumerate(names)}
    labels = np.zeros((len(rows), len(names)), bool)
    for row, parts in enumerate(rows):
        labels[row, [place[part] for part in parts]] = True
    return labels, tuple(names)


def _flags(table: Table, name: str) -> npt.NDArray[np.bool_]:
    for row, text in enumerate(table.columns[name]):
        if text not in ("0", "1"):
            raise table.error(
                f"{text!r:.40} is neither 0 nor 1, which each of several label columns holds",
                row,
                name,
            )
    return np.array([text == "1" for text in table.columns[name]])


def _residues(
    table: Table, name: str, lengths: Sequence[int]
) -> tuple[list[npt.NDArray[np.int64]], tuple[str, ...]]:
    split: list[Sequence[str]] = []
    for row, (text, length) in enumerate(zip(table.columns[name], lengths, strict=True)):
        found = _count(text, length)
        if found != length:
            raise table.error(
                f"{found} residue labels for a protein of {length} residues; there is a letter, or "
                f"a word with blanks between, for each, {UNKNOWN} where it is not known",
                row,
                name,
            )
        split.append(text if len(text) == length else _WORDS.split(text))
    names = sorted({label for labels in split for label in labels} - {UNKNOWN}, key=_natural)
    if len(names) < 2:
        raise DataError(
            f"column {name!r} holds one class of residues only, {''.join(names)!r}, so there is "
            "nothing to learn",
            path=table.path,
        )
    number = {label: i for i, label in enumerate(names)} | {UNKNOWN: IGNORE}
    return [np.array([number[c] for c in labels], np.int64) for labels in split], tuple(names)


def _count(text: str, length: int) -> int:
    """Count residue labels: letters, or words if there are blanks or the letters do not fit."""
    if len(text) == length:
        return length
    words = _WORDS.split(text)
    return len(words) if len(words) > 1 else len(text)


def _natural(text: str) -> tuple[Any, ...]:
    """Sort numbers by value, before words."""
    return (0, float(text), text) if is_number(text) else (1, 0.0, text)
