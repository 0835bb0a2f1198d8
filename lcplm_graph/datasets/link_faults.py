"""Why a table of links cannot be read, and in which line."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lcplm_graph.errors import DataError
from lcplm_graph.files.open import open_stream

MAX_SCORE = 1000


def explain(
    path: Path, columns: Sequence[str], delimiter: str, prefix: str, reason: str
) -> NoReturn:
    """Read a table of links again line by line, and name the first bad line.

    Parameters
    ----------
    path : pathlib.Path
        The table.
    columns : sequence of str
        Score columns that were asked for.
    delimiter, prefix : str
        As in `read_links`.
    reason : str
        What Arrow said, for a fault that no line shows.

    Raises
    ------
    DataError
        Always.
    """
    with open_stream(path) as stream, io.BufferedReader(stream) as lines:
        header = lines.readline().decode("utf-8", "replace").rstrip("\r\n").split(delimiter)
        missing = [name for name in ("protein1", "protein2", *columns) if name not in header]
        if missing:
            raise DataError(
                f"no column {', '.join(missing)} in the header: {' '.join(header)[:80]!r}",
                path=path,
                line=1,
            )
        for line, raw in enumerate(lines, start=2):
            try:
                values = raw.decode("utf-8").rstrip("\r\n").split(delimiter)
            except UnicodeDecodeError:
                raise DataError("not UTF-8 text", path=path, line=line) from None
            if values != [""] and (fault := _fault(values, header, columns, prefix)):
                raise DataError(fault, path=path, line=line)
    raise DataError(f"cannot be read as a table: {reason}", path=path)


def _fault(
    values: Sequence[str], header: Sequence[str], columns: Sequence[str], prefix: str
) -> str:
    if len(values) != len(header):
        return f"{len(values)} columns, the header has {len(header)}"
    row = dict(zip(header, values, strict=True))
    for name in columns:
        if not row[name].isdecimal() or len(row[name]) > 9 or int(row[name]) > MAX_SCORE:
            return f"{name} {row[name]!r} is not a whole number from 0 to {MAX_SCORE}"
    for name in ("protein1", "protein2"):
        if not row[name].startswith(prefix):
            return f"the id {row[name]!r} does not start with {prefix!r}; is it of this species?"
    return ""
