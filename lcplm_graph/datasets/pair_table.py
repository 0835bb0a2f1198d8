"""Tables of protein pairs as text: two ids and, optionally, a label or a score."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.files.tables import LINE, read_table, rows
from lcplm_graph.numeric import is_number

COMMENT = ("#",)
# What people call the columns of ids and of labels. A row of data that looks like neither is
# never taken for a header, so a bad label in the first row is an error and not a lost row.
_ID_HEADER = re.compile(
    r"((protein|prot|interactor|uniprot|gene|id|node|entry|accession|seq|sequence|string|ensp)"
    r"(id|ac|kb|_id|_ac|_name)?s?|source|target|from|to|query|subject|partner)"
    r"[ _.-]?([ab12xy]|one|two)?",
    re.IGNORECASE,
)
# Human genes that are called like columns.
_GENES = ("ID1", "ID2")
_VALUE_HEADER = re.compile(
    r"(is_?)?(label|class|score|combined_score|weight|y|target|interact(s|ion|ing)?|value|"
    r"probability|prob|confidence|edge)s?",
    re.IGNORECASE,
)


def read_pairs(
    path: str | os.PathLike[str], third: str | None = None, scale: float = 1.0
) -> tuple[pd.DataFrame, str]:
    """Read a table of pairs.

    Parameters
    ----------
    path : path-like
        Two or three tab-separated columns, with or without a header; blank lines and lines that
        begin with ``#`` do not count.
    third : {"label", "score"}, optional
        What the third column is; found out by default.
    scale : float
        The highest score there can be: 1000 in STRING's units.  Scores are divided by it.

    Returns
    -------
    table : pandas.DataFrame
        Columns `a`, `b` (str) and `value` (float32; 1 if there is no third column).
    kind : {"label", "score", "none"}
        What the third column is.

    Raises
    ------
    DataError
        With the line: wrong number of columns, an empty id, or a third column that is neither a
        label nor a score.
    """
    path = Path(path)
    width, header = _layout(path)
    names = {name: i for i, name in enumerate(("a", "b", "value")[:width])}
    table = read_table(path, names, [width], COMMENT, skip=header)
    for name in ("a", "b"):
        row = pc.index(table[name], "").as_py()
        if row >= 0:
            raise DataError("an id is empty", path=path, line=table[LINE][row].as_py())
    frame = table.select(["a", "b"]).to_pandas()
    if width == 2:
        return frame.assign(value=np.ones(len(frame), np.float32)), "none"
    values = _numbers(table, path)
    kind = _kind_of(values, third, table, path, check_scale(scale))
    return frame.assign(value=values / np.float32(scale if kind == "score" else 1)), kind


def check_scale(scale: float) -> float:
    """Return a scale that scores can be divided by.

    Raises
    ------
    ConfigError
        If it is not a number above 0.
    """
    if isinstance(scale, bool) or not (np.isfinite(scale) and scale > 0):
        raise ConfigError(f"scale is the highest score there can be, as 1000, not {scale!r}")
    return scale


def _layout(path: Path) -> tuple[int, int]:
    """Count the columns, and return the line of the header, 0 if there is none."""
    for line, cells in rows(path, COMMENT):
        if len(cells) not in (2, 3):
            commas = len(cells) == 1 and "," in cells[0]
            has = "1; write tabs in place of its commas" if commas else len(cells)
            raise DataError(
                f"a table of pairs has 2 or 3 tab-separated columns, this line {has}",
                path=path,
                line=line,
            )
        return len(cells), line if is_header(cells) else 0
    raise DataError("the table has no line", path=path)


def id_columns(cells: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of the two ids in a header; None if the line is no header.

    Examples
    --------
    >>> id_columns(["rank", "protein1", "protein2", "probability"])
    (1, 2)
    >>> id_columns(["query", "rank", "partner", "symbol"])
    (0, 2)
    >>> id_columns(["TP53", "MDM2"]) is None
    True
    """
    found = [place for place, cell in enumerate(cells) if _says_id(cell)]
    return (found[0], found[1]) if len(found) > 1 else None


def _says_id(cell: str) -> bool:
    return bool(_ID_HEADER.fullmatch(cell)) and cell not in _GENES


def is_header(cells: Sequence[str]) -> bool:
    """Tell whether the first line of a table of two ids, and a label or a score, is a header."""
    named = all(_says_id(cell) for cell in cells[:2])
    if len(cells) == 2:
        return named
    return not is_number(cells[2]) and (named or bool(_VALUE_HEADER.fullmatch(cells[2])))


def _numbers(table: pa.Table, path: Path) -> np.ndarray:
    try:
        return pc.cast(table["value"], pa.float32()).to_numpy()
    except pa.ArrowInvalid:
        pass
    for line, text in zip(table[LINE].to_pylist(), table["value"].to_pylist(), strict=True):
        try:
            pa.scalar(text).cast(pa.float32())
        except pa.ArrowInvalid:
            first = line == table[LINE][0].as_py()
            advice = "; a header has usual names, as protein1, protein2, label" if first else ""
            message = f"{text!r} is not a label or a score{advice}"
            raise DataError(message, path=path, line=line) from None
    raise DataError("the third column holds something that is not a number", path=path)


def _kind_of(
    values: np.ndarray, third: str | None, table: pa.Table, path: Path, scale: float
) -> str:
    is_label = (values == 0) | (values == 1)
    # Who gives a scale has scores.
    kind = third or ("label" if is_label.all() and scale == 1 else "score")
    right = is_label if kind == "label" else (values >= 0) & (values <= scale)
    if not right.all():
        row = int(np.argmin(right))
        wanted = "0 or 1" if kind == "label" else f"a label 0 or 1 or a score in [0, {scale:g}]"
        percent = kind == "score" and scale == 1 and values.min() >= 0 and values.max() <= 1000
        advice = "; give scale=1000 for scores of STRING, or divide them by 1000" if percent else ""
        raise DataError(
            f"the third column is {wanted}, here it is {values[row]:g}{advice}",
            path=path,
            line=table[LINE][row].as_py(),
        )
    return kind
