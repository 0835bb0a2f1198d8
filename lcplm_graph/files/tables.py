"""Tables of text as Arrow tables: many lines at a time, the line of each row kept."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from lcplm_graph.errors import DataError
from lcplm_graph.files.open import open_stream
from lcplm_graph.files.separators import (
    LOOKED_AT,
    QUOTED,
    SEPARATORS,
    BadLine,
    cells_of,
    columns_of,
    separator_of,
)

#: Name of the column that holds the line of each row, counted from 1.
LINE = "line"
_BLOCK = 1 << 21


def read_table(
    path: Path,
    columns: Mapping[str, int],
    widths: Collection[int],
    comment: Sequence[str] = (),
    skip: int = 0,
    separator: str = "\t",
) -> pa.Table:
    r"""Read some columns of a table as text, without the blanks around each cell.

    Parameters
    ----------
    path : pathlib.Path
        Plain or compressed UTF-8 text; blank lines do not count.
    columns : mapping of str to int
        Name and position, from 0, of each column to take.
    widths : collection of int
        How many columns a line may have.
    comment : sequence of str
        Lines that start with one of these are left out.
    skip : int
        Lines up to this one are left out.
    separator : str
        What stands between columns, see `find_separator`.

    Returns
    -------
    pyarrow.Table
        The columns (large_string), and `LINE` (int64), the line that each row stood in.

    Raises
    ------
    DataError
        As `open_stream`, and with the line: text that is not UTF-8, too few or too many columns,
        quotes that do not match.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "x.tsv"
    >>> _ = path.write_text("# pairs\na\tb\t1\r\nc\td \n")
    >>> read_table(path, {"first": 0, "second": 1}, (2, 3), ("#",)).to_pydict()
    {'first': ['a', 'c'], 'second': ['b', 'd'], 'line': [2, 3]}
    """
    last = max(columns.values())
    names = [*columns, LINE]
    types = [pa.large_string()] * len(columns) + [pa.int64()]
    batches = []
    for numbers, lines in _line_blocks(path, comment, skip):
        try:
            cells, found = columns_of(lines, separator, last + 1)
        except BadLine as error:
            raise DataError(str(error), path=path, line=int(numbers[error.row])) from None
        wrong = ~np.isin(found, list(widths))
        if wrong.any():
            row = int(np.argmax(wrong))
            _refuse_width(int(found[row]), widths, path, int(numbers[row]), separator)
        taken = [pc.utf8_trim_whitespace(pc.list_element(cells, i)) for i in columns.values()]
        if separator == "\t":
            taken = [_without_quotes(column) for column in taken]
        batches.append(pa.record_batch([*taken, pa.array(numbers)], names=names))
    return pa.Table.from_batches(batches, schema=pa.schema(list(zip(names, types, strict=True))))


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
    table = read_table(path, {name: i for i, name in enumerate(names)}, [len(header)], skip=line)
    return table.drop_columns(LINE).cast(pa.schema([(name, pa.string()) for name in names]))


def rows(
    path: Path, comment: Sequence[str] = (), separator: str = "\t"
) -> Iterator[tuple[int, list[str]]]:
    """Yield line number (from 1) and cells of each line that is not blank and no comment.

    Parameters
    ----------
    path : pathlib.Path
        Plain or compressed UTF-8 text.
    comment : sequence of str
        Lines that start with one of these are left out.
    separator : str
        What stands between columns, see `find_separator`.

    Raises
    ------
    DataError
        As `open_stream`, and with the line: text that is not UTF-8, quotes that do not match.
    """
    for number, text in _texts(path, comment):
        try:
            yield number, cells_of(text, separator)
        except ValueError as error:
            raise DataError(str(error), path=path, line=number) from None


def find_separator(path: Path, comment: Sequence[str] = ()) -> str:
    """Tell what separates the columns of a table by its first lines, see `separator_of`.

    Raises
    ------
    DataError
        As `open_stream` and `separator_of`, and if there is no line.
    """
    first = list(itertools.islice(_texts(path, comment), LOOKED_AT))
    if not first:
        raise DataError("the table has no line", path=path)
    return separator_of(first, path)


def separator_or(path: Path, otherwise: str, comment: Sequence[str] = ()) -> str:
    """Tell what separates the columns of a table that may have a single one, as text or header.

    Parameters
    ----------
    path : pathlib.Path
    otherwise : str
        What is returned where the first lines do not say, or where only the first one is cut: the
        name of a single column may hold a blank.  What is wrong with the file is told by who
        reads it.
    comment : sequence of str
        As in `rows`.
    """
    try:
        found = find_separator(path, comment)
        first = itertools.islice(rows(path, comment, found), LOOKED_AT)
        widths = [len(cells) for _, cells in first]
    except DataError:
        return otherwise
    only_the_first = len(widths) > 1 and max(widths[1:]) == 1
    return otherwise if only_the_first and found != "\t" else found


def _texts(path: Path, comment: Sequence[str]) -> Iterator[tuple[int, str]]:
    for numbers, lines in _line_blocks(path, comment):
        yield from zip(numbers.tolist(), lines.to_pylist(), strict=True)


def _without_quotes(cells: pa.Array) -> pa.Array:
    """Do to an array what `unquoted` does to a cell."""
    if not pc.any(pc.starts_with(cells, '"')).as_py():
        return cells
    quoted = pc.match_substring_regex(cells, f"^{QUOTED}$")
    inside = pc.replace_substring(pc.utf8_slice_codeunits(cells, 1, -1), '""', '"')
    return pc.if_else(quoted, inside, cells)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and text of each line that is not blank.

    Raises
    ------
    DataError
        As `rows`.
    """
    for numbers, lines in _line_blocks(path):
        texts = zip(numbers.tolist(), lines.to_pylist(), strict=True)
        # A line of other blanks than ASCII's is blank too.
        yield from ((n, text.rstrip("\r\n")) for n, text in texts if text.strip())


class BadTable(Exception):
    """Arrow cannot read a table; the reader of the format explains why."""


def read_csv(path: Path, *options: Any) -> pa.Table:
    """Read a table of numbers, plain or compressed, by `pyarrow.csv.read_csv`.

    Raises
    ------
    BadTable
        If the text is not such a table.
    DataError
        As `open_stream`.
    """
    with open_stream(path) as stream:
        try:
            table = pacsv.read_csv(stream, *options)
            table.column_names  # noqa: B018  # of bytes that are no text
            return table
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise BadTable(str(error)) from error


def _line_blocks(
    path: Path, comment: Sequence[str] = (), skip: int = 0
) -> Iterator[tuple[npt.NDArray[np.int64], pa.LargeStringArray]]:
    """Yield numbers and texts of the lines that count, some thousand at a time."""
    for first, block in _blocks(path):
        lines = _lines(block, path, first)
        numbers = np.arange(first, first + len(lines))
        kept = pc.match_substring_regex(lines, r"\S")
        for prefix in comment:
            kept = pc.and_not(kept, pc.starts_with(lines, prefix))
        if skip >= first:
            kept = pc.and_(kept, pa.array(numbers > skip))
        if not pc.all(kept, min_count=0).as_py():
            lines, numbers = lines.filter(kept), numbers[kept.to_numpy(zero_copy_only=False)]
        if len(lines):
            yield numbers, lines


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines, and the number of their first one; a long line is gathered once."""
    line, parts = 1, []
    with open_stream(path) as stream:
        while data := stream.read(_BLOCK):
            cut = data.rfind(b"\n") + 1
            parts.append(data[:cut] if cut else data)
            if cut:
                block = b"".join(parts)
                yield line, block
                line += block.count(b"\n")
                parts = [data[cut:]]
    if last := b"".join(parts):
        yield line, last


def _lines(block: bytes, path: Path, first: int) -> pa.LargeStringArray:
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
    if not len(ends) or ends[-1] < len(block):
        ends = np.append(ends, len(block))
    offsets = np.concatenate(([0], ends)).astype(np.int64)
    lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(block))
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        _refuse_encoding(block, path, first)
    return lines


def _refuse_encoding(block: bytes, path: Path, first: int) -> NoReturn:
    for line, text in enumerate(block.split(b"\n"), start=first):
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            message = "not UTF-8; convert the file's encoding"
            raise DataError(message, path=path, line=line) from None
    raise DataError("not UTF-8; convert the file's encoding", path=path)


def _refuse_width(
    found: int, widths: Collection[int], path: Path, line: int, separator: str
) -> NoReturn:
    wanted = sorted(widths)
    expected = str(wanted[0]) if len(wanted) == 1 else f"{wanted[0]} to {wanted[-1]}"
    message = f"{found} columns separated by {SEPARATORS[separator]}, {expected} expected"
    raise DataError(message, path=path, line=line)
