"""Tables of proteins and labels: CSV, TSV and Parquet as columns of text that know their rows."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lcplm_graph.errors import DataError
from lcplm_graph.files.compressed import COMPRESSED_SUFFIXES, suffix_of
from lcplm_graph.files.open import check_is_file, open_stream
from lcplm_graph.files.tables import separator_or

# What such names promise; the content decides, where it can.
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PARQUET = (".parquet", ".pq")
SUFFIXES = (*_SEPARATORS, *_PARQUET)
_NOTHING = ("", "na", "nan", "null", "none", "n/a")


@dataclass(frozen=True)
class Table:
    """Columns of text.

    Attributes
    ----------
    path : Path
    columns : dict of str to list of str
        Without blanks around; what is missing is empty.
    numbers : list of int
        Of each row: its line in a text file, or its row in Parquet, from 1.
    unit : str
        ``line`` or ``row``.
    """

    path: Path
    columns: dict[str, list[str]]
    numbers: list[int] = field(default_factory=list)
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, name: str, what: str) -> list[str]:
        """Return a column.

        Parameters
        ----------
        name : str
        what : str
            What it is for, for the message.

        Raises
        ------
        DataError
            If there is none of this name.
        """
        if name not in self.columns:
            raise DataError(
                f"there is no column {name!r} for {what}; the columns are {self.names}",
                path=self.path,
            )
        return self.columns[name]

    @property
    def names(self) -> str:
        """All columns, for messages."""
        return ", ".join(self.columns)

    def first_of(self, candidates: Iterable[str]) -> str | None:
        """Return the first column that has one of these names, whatever their case."""
        folded = {name.lower().replace(" ", "_"): name for name in self.columns}
        return next((folded[c] for c in candidates if c in folded), None)

    def error(self, message: str, row: int, column: str = "") -> DataError:
        """Make an error that names the row (from 0) and the column."""
        where = f"{self.unit} {self.numbers[row]}"
        return DataError(f"{where}{f', column {column!r}' if column else ''}: {message}",
                         path=self.path)  # fmt: skip


def is_nothing(cell: str) -> bool:
    """Tell whether a cell is empty or says that there is no value."""
    return cell.lower() in _NOTHING


def read_table_file(path: str | os.PathLike[str]) -> Table:
    """Read a table with a header.

    Parameters
    ----------
    path : path-like
        ``.csv`` or ``.tsv``, plain or compressed (gzip, zstd, bz2, xz), or ``.parquet``.  Columns
        of text are separated by what the first lines say (tabs, commas, semicolons, blanks), and
        by what the name says where they leave a choice or there is one column.  Lists in Parquet
        become text: words with ``;`` between, numbers with blanks.

    Raises
    ------
    DataError
        If the suffix is not known, the file cannot be read, a column has no name or the name of
        another, a line has more or fewer cells than the header, or there is no row.
    """
    if os.fspath(path) == "-":
        check_is_file(path)  # which says it
    path, suffix = Path(path), suffix_of(path)
    if suffix not in SUFFIXES:
        raise DataError(
            "a table ends in .csv, .tsv or .parquet (text also with "
            f"{', '.join(COMPRESSED_SUFFIXES)} after it), this name in {suffix or 'no suffix'}",
            path=path,
        )
    check_is_file(path)
    table = (
        _parquet(path)
        if suffix in _PARQUET
        else _text(path, separator_or(path, _SEPARATORS[suffix]))
    )
    if not len(table):
        raise DataError("the table has a header and no row", path=path)
    return table


def _text(path: Path, separator: str) -> Table:
    rows = _rows(path, separator)
    line, header = next(rows, (1, []))
    _check_header(header, path, line)
    cells: list[list[str]] = []
    numbers: list[int] = []
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{len(row)} cells, but the header has {len(header)} columns ({', '.join(header)})",
                path=path,
                line=line,
            )
        cells.append(row)
        numbers.append(line)
    columns = {name: [row[i] for row in cells] for i, name in enumerate(header)}
    return Table(path, columns, numbers)


def _rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each record begins, and its cells; blank lines do not count."""
    with open_stream(path) as stream:
        raw = stream.read()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError("not UTF-8; convert the file's encoding", path=path, line=line) from None
    limit = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True,
        skipinitialspace=separator == " ",  # any number of blanks is one
    )  # fmt: skip
    begins = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if separator == " " and cells and not cells[-1]:
                cells.pop()  # blanks at the end of a line separate nothing
            if any(cells):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"not readable as a table ({error})", path=path, line=begins) from None
    finally:
        csv.field_size_limit(limit)


def _check_header(header: Sequence[str], path: Path, line: int) -> None:
    if not header:
        raise DataError("the table is empty", path=path)
    for place, name in enumerate(header, 1):
        if not name:
            raise DataError(f"column {place} has no name in the header", path=path, line=line)
        if list(header).count(name) > 1:
            raise DataError(f"two columns are called {name!r}", path=path, line=line)


def _parquet(path: Path) -> Table:
    try:
        table = pq.read_table(path)
        table.validate(full=True)
        columns = {name: [_cell(v) for v in table[name].to_pylist()] for name in table.column_names}
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"not readable as Parquet ({reason})", path=path) from error
    _check_header(table.column_names, path, 1)
    return Table(path, columns, list(range(1, table.num_rows + 1)), "row")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        between = ";" if any(isinstance(v, str) for v in value) else " "
        return between.join(_cell(v) for v in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool):
        return str(int(value))
    return str(value).strip()
