"""Tables as text: read by Arrow, and when that fails looked at again line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from lcplm_graph.errors import DataError
from lcplm_graph.files.open import open_stream


class BadTable(Exception):
    """Arrow cannot read a table; the reader of the format explains why, with the line."""


def read_csv(path: Path, *options: Any) -> pa.Table:
    """Read a table, plain or compressed, by `pyarrow.csv.read_csv`.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    *options
        Read, parse and convert options of Arrow.

    Raises
    ------
    BadTable
        If the text is no such table.
    DataError
        As `open_stream`.
    """
    with open_stream(path) as stream:
        try:
            return pacsv.read_csv(stream, *options)
        except pa.ArrowInvalid as error:
            # A decompressor raises the same class; that is for `open_stream` to explain.
            if "CSV" not in str(error):
                raise
            raise BadTable(str(error)) from error


def first_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Read the first columns of a tab-separated table with a header as text, under new names.

    Raises
    ------
    DataError
        As `open_stream`, and with the line that has too few or too many columns.
    """
    line, header = next(rows(path), (1, []))
    if len(header) < len(names):
        message = f"{len(header)} columns, {len(names)} expected"
        raise DataError(message, path=path, line=line)
    columns = [*names, *(f"_{i}" for i in range(len(header) - len(names)))]
    types = dict.fromkeys(columns, pa.string())
    try:
        return read_csv(
            path,
            pacsv.ReadOptions(column_names=columns, skip_rows=line),
            pacsv.ParseOptions(delimiter="\t", quote_char=False),
            pacsv.ConvertOptions(column_types=types, include_columns=list(names)),
        )
    except BadTable as error:
        check_width(path, len(header))
        raise DataError(f"cannot be read as tab-separated text ({error})", path=path) from error


def rows(path: Path, comment: str = "") -> Iterator[tuple[int, list[str]]]:
    """Yield line number (from 1) and cells of each line that is not blank and no comment.

    Parameters
    ----------
    path : pathlib.Path
        Plain or compressed UTF-8 text.
    comment : str
        Lines that start with this are left out; none if empty.

    Raises
    ------
    DataError
        As `open_stream`, and with the line of text that is not UTF-8.
    """
    for number, raw in _lines(path):
        try:
            text = raw.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError:
            message = "not UTF-8; convert the file's encoding"
            raise DataError(message, path=path, line=number) from None
        if text.strip() and not (comment and text.startswith(comment)):
            yield number, text.split("\t")


def line_of_row(path: Path, row: int, comment: str = "") -> int | None:
    """Return the line of the row counted from 0, a header among them."""
    return next((line for i, (line, _) in enumerate(rows(path, comment)) if i == row), None)


def check_width(path: Path, width: int, comment: str = "") -> None:
    """Raise `DataError` at the first line that has not `width` columns."""
    for line, cells in rows(path, comment):
        if len(cells) != width:
            message = f"{len(cells)} columns, the lines before have {width}"
            raise DataError(message, path=path, line=line)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number, rest = 0, b""
    with open_stream(path) as stream:
        while data := stream.read(1 << 20):
            *lines, rest = (rest + data).split(b"\n")
            for text in lines:
                number += 1
                yield number, text
    yield number + 1, rest
