"""Annotation files: GAF 2.x of the Gene Ontology, and tables of protein and terms.

GAF 2.x has 17 tab-separated columns, of which a row may leave out the last two:
http://geneontology.org/docs/go-annotation-file-gaf-format-2.2/. A table has a header that names
`protein` and `go_id` (or CAFA's `EntryID` and `term`), optionally `evidence`, `aspect`, `date`,
`qualifier`; or no header and two columns. A cell may list several terms, joined by commas.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import DataError, InputError, UnknownNameError
from lcplm_graph.files.tables import LINE, read_table, rows
from lcplm_graph.go.ontology import aspect_code
from lcplm_graph.io import warn_once
from lcplm_graph.strings import as_path

#: Experimental and high-throughput codes of the Gene Ontology. IPI is left out: it is evidence
#: from a physical interaction, so a label that rests on it knows the edges of a PPI graph.
EXPERIMENTAL = frozenset(["EXP", "IDA", "IMP", "IGI", "IEP", "HTP", "HDA", "HMP", "HGI", "HEP"])
#: CAFA also counts the statements of authors and curators (TAS, IC) as reliable. They are no
#: experiment on the protein itself, hence not in the default.
CAFA = EXPERIMENTAL | {"TAS", "IC"}
# NR (not recorded) and IMR (now IKR) stand in old files.
_OTHER_CODES = "IPI ISS ISO ISA ISM IGC IBA IBD IKR IMR IRD RCA NAS ND NR IEA"
KNOWN_CODES = CAFA | frozenset(_OTHER_CODES.split())
EVIDENCE_SETS = {"experimental": EXPERIMENTAL, "cafa": CAFA, "all": None}
_GAF = {1: "protein", 3: "qualifier", 4: "go_id", 6: "evidence", 8: "aspect", 13: "date"}
_GAF_WIDTHS = range(15, 18)
_GPAD_WIDTHS = range(10, 13)
_COMMENT = ("!", "#")
# A qualifier is a list joined by "|"; hand-made files have blanks (also those of Unicode), quotes
# and underscores in it, and no relation of GO has a word "not".
_NOT = r"(?i)(^|[^\pL\pN])not($|[^\pL\pN])"
_HEADER = {
    "protein": "protein",
    "entryid": "protein",
    "go_id": "go_id",
    "term": "go_id",
    "new_terms": "go_id",
    "evidence": "evidence",
    "aspect": "aspect",
    "date": "date",
    "qualifier": "qualifier",
}
_ASPECT_COLUMN = "(?i)^(P|F|C|BP|MF|CC|BPO|MFO|CCO)$"


@dataclass(frozen=True)
class Annotations:
    """Which protein has which term, and why.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns `protein`, `go_id`, `evidence`, `aspect` (``BP MF CC``), `date` (int32,
        yyyymmdd); missing values where the file does not tell (0 for a date).
    counts : dict of str to int
        ``annotations`` read, ``negated`` dropped (qualifier NOT), and what `select` dropped.
    """

    table: pd.DataFrame
    counts: dict[str, int]

    def select(
        self,
        evidence: str | Collection[str] = "experimental",
        since: int = 0,
        until: int = 99_999_999,
    ) -> Annotations:
        """Keep the annotations that meet all conditions.

        Parameters
        ----------
        evidence : str or collection of str
            ``experimental``, ``cafa``, ``all``, or codes. Annotations of a file that has no
            evidence codes are all kept, with a warning.
        since, until : int
            Dates yyyymmdd, both inclusive.
        """
        table, codes = self.table, evidence_codes(evidence)
        right = np.ones(len(table), dtype=bool)
        if codes is not None and self.counts["without_evidence_column"]:
            warn_once(
                f"{self.counts['without_evidence_column']} annotations come from a file without "
                "evidence codes; all of them are taken"
            )
        if codes is not None:
            right = (table["evidence"].isin(codes) | table["evidence"].isna()).to_numpy()
        if (since > 0 or until < 99_999_999) and (table["date"] == 0).any():
            raise InputError("a choice by date needs an annotation file with dates, such as GAF")
        timely = table["date"].between(since, until).to_numpy()
        counts = {
            "other_evidence": int((~right).sum()),
            "other_dates": int((right & ~timely).sum()),
        }
        kept = table[right & timely].reset_index(drop=True)
        return Annotations(kept, self.counts | counts)


def evidence_codes(evidence: str | Collection[str]) -> frozenset[str] | None:
    """Turn ``experimental``, ``cafa``, ``all`` or codes into a set; `None` means every code.

    Examples
    --------
    >>> sorted(evidence_codes(["IDA", "EXP"])), evidence_codes("all")
    (['EXP', 'IDA'], None)
    """
    if isinstance(evidence, str):
        if evidence not in EVIDENCE_SETS:
            known = ", ".join(EVIDENCE_SETS)
            raise UnknownNameError(f"no evidence set {evidence!r}; known: {known}, or give codes")
        return EVIDENCE_SETS[evidence]
    strange = sorted(set(evidence) - KNOWN_CODES)
    if strange:
        raise UnknownNameError(f"no evidence code {', '.join(strange)}; see geneontology.org")
    return frozenset(evidence)


def read_annotations(path: str | os.PathLike[str]) -> Annotations:
    """Read a GAF file or a table of annotations (plain, gzip, zstd, bz2 or xz).

    Parameters
    ----------
    path : path-like
        The file; its layout is recognised by its first lines.

    Returns
    -------
    Annotations
        Without those negated by the qualifier NOT.

    Raises
    ------
    DataError
        With file and line: wrong number of columns, no GO id, unknown evidence code, aspect or
        date, text that is not UTF-8, a web page, a binary or truncated file.
    """
    path = as_path(path)
    columns, widths, header = _layout(path)
    table = read_table(path, columns, widths, _COMMENT, skip=header)
    _check_cells(table, path)
    if "qualifier" not in columns:
        table = table.append_column("qualifier", pa.nulls(len(table), pa.large_string()))
    negated = pc.fill_null(pc.match_substring_regex(table["qualifier"], _NOT), False)
    total = table.num_rows
    table = table.filter(pc.invert(negated))
    counts = {
        "annotations": total,
        "negated": total - table.num_rows,
        "without_evidence_column": 0 if "evidence" in columns else table.num_rows,
    }
    return Annotations(_frame(_one_term_per_row(table)), counts)


def _layout(path: Path) -> tuple[dict[str, int], Collection[int], int]:
    """Which column holds what, how many there may be, and the line of the header, 0 if none."""
    for line, cells in rows(path, _COMMENT):
        names = [_HEADER.get(cell.lower()) for cell in cells]
        if "protein" in names and "go_id" in names:
            found = {name: i for i, name in enumerate(names) if name is not None}
            twice = next((name for name in found if names.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"two columns of the header hold {twice}", path=path, line=line)
            return found, [len(cells)], line
        if len(cells) in _GAF_WIDTHS:
            # Rows may leave out the last two columns, each for itself.
            return {name: i for i, name in _GAF.items()}, _GAF_WIDTHS, 0
        if len(cells) == 2 and cells[1].startswith("GO:"):
            return {"protein": 0, "go_id": 1}, [2], 0
        if len(cells) in _GPAD_WIDTHS and cells[3].startswith("GO:"):
            raise DataError(
                "this is GPAD, which is not read; take the GAF file of the same annotations",
                path=path,
                line=line,
            )
        raise DataError(
            f"neither GAF (15 to 17 columns, this line has {len(cells)}) nor a table with the "
            "columns 'protein' and 'go_id' nor 'protein <tab> GO:...'",
            path=path,
            line=line,
        )
    raise DataError("the file holds comments only, no annotation", path=path)


def _check_cells(table: pa.Table, path: Path) -> None:
    codes = pa.array(sorted(KNOWN_CODES), pa.large_string())
    checks: dict[str, tuple[Callable[[pa.ChunkedArray], pa.ChunkedArray], str]] = {
        "protein": (lambda a: pc.not_equal(a, ""), "no protein id"),
        "go_id": (
            lambda a: pc.match_substring_regex(a, r"^GO:\d{7}(,\s*GO:\d{7})*$"),
            "a GO id is 'GO:' and 7 digits, here is",
        ),
        "evidence": (lambda a: pc.is_in(a, codes), "not an evidence code of GO:"),
        "aspect": (
            lambda a: pc.match_substring_regex(a, _ASPECT_COLUMN),
            "an aspect is P, F or C (or BP, MF, CC), here is",
        ),
        "date": (
            lambda a: pc.match_substring_regex(a, r"^[12]\d{3}[01]\d[0-3]\d$"),
            "a date is yyyymmdd, here is",
        ),
    }
    for name, (is_right, message) in checks.items():
        if name not in table.column_names:
            continue
        row = pc.index(is_right(table[name]), False).as_py()
        if row >= 0:
            raise DataError(
                f"{message} {table[name][row].as_py()!r}",
                path=path,
                line=table[LINE][row].as_py(),
                record=table["protein"][row].as_py(),
            )


def _one_term_per_row(table: pa.Table) -> pa.Table:
    if not pc.any(pc.match_substring(table["go_id"], ",")).as_py():
        return table
    lists = pc.split_pattern(table["go_id"].combine_chunks(), ",")
    rows = pc.list_parent_indices(lists)
    terms = pc.utf8_ltrim_whitespace(pc.list_flatten(lists))
    return table.take(rows).set_column(table.column_names.index("go_id"), "go_id", terms)


def _frame(table: pa.Table) -> pd.DataFrame:
    frame = {"protein": table["protein"], "go_id": table["go_id"]}
    for name in ("evidence", "aspect"):
        known = name in table.column_names
        frame[name] = table[name] if known else pa.nulls(len(table), pa.string())
    frame["aspect"] = _standard_aspects(frame["aspect"])
    if "date" in table.column_names:
        frame["date"] = table["date"].cast(pa.int32())
    else:
        frame["date"] = pa.array(np.zeros(len(table), dtype=np.int32))
    return pa.table(frame).to_pandas()


def _standard_aspects(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = whole.dictionary_encode()
    codes = [aspect_code(name.upper()) for name in coded.dictionary.to_pylist()]
    return pa.array(codes, pa.string()).take(coded.indices)
