"""Tables of protein pairs as text: two ids and, optionally, a label or a score."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.files.tables import LINE, find_separator, read_table, rows
from lcplm_graph.io import warn_once
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
#: What the column of a score or a label is called.
VALUE_HEADER = re.compile(
    r"(is_?)?(label|class|score|combined_score|weight|y|target|interact(s|ion|ing)?|value|"
    r"probability|prob|confidence|edge)s?",
    re.IGNORECASE,
)


class Layout(NamedTuple):
    """Where a table of pairs has its columns.

    Attributes
    ----------
    separator : str
        Between columns, one of `lcplm_graph.files.separators.SEPARATORS`.
    width : int
        How many columns there are.
    header : int
        Line of the header, 0 if there is none.
    ids : tuple of (int, int)
        Places of the two ids.
    value : int or None
        Place of the label or score.
    value_name : str
        What the header calls it, if there is one.
    """

    separator: str
    width: int
    header: int
    ids: tuple[int, int]
    value: int | None
    value_name: str = ""


def read_pairs(
    path: str | os.PathLike[str],
    third: str | None = None,
    scale: float = 1.0,
    score: str | None = None,
) -> tuple[pd.DataFrame, str]:
    """Read a table of pairs.

    Parameters
    ----------
    path : path-like
        Two or three columns, with or without a header, or more with a header that names two ids,
        and tabs, commas, semicolons or blanks between, see `find_separator`; blank lines and
        lines that begin with ``#`` do not count.
    third : {"label", "score"}, optional
        What the third column is; found out by default.
    scale : float
        The highest score there can be: 1000 in STRING's units.  Scores are divided by it.  It is
        1000 by default where the header says ``combined_score`` and all are whole numbers.
    score : str, optional
        Column of the label or score, where a header names several.

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
    found = layout_of(path, score)
    places = dict(zip(("a", "b"), found.ids, strict=True))
    places |= {} if found.value is None else {"value": found.value}
    table = read_table(
        path, places, [found.width], COMMENT, skip=found.header, separator=found.separator
    )
    for name in ("a", "b"):
        row = pc.index(table[name], "").as_py()
        if row >= 0:
            raise DataError("an id is empty", path=path, line=table[LINE][row].as_py())
    frame = table.select(["a", "b"]).to_pandas()
    if found.value is None:
        return frame.assign(value=np.ones(len(frame), np.float32)), "none"
    values = _numbers(table, path)
    if scale == 1 and third != "label" and _in_thousandths(found.value_name, values):
        scale = 1000
    kind = _kind_of(values, third, table, path, check_scale(scale))
    return frame.assign(value=values / np.float32(scale if kind == "score" else 1)), kind


def _in_thousandths(name: str, values: np.ndarray) -> bool:
    """Tell whether these are STRING's scores as it publishes them."""
    whole = name.lower() == "combined_score" and bool((values == np.round(values)).all())
    return whole and values.size > 0 and bool(values.max() > 1)


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


def layout_of(path: Path, score: str | None = None) -> Layout:
    """Find out how the columns of a table of pairs are separated, and which are read.

    Parameters
    ----------
    path : pathlib.Path
    score : str, optional
        Name of the column of labels or scores.

    Raises
    ------
    DataError
        As `find_separator`, and with the line if it cannot be told which columns are meant.
    """
    separator = find_separator(path, COMMENT)
    table = rows(path, COMMENT, separator)
    line, cells = next(table)
    found = _layout(cells, path, line, separator, score)
    line, cells = next(table, (0, []))
    if found.header and len(cells) == found.width + 1:
        raise DataError(
            f"{len(cells)} columns, one more than in the header, as R writes names of rows; leave "
            "them out with row.names=FALSE",
            path=path,
            line=line,
        )
    return found


def _layout(
    cells: Sequence[str], path: Path, line: int, separator: str, score: str | None
) -> Layout:
    if score is None and len(cells) in (2, 3):
        named = is_header(cells)
        value = 2 if len(cells) == 3 else None
        if named or len(_id_places(cells)) != 2 or _id_places(cells) == [0, 1]:
            name = cells[2] if named and value else ""
            return Layout(separator, len(cells), line if named else 0, (0, 1), value, name)
    return _by_header(cells, path, line, separator, score)


def _by_header(
    cells: Sequence[str], path: Path, line: int, separator: str, score: str | None
) -> Layout:
    """Take the columns that a header names, and say which are left out."""
    ids = _id_places(cells)
    if len(ids) != 2:
        has = f"this line has {len(cells)}"
        if len(ids) > 2:
            has = f"here {', '.join(cells[i] for i in ids)} may be ids"
        raise DataError(
            "a table of pairs has 2 or 3 columns, or a header that calls two of them "
            f"protein1 and protein2 or alike; {has}",
            path=path,
            line=line,
        )
    wanted = (lambda name: name == score) if score is not None else VALUE_HEADER.fullmatch
    values = [i for i, name in enumerate(cells) if i not in ids and wanted(name)]
    if score is not None and len(values) != 1:
        message = f"no column {score!r}" if not values else f"several columns {score!r}"
        raise DataError(f"{message}; the header has {', '.join(cells)}", path=path, line=line)
    if len(values) > 1:
        names = ", ".join(cells[i] for i in values)
        message = f"several columns may be the score: {names}; keep one of them"
        raise DataError(message, path=path, line=line)
    read = {*ids, *values}
    if left := [name for i, name in enumerate(cells) if i not in read and name]:
        kept = ", ".join(cells[i] for i in sorted(read))
        warn_once(f"{path}: read are the columns {kept}; left out are {', '.join(left)}")
    value = values[0] if values else None
    name = cells[value] if value is not None else ""
    return Layout(separator, len(cells), line, (ids[0], ids[1]), value, name)


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
    found = _id_places(cells)
    return (found[0], found[1]) if len(found) > 1 else None


def _id_places(cells: Sequence[str]) -> list[int]:
    return [place for place, cell in enumerate(cells) if says_id(cell)]


def says_id(cell: str) -> bool:
    """Tell whether a cell of a header says that ids stand below it."""
    return bool(_ID_HEADER.fullmatch(cell)) and cell not in _GENES


def is_header(cells: Sequence[str]) -> bool:
    """Tell whether the first line of a table of two ids, and a label or a score, is a header."""
    named = all(says_id(cell) for cell in cells[:2])
    if len(cells) == 2:
        return named
    return not is_number(cells[2]) and (named or bool(VALUE_HEADER.fullmatch(cells[2])))


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
