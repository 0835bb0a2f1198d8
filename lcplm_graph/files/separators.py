"""What separates the columns of a table: found out from its first lines, or refused."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import DataError

Widths = npt.NDArray[np.int64]

#: Each separator and what messages call it; a blank stands for any number of blanks.
SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "blanks"}
#: So many lines are looked at where the first one leaves a choice.
LOOKED_AT = 100
QUOTED = r'"((?:[^"]|"")*)"'
_BESIDE = re.compile(r" *([,;]) *")


class BadLine(Exception):
    """A line that cannot be cut: its place among those given, and why."""

    def __init__(self, row: int, why: object) -> None:
        super().__init__(str(why))
        self.row = row


def cells_of(line: str, separator: str) -> list[str]:
    """Return the cells of a line, without the blanks and the quotes around each.

    Quoted cells may hold the separator, but between tabs, where a quote is one of the cell
    unless quotes surround all of it.

    Parameters
    ----------
    line : str
    separator : str
        One of `SEPARATORS`.

    Raises
    ------
    ValueError
        If quotes do not match, or a line whose columns have blanks between has a tab.

    Examples
    --------
    >>> cells_of('"P1,2", P3 ,0.5', ","), cells_of("P1  P2", " ")
    (['P1,2', 'P3', '0.5'], ['P1', 'P2'])
    """
    if separator == "\t":
        cells = [cell.strip() for cell in line.split("\t")]
        return [unquoted(cell) for cell in cells] if '"' in line else cells
    line = line.strip()
    blanks = separator == " "
    if blanks and "\t" in line:
        raise ValueError("a tab in a table with blanks between its columns")
    if '"' in line:
        try:
            (cells,) = csv.reader(
                [line], delimiter=separator, skipinitialspace=not blanks, strict=True
            )
        except csv.Error as error:
            raise ValueError(f"quotes that do not match ({error})") from None
    else:
        cells = (re.sub(" +", " ", line) if blanks else line).split(separator)
    return [cell.strip() for cell in cells]


def columns_of(lines: pa.LargeStringArray, separator: str, first: int) -> tuple[pa.Array, Widths]:
    """Cut many lines at once, as `cells_of` does each.

    Parameters
    ----------
    lines : pyarrow.LargeStringArray
    separator : str
    first : int
        How many cells of a line are needed; behind them, the rest may stay in one piece.

    Returns
    -------
    cells : pyarrow.ListArray of large_string
    widths : ndarray, dtype=int64, shape=(n,)
        How many cells each line has.

    Raises
    ------
    BadLine
        If quotes of a line do not match, or it has a tab among blanks.
    """
    care = {"\t": "", " ": '["\t]'}.get(separator, '"')
    if care and pc.any(pc.match_substring_regex(lines, care), min_count=0).as_py():
        found = [_cut(row, text, separator) for row, text in enumerate(lines.to_pylist())]
        widths = np.fromiter(map(len, found), np.int64, len(found))
        return pa.array(found, pa.list_(pa.large_string())), widths
    if separator == " ":
        lines = pc.replace_substring_regex(pc.utf8_trim_whitespace(lines), " +", " ")
    widths = pc.add(pc.count_substring(lines, separator), 1).to_numpy().astype(np.int64)
    cells = pc.split_pattern(lines, separator, max_splits=first)
    return cells, widths


def _cut(row: int, text: str, separator: str) -> list[str]:
    try:
        return cells_of(text, separator)
    except ValueError as error:
        raise BadLine(row, error) from None


def unquoted(cell: str) -> str:
    """Return what a quoted cell holds, as R and our own tables of ids with quotes have it."""
    found = re.fullmatch(QUOTED, cell)
    return found[1].replace('""', '"') if found else cell


def separator_of(lines: Sequence[tuple[int, str]], path: Path) -> str:
    """Tell what separates the columns of a table.

    A tab in the first line does.  Else it is the one of commas, semicolons and blanks that cuts
    the first line in two or more; if several do, the only one that cuts all lines into equally
    many columns.  A blank beside a comma or a semicolon separates nothing.

    Parameters
    ----------
    lines : sequence of (int, str)
        Numbers and texts of the first `LOOKED_AT` lines that count, not none.
    path : pathlib.Path
        For messages.

    Raises
    ------
    DataError
        If nothing does, or more than one could.
    """
    number, first = lines[0]
    if "\t" in first:
        return "\t"
    able = [sign for sign in SEPARATORS if _width(first, sign) > 1]
    if not able:
        message = "one column; tabs, commas or blanks stand between two or more"
        if '"' in first:
            message = "a quote without its second one; write tabs between cells without quotes"
        raise DataError(message, path=path, line=number)
    if len(able) == 1:
        return able[0]
    until = {sign: _alike(lines, sign) for sign in able}
    whole = [sign for sign in able if until[sign] == len(lines)]
    if len(whole) == 1:
        return whole[0]
    if not whole:
        sign = max(able, key=until.__getitem__)
        line, text = lines[until[sign]]
        raise DataError(
            f"{_width(text, sign)} columns with {SEPARATORS[sign]} between, the first line has "
            f"{_width(first, sign)}",
            path=path,
            line=line,
        )
    names = " and ".join(SEPARATORS[sign] for sign in whole)
    raise DataError(
        f"{names} both cut these lines into columns; write tabs between the columns", path=path,
        line=number,
    )  # fmt: skip


def _width(line: str, separator: str) -> int:
    """Count the cells of a line; 0 if its quotes do not match."""
    if separator == " ":
        line = _BESIDE.sub(r"\1", line)
    try:
        return len(cells_of(line, separator))
    except ValueError:
        return 0


def _alike(lines: Sequence[tuple[int, str]], separator: str) -> int:
    """Return how many lines, from the first on, have as many columns as the first."""
    wanted = _width(lines[0][1], separator)
    differ = (i for i, (_, text) in enumerate(lines) if _width(text, separator) != wanted)
    return next(differ, len(lines))
