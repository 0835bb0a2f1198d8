"""Lists of names of proteins as text: one a line, as people keep gene lists."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lcplm_graph.errors import DataError
from lcplm_graph.files.open import open_stream
from lcplm_graph.files.tables import rows
from lcplm_graph.io import warn_once

# What people write above such a list.
_HEADERS = frozenset({
    "gene", "genes", "symbol", "symbols", "protein", "proteins", "name", "names", "id", "ids",
    "accession", "accessions", "uniprot", "entry", "genename", "genesymbol", "genesymbols",
    "hgncsymbol", "geneid", "proteinid", "proteinname", "uniprotid", "uniprotaccession",
    "uniprotkb", "stringid", "query",
})  # fmt: skip
# No name has so many letters and nothing else; a line of a sequence without a header has.
_SEQUENCE = re.compile(r"[A-Za-z*-]{25,}")
_BETWEEN = re.compile(r"[\t,; ]")
_HEAD = 1 << 12


def names_in(path: str | os.PathLike[str]) -> list[str] | None:
    """Return the names of a list, in its order; None if the file is FASTA, or no text of names.

    Parameters
    ----------
    path : path-like
        Plain or compressed.  Blank lines, lines that begin with ``#``, a first line such as
        ``gene`` or ``symbol``, and quotes around a name do not count.

    Raises
    ------
    DataError
        With the line: one that has several columns, or is a sequence; as `open_stream`.
    """
    path = Path(path)
    with open_stream(path) as stream:
        begin = stream.read(_HEAD).lstrip()
    if not begin or begin[:1] in b">;" or b"\0" in begin:
        return None  # of what is wrong with it the reader of FASTA knows more
    found: list[str] = []
    for number, (line, cells) in enumerate(rows(path, ("#",))):
        name = cells[0]
        if number == 0 and len(cells) == 1 and re.sub(r"\W|_", "", name).lower() in _HEADERS:
            continue
        _check_name(name, len(cells), path, line)
        found.append(name)
    if not found:
        raise DataError("there is no name in the list", path=path)
    names = list(dict.fromkeys(found))
    if len(names) < len(found):
        warn_once(f"{path}: {len(found) - len(names):,} names stand there again; each counts once")
    return names


def _check_name(name: str, width: int, path: Path, line: int) -> None:
    if width == 1 and _SEQUENCE.fullmatch(name):
        raise DataError(
            f"a FASTA file starts with '>', and a list of names has one name a line; this is "
            f"{name[:10]}..., a sequence without its header",
            path=path,
            line=line,
        )
    if width > 1 or not name or _BETWEEN.search(name):
        raise DataError(
            "a list of names has one name a line (and a FASTA file starts with '>'); keep the one "
            "column that names the proteins",
            path=path,
            line=line,
        )
