"""Files of interaction databases as they are downloaded: BioGRID's TAB and PSI-MITAB.

A row is one observation of two interactors in one publication, each under many names.  Which names
count, the sequences at hand decide.  Only physical interactions of two proteins are kept: genetic
ones, and those that were looked for and not found, are counted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.datasets.row_counts import GENETIC, NEGATIVE, NO_NAME, RNA, ROWS
from lcplm_graph.errors import DataError
from lcplm_graph.files.tables import read_table, rows
from lcplm_graph.io import warn_once
from lcplm_graph.proteins.store import SequenceStore

_COMMENT = ("#",)
_NOTHING = "-"
_SCORES = "confidence"
_SEARCHED = 200
# Versions 2.5, 2.6, 2.7 and 2.8 of MITAB.
_MITAB_WIDTHS = (15, 36, 42, 46)
_MITAB_EXCLUDED = ((11, "genetic", GENETIC), (35, "^true$", NEGATIVE))
# A column of ``name:score``, and the one name whose scores mean the same in each row.
_CONFIDENCE = 14
_MISCORE = r"(?:^|\|)intact-miscore:(?P<score>[0-9]*\.?[0-9]+)(?:\||$)"
# The protein a chain is cut from is the one that has a sequence.
_CHAIN = re.compile(r"-PRO_[0-9]+$")
# In the order of trust; other names are those of genes, or of no protein.
_DATABASES = (
    "uniprotkb", "uniprot/swiss-prot", "swiss-prot", "uniprot/trembl", "trembl", "ensembl",
    "refseq",
)  # fmt: skip
_BIOGRID_NAMES = (
    "SWISS-PROT Accessions", "TREMBL Accessions", "REFSEQ Accessions", "Systematic Name",
)  # fmt: skip
_BIOGRID_EXCLUDED = (
    ("Experimental System Type", "genetic", GENETIC), ("Experimental System", "RNA", RNA),
)  # fmt: skip


class _Format(NamedTuple):
    """Where a file has what is read of it.

    Attributes
    ----------
    title : str
    sides : tuple of two tuples of int
        Columns of the names of A and of B, the most trusted first.
    names : callable
        From the cells of an interactor to its names.
    excluded : tuple of (int, str, str)
        Rows that are left out: a column, what it then matches, and what they are counted as.
    width : int
        How many columns there are.
    header : int
        Line of a header that may look like a row, 0 if there is none.
    confidence : int or None
        Column of scores that are comparable from row to row; of BioGRID's, each publication has
        its own.
    """

    title: str
    sides: tuple[tuple[int, ...], tuple[int, ...]]
    names: Callable[[list[str]], list[str]]
    excluded: tuple[tuple[int, str, str], ...]
    width: int
    header: int = 0
    confidence: int | None = None


def refuse_interactions(path: Path) -> None:
    """Refuse a file of BioGRID, whose first columns are no names of proteins, as a plain table.

    Raises
    ------
    DataError
        With what to do.
    """
    found = interaction_format(path)
    if found is None or found.names is not _biogrid_names:
        return
    a, b = (f"${places[0] + 1}" for places in found.sides)
    raise DataError(
        f"this is {found.title}, which only pairs:FILE reads as a network; take two names of each "
        f"row: awk -F'\\t' '{a} {b} !~ /[-|]/ {{print {a} \"\\t\" {b}}}' FILE",
        path=path,
    )


def interaction_format(path: Path) -> _Format | None:
    """Tell the format of a file of an interaction database; None if it is no such file.

    Raises
    ------
    DataError
        As `open_stream`, and if a file of BioGRID lacks a column.
    """
    first = list(itertools.islice(rows(path), _SEARCHED))
    if first and first[0][1][0].lstrip("#") == "BioGRID Interaction ID":
        return _biogrid(*first[0], path)
    row = next((cells for _, cells in first if not cells[0].startswith("#")), [])
    if _is_mitab(row):
        excluded = tuple(one for one in _MITAB_EXCLUDED if one[0] < len(row))
        sides = ((0, 2), (1, 3))
        return _Format(
            "a PSI-MITAB file", sides, _mitab_names, excluded, len(row), confidence=_CONFIDENCE
        )
    return None


def _is_mitab(row: list[str]) -> bool:
    # A molecule alone has nothing on its other side.
    named = any(":" in cell for cell in row[:2])
    species = all(cell == _NOTHING or cell.startswith("taxid:") for cell in row[9:11])
    return len(row) in _MITAB_WIDTHS and named and species


def _biogrid(line: int, header: list[str], path: Path) -> _Format:
    places = {name.lstrip("#"): place for place, name in enumerate(header)}
    sides = [
        tuple(places[key] for name in _BIOGRID_NAMES if (key := f"{name} Interactor {x}") in places)
        for x in "AB"
    ]
    missing = [name for name, *_ in _BIOGRID_EXCLUDED if name not in places]
    if missing or not all(sides):
        lacks = ", ".join(missing) or " and ".join(_BIOGRID_NAMES[:2])
        raise DataError(
            f"this file of BioGRID has no column {lacks}; download its TAB3 format",
            path=path,
            line=line,
        )
    excluded = tuple((places[name], pattern, what) for name, pattern, what in _BIOGRID_EXCLUDED)
    both = (sides[0], sides[1])
    return _Format("a file of BioGRID", both, _biogrid_names, excluded, len(header), line)


def _biogrid_names(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in cell.split("|") if name not in ("", _NOTHING)]


def _mitab_names(cells: list[str]) -> list[str]:
    """Return names of proteins among ``database:name(comment)|...``, the most trusted first."""
    found: dict[str, list[str]] = {}
    for part in "|".join(cells).split("|"):
        database, _, name = part.partition(":")
        name = name.partition("(")[0].strip('"')
        found.setdefault(database.lower(), []).append(_CHAIN.sub("", name))
    return [name for database in _DATABASES for name in found.get(database, []) if name]


def read_interactions(
    path: Path, found: _Format, store: SequenceStore
) -> tuple[pd.DataFrame, bool, dict[str, int]]:
    """Read pairs of proteins, each under the first of its names that has a sequence.

    Parameters
    ----------
    path : pathlib.Path
    found : _Format
        Of `interaction_format`.
    store : SequenceStore

    Returns
    -------
    table : pandas.DataFrame
        Columns `a`, `b` (str; a name without a sequence where none has one) and `value`: the
        scores, if each row has one, else 1.
    has_scores : bool
    counts : dict of str to int
        Rows, and those that are left out.

    Raises
    ------
    DataError
        As `read_table`.
    """
    places = {
        f"{x}{i}": place
        for x, side in zip("ab", found.sides, strict=True)
        for i, place in enumerate(side)
    }
    kinds = {what: place for place, _, what in found.excluded}
    kinds |= {} if found.confidence is None else {_SCORES: found.confidence}
    table = read_table(path, places | kinds, [found.width], _COMMENT, skip=found.header)
    counts = {ROWS: len(table)}
    for _, pattern, what in found.excluded:
        kept = pc.invert(pc.match_substring_regex(table[what], pattern, ignore_case=True))
        counts[what] = len(table) - int(pc.sum(kept, min_count=0).as_py())
        table = table.filter(kept)
    sides = [[table[name] for name in places if re.fullmatch(f"{x}[0-9]", name)] for x in "ab"]
    interactors = pa.chunked_array(
        [chunk for side in sides for chunk in _joined(side).chunks], pa.large_string()
    )
    names = _names_with_sequences(interactors, found.names, store, path)
    frame = pd.DataFrame(dict(zip("ab", np.split(names, 2), strict=True)))
    nameless = (frame == "").any(axis=1)
    counts[NO_NAME] = int(nameless.sum())
    has_scores, values = _scores(table[_SCORES] if _SCORES in kinds else None, ~nameless, path)
    return frame[~nameless].assign(value=values).reset_index(drop=True), has_scores, counts


def _scores(
    texts: pa.ChunkedArray | None, kept: pd.Series, path: Path
) -> tuple[bool, npt.NDArray[np.float32]]:
    """Return the scores of the rows that are kept if each has one, else ones, and which it is."""
    ones = np.ones(int(kept.sum()), np.float32)
    if texts is None:
        return False, ones
    found = pc.struct_field(pc.extract_regex(texts, _MISCORE), "score")
    values = pc.cast(found, pa.float32()).to_numpy()[kept.to_numpy()]
    has = (values > 0) & (values <= 1)
    if has.any() and not has.all():
        warn_once(
            f"{path}: {int((~has).sum()):,} of {len(has):,} rows have no intact-miscore, so each "
            "pair has weight 1"
        )
    return (True, values) if len(has) and has.all() else (False, ones)


def _joined(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*columns, pa.scalar("\t", pa.large_string()))


def _names_with_sequences(
    interactors: pa.ChunkedArray,
    names: Callable[[list[str]], list[str]],
    store: SequenceStore,
    path: Path,
) -> npt.NDArray[np.object_]:
    """Return the first name of each interactor that has a sequence, else the first, or nothing."""
    encoded = interactors.combine_chunks().dictionary_encode()
    choices = [names(text.split("\t")) for text in encoded.dictionary.to_pylist()]
    every = list(dict.fromkeys(itertools.chain.from_iterable(choices)))
    is_there = dict(zip(every, (store.match(every, str(path)) >= 0).tolist(), strict=True))
    chosen = [next((n for n in some if is_there[n]), some[0] if some else "") for some in choices]
    return np.array([*chosen, ""], dtype=object)[encoded.indices.to_numpy()]
