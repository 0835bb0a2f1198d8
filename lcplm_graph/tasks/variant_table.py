"""Lists of variants: one a line, or a table with a column of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lcplm_graph.errors import DataError, UnknownNameError
from lcplm_graph.files.separators import cells_of
from lcplm_graph.files.tables import numbered_lines, separator_or
from lcplm_graph.io import warn_once
from lcplm_graph.proteins.names import NameIndex
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tasks.variants import Variant, parse_variant

VARIANT_COLUMNS = ("variant", "mutant", "mutation", "hgvsp", "hgvs_pro", "protein_change")
PROTEIN_COLUMNS = ("protein", "id", "protein_id", "gene", "symbol", "uniprot", "accession")
_SHOWN = 3


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
        lines say.  A table has a column `variant` (see `VARIANT_COLUMNS`), and for several proteins
        a column `protein` (see `PROTEIN_COLUMNS`); others are not read.  A file of one column needs
        no header; lines that begin with # are left out.

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


def variants_of(
    path: str | os.PathLike[str], proteins: SequenceStore, skip_unknown: bool = False
) -> dict[int, list[Variant]]:
    """Read variants and check each against its protein.

    Parameters
    ----------
    path : path-like
        As `read_rows`.  A variant may begin with its protein, ``P04637:p.Arg175His``.
    proteins : SequenceStore
        A table names them by their ids, accessions, or the gene names in UniProt's headers.
    skip_unknown : bool
        Leave out, with a warning that counts them, variants that cannot be scored.

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
    names = NameIndex(proteins.ids, proteins.gene_names)
    sequences: dict[int, str] = {}
    result: dict[int, list[Variant]] = {}
    faults: list[str] = []
    rows = list(read_rows(path))
    for row in rows:
        try:
            number, text = _protein_of(row, names)
            sequence = sequences.setdefault(number, proteins[number])
            variant = parse_variant(text, sequence)._replace(name=row.text)
        except (DataError, UnknownNameError) as error:
            if not skip_unknown:
                raise DataError(str(error), path=path, line=row.line) from None
            faults.append(f"line {row.line}, {error}")
            continue
        result.setdefault(number, []).append(variant)
    if faults and not result:
        raise DataError(f"none of {len(rows):,} variants can be scored; {faults[0]}", path=path)
    if faults:
        shown = "; ".join(faults[:_SHOWN]) + ("; ..." if len(faults) > _SHOWN else "")
        left = f"{len(faults):,} of {len(rows):,} variants left out"
        warn_once(f"{path}: {left}, as they cannot be scored: {shown}")
    return result


def _protein_of(row: Row, names: NameIndex) -> tuple[int, str]:
    """Return the number of a row's protein, and its variant without the protein before it."""
    reference, mark, change = row.text.partition(":p.")
    if not mark or reference.startswith("p."):
        reference, change = "", row.text
    # RefSeq's may have the gene behind, NP_000537.3(TP53).
    named = [name for name in (row.protein, reference.partition("(")[0]) if name]
    rows = [_row(name, names) for name in named]
    if len(set(rows)) > 1:
        raise DataError(f"variant {row.text!r} is of another protein than {row.protein!r}")
    if not rows and len(names.ids) > 1:
        raise DataError(f"there are {len(names.ids)} proteins, so the table needs a column protein")
    return (rows[0] if rows else 0), change


def _row(name: str, names: NameIndex) -> int:
    found = names.find(name)
    if len(found) == 1:
        return found[0]
    what = "is not among" if not found else "is a name of several of"
    shown = ", ".join(names.ids[:3]) + (", ..." if len(names.ids) > 3 else "")
    raise DataError(
        f"protein {name!r} {what} the sequences, which are called {shown}; call it so, or leave "
        "it out where it is the one protein"
    )
