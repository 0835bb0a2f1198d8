"""Labelled proteins, or pairs, from a table: each sequence once, and rows that name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lcplm_graph.errors import ConfigError, DataError, SequenceError
from lcplm_graph.finetuning.labels import Labels, infer_kind, read_labels
from lcplm_graph.finetuning.table import Table
from lcplm_graph.finetuning.target import Kind
from lcplm_graph.io import warn_once
from lcplm_graph.pairs import IntArray
from lcplm_graph.proteins.names import NameIndex
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.vocabulary import encode_residues, normal_form

LEAST_ROWS = 10
# Names are shorter than most sequences.
_SHORT = 25
_ONE = ("sequence", "seq", "protein_sequence", "aa_seq", "mutated_sequence", "primary", "protein")
_PAIRS = (
    ("sequence1", "sequence2"), ("sequence_1", "sequence_2"), ("sequence_a", "sequence_b"),
    ("seq1", "seq2"), ("seq_1", "seq_2"), ("seq_a", "seq_b"), ("protein1", "protein2"),
    ("protein_1", "protein_2"), ("protein_a", "protein_b"), ("id1", "id2"), ("gene1", "gene2"),
    ("gene_a", "gene_b"), ("bait", "prey"), ("query", "partner"),
)  # fmt: skip
_LABEL = (
    "label", "labels", "target", "y", "value", "score", "class", "property", "log_fluorescence",
    "stability_score", "ss3", "dms_score", "fitness", "interaction",
)  # fmt: skip
_PART = ("split", "set", "part", "stage", "subset")
_NAME = ("id", "name", "protein_id", "accession", "entry", "uniprot")


@dataclass(frozen=True)
class Columns:
    """Which columns are what; what is None is found by its usual names.

    Attributes
    ----------
    sequences : sequence of str
        One, or two for pairs; none to look for them.
    labels : sequence of str
    name : str, optional
    part : str, optional
    """

    sequences: Sequence[str] = ()
    labels: Sequence[str] = ()
    name: str | None = None
    part: str | None = None


@dataclass(frozen=True)
class Proteins:
    """Rows of proteins.

    Attributes
    ----------
    sequences : list of str
        Distinct, in their normal form.
    rows : ndarray, dtype=int64, shape=(n, 1 or 2)
        Which of them each row names.
    names : list of str
        Of the rows.
    columns : tuple of str
        Where they stood.
    """

    sequences: list[str]
    rows: IntArray
    names: list[str]
    columns: tuple[str, ...] = ()

    @property
    def paired(self) -> bool:
        """Whether a row is a pair."""
        return self.rows.shape[1] == 2

    @property
    def lengths(self) -> list[int]:
        """Residues of the (first) protein of each row."""
        each = np.array([len(s) for s in self.sequences])
        found: list[int] = each[self.rows[:, 0]].tolist()
        return found


@dataclass(frozen=True)
class Examples:
    """Proteins with labels.

    Attributes
    ----------
    proteins : Proteins
    labels : see `lcplm_graph.finetuning.labels.Labels`
    kind : str
    label_names : tuple of str
    parts : list of str, optional
        The part that each row belongs to, where the table says so.
    """

    proteins: Proteins
    labels: Labels
    kind: Kind
    label_names: tuple[str, ...]
    parts: list[str] | None = None

    def __len__(self) -> int:
        return len(self.proteins.rows)


def read_proteins(table: Table, columns: Columns, known: SequenceStore | None = None) -> Proteins:
    """Read the sequences of a table, one or two a row.

    Parameters
    ----------
    table : Table
    columns : Columns
    known : SequenceStore, optional
        Then the columns hold ids of these proteins.

    Raises
    ------
    DataError
        With row and column: a sequence that is empty or no protein, an id that is not known;
        without: a column that is not there.
    """
    names = tuple(columns.sequences) or _sequence_columns(table)
    if len(names) > 2:
        raise ConfigError(f"a row has one protein or two, not {len(names)}: {', '.join(names)}")
    rows = np.empty((len(table), len(names)), np.int64)
    place: dict[str, int] = {}
    for k, name in enumerate(names):
        cells = table.column(name, "sequences")
        texts = _checked(table, name, cells) if known is None else _named(table, name, known)
        for row, text in enumerate(texts):
            rows[row, k] = place.setdefault(text, len(place))
    return Proteins(list(place), rows, _names(table, columns, names, known), names)


def read_examples(
    table: Table,
    columns: Columns,
    task: Kind | None = None,
    known: SequenceStore | None = None,
    part_column: bool = False,
) -> Examples:
    """Read proteins and labels of a table.

    Parameters
    ----------
    table : Table
    columns : Columns
    task : str, optional
        Kind of the labels; default: found out.
    known : SequenceStore, optional
        As in `read_proteins`.
    part_column : bool
        Also read the parts.

    Raises
    ------
    DataError
        As `read_proteins` and `read_labels`, and if there are fewer than ten rows.
    """
    proteins = read_proteins(table, columns, known)
    if len(table) < LEAST_ROWS:
        raise DataError(
            f"{len(table)} rows are too few to learn from, to choose by and to test on; there must "
            f"be at least {LEAST_ROWS}",
            path=table.path,
        )
    wanted = list(columns.labels) or [_label_column(table, columns, proteins.columns)]
    kind: Kind = task or (
        "multilabel"
        if len(wanted) > 1
        else infer_kind(
            table.column(wanted[0], "labels"), None if proteins.paired else proteins.lengths
        )
    )
    if len(wanted) > 1 and kind != "multilabel":
        raise ConfigError(f"several label columns are for multilabel, not for {kind}")
    if kind == "residue" and proteins.paired:
        raise ConfigError("labels of residues are for one protein a row, not for pairs")
    labels, names = read_labels(table, wanted, kind, proteins.lengths)
    parts = None
    if part_column:
        column = columns.part or table.first_of(_PART)
        parts = list(table.column(column or "split", "the parts"))
        for row, part in enumerate(parts):
            if not part:
                raise table.error("the part is missing", row, column or "split")
    _report_repeated(table, proteins, labels)
    return Examples(proteins, labels, kind, names, parts)


def _sequence_columns(table: Table) -> tuple[str, ...]:
    for pair in _PAIRS:
        found = [table.first_of([name]) for name in pair]
        if all(found):
            return tuple(name for name in found if name)
    one = table.first_of(_ONE)
    if one is None:
        raise DataError(
            f"no column is called sequence, nor sequence1 and sequence2; the columns are "
            f"{table.names}; name them with --sequence",
            path=table.path,
        )
    return (one,)


def _label_column(table: Table, columns: Columns, sequences: Sequence[str]) -> str:
    """Find the column of labels: by its name, or as the only one that is left."""
    found = table.first_of(_LABEL)
    if found is None:
        taken = {
            *sequences, columns.name or table.first_of(_NAME), columns.part or table.first_of(_PART)
        }  # fmt: skip
        left = [name for name in table.columns if name not in taken]
        if len(left) == 1:
            return left[0]
        raise DataError(
            f"no column is called label; the columns are {table.names}; name it with --label",
            path=table.path,
        )
    return found


def _checked(table: Table, name: str, cells: Sequence[str]) -> list[str]:
    texts = []
    for row, cell in enumerate(cells):
        if not cell:
            raise table.error("the sequence is empty; remove the row", row, name)
        try:
            encode_residues(cell)
        except SequenceError as error:
            what = str(error)
            if len(cell) < _SHORT:
                what += f" ({cell!r}: if it is an id, give --sequences FASTA)"
            raise table.error(what, row, name) from None
        texts.append(normal_form(cell))
    return texts


def _named(table: Table, name: str, known: SequenceStore) -> list[str]:
    cells = table.columns[name]
    found = known.match(cells, str(table.path))
    if (found < 0).any():
        found = _by_gene_name(cells, found, known)
    missing = np.flatnonzero(found < 0)
    if len(missing):
        row = int(missing[0])
        lost = len({cells[i] for i in missing.tolist()})
        more = f" (nor for {lost - 1:,} more of {len(set(cells)):,} ids)" if lost > 1 else ""
        raise table.error(f"there is no sequence for the id {cells[row]!r:.60}{more}", row, name)
    return [normal_form(known[int(i)]) for i in found]


def _by_gene_name(cells: Sequence[str], found: IntArray, known: SequenceStore) -> IntArray:
    """Fill in what is -1 where one protein has this gene name in its UniProt header."""
    names = NameIndex(known.ids, known.gene_names)
    filled = found.copy()
    for place in np.flatnonzero(found < 0).tolist():
        rows = names.find(cells[place])
        if len(rows) == 1:
            filled[place] = rows[0]
    return filled


def _names(
    table: Table, columns: Columns, sequences: Sequence[str], known: SequenceStore | None
) -> list[str]:
    name = columns.name or table.first_of(_NAME)
    if name is not None and name not in sequences:
        return list(table.column(name, "names"))
    if known is not None:
        return [" ".join(cells) for cells in zip(*(table.columns[s] for s in sequences),
                                                 strict=True)]  # fmt: skip
    return [f"{table.unit} {number}" for number in table.numbers]


def _report_repeated(table: Table, proteins: Proteins, labels: Labels) -> None:
    """Warn if one protein, or one pair in either order, has several labels."""
    keys = np.sort(proteins.rows, axis=1)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.ravel()
    if group.max() + 1 == len(group):
        return
    first: dict[int, bytes] = {}
    differ: set[int] = set()
    for row, g in enumerate(group.tolist()):
        content = np.asarray(labels[row]).tobytes()
        if first.setdefault(g, content) != content:
            differ.add(g)
    if differ:
        what = "pairs" if proteins.paired else "sequences"
        warn_once(f"{table.path}: {len(differ)} {what} occur in several rows with different labels")
