"""Lists of variants: one a line, or a table with a column of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lcplm_graph.errors import DataError
from lcplm_graph.files.separators import cells_of
from lcplm_graph.files.tables import numbered_lines, separator_or
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tasks.variants import Variant, parse_variant

VARIANT_COLUMNS = ("variant", "mutant", "mutation")
PROTEIN_COLUMNS = ("protein", "id", "protein_id")


class Row(NamedTuple):
    """A variant as it stands in a table; `protein` is None where the table names none."""

    line: int
    protein: str | None
    text: str


def read_rows(path: str | os.PathLike[str]) -> Iterator[Row]:
    """Read a list of variants, or a table with a header.

    Parameters
    ----------
    path : path-like
        Plain or compressed.  Tabs, commas, semicolons or blanks stand between columns, as the first
        lines say.  A table has a column `variant` (or `mutant`), and for several
        proteins a column `protein`; other columns are not read.  A file of one column needs no
        header; lines that begin with # are left out.

    Raises
    ------
    DataError
        If a column is missing, a line has too few columns, or there is no variant.
    """
    path, columns = Path(path), None
    found, separator = False, separator_or(path, ",", ("#",))
    for line, text in numbered_lines(path):
        if text.lstrip().startswith("#"):
            continue
        if columns is None:
            columns = _columns(_cells(text, separator, path, line), path, line)
            if columns.header:
                continue
        cells = _cells(text, separator, path, line)
        if len(cells) != columns.width:
            message = f"{len(cells)} columns, the first line has {columns.width}"
            raise DataError(message, path=path, line=line)
        protein = None if columns.protein is None else cells[columns.protein]
        if not cells[columns.variant]:
            raise DataError("the variant is empty", path=path, line=line)
        found = True
        yield Row(line, protein, cells[columns.variant])
    if not found:
        raise DataError("there is no variant in the file", path=path)


class _Columns(NamedTuple):
    header: bool
    variant: int
    protein: int | None
    width: int


def _columns(cells: list[str], path: Path, line: int) -> _Columns:
    names = [cell.lower() for cell in cells]
    variant = next((names.index(n) for n in VARIANT_COLUMNS if n in names), None)
    protein = next((names.index(n) for n in PROTEIN_COLUMNS if n in names), None)
    if variant is None and len(cells) > 1:
        raise DataError(
            f"the columns are {', '.join(cells)}; one of them must be called variant (or mutant)",
            path=path,
            line=line,
        )
    return _Columns(variant is not None, variant or 0, protein, len(cells))


def _cells(text: str, separator: str, path: Path, line: int) -> list[str]:
    try:
        return cells_of(text, separator)
    except ValueError as error:
        raise DataError(str(error), path=path, line=line) from None


def variants_of(path: str | os.PathLike[str], proteins: SequenceStore) -> dict[int, list[Variant]]:
    """Read variants and check each against its protein.

    Parameters
    ----------
    path : path-like
        As `read_rows`.
    proteins : SequenceStore

    Returns
    -------
    dict of int to list of Variant
        By number of the protein in the store, in the order of the file.

    Raises
    ------
    DataError
        With the line: a protein that is not there, a table without proteins for several
        sequences, or what `parse_variant` finds.
    """
    number_of = {name: i for i, name in enumerate(proteins.ids)}
    sequences: dict[int, str] = {}
    result: dict[int, list[Variant]] = {}
    for row in read_rows(path):
        number = 0 if row.protein is None else number_of.get(row.protein)
        if row.protein is None and len(proteins) > 1:
            raise DataError(
                f"there are {len(proteins)} proteins, so the table needs a column protein",
                path=path,
                line=row.line,
            )
        if number is None:
            raise DataError(
                f"protein {row.protein!r} is not among the sequences, which are called "
                f"{', '.join(proteins.ids[:3])}{', ...' if len(proteins) > 3 else ''}",
                path=path,
                line=row.line,
            )
        sequence = sequences.setdefault(number, proteins[number])
        try:
            variant = parse_variant(row.text, sequence)
        except DataError as error:
            raise DataError(str(error), path=path, line=row.line) from None
        result.setdefault(number, []).append(variant)
    return result
