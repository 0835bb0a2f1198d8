"""`PublishedPairs`: a benchmark of three tables of labelled pairs, with its faults counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from lcplm_graph.datasets.interaction_files import refuse_interactions
from lcplm_graph.datasets.pair_table import COMMENT, Layout, layout_of
from lcplm_graph.datasets.row_counts import (
    CONTRADICTORY,
    DUPLICATES,
    NO_LABEL,
    NO_SEQUENCE,
    ROWS,
    SELF_PAIRS,
    in_words,
)
from lcplm_graph.errors import DataError, LeakageError
from lcplm_graph.files.tables import rows
from lcplm_graph.io import warn_once
from lcplm_graph.numeric import flag
from lcplm_graph.pairs import IntArray
from lcplm_graph.proteins.store import read_fasta_files
from lcplm_graph.splits.parts import PARTS
from lcplm_graph.splits.published import PublishedSplit
from lcplm_graph.splits.split import Labelled

#: What stands where a row has no label.
NO_LABEL_CELLS = ("", "na", "nan", "none", "null", "?", "-")
# Left out, whereas pairs of one id with itself are kept, as published.
_TWO_NAMES = "self_pairs_under_two_names"


@dataclass
class LabelledTable:
    """One table of labelled pairs.

    Attributes
    ----------
    path : pathlib.Path
    rows : int
        Read, whatever became of them.
    ends : list of (str, str)
    labels : list of int
    faults : dict of str to list of str
        What was left out, or is odd, each with where it stands.
    """

    path: Path
    rows: int = 0
    ends: list[tuple[str, str]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, kind: str, where: str) -> None:
        """Note a fault of this kind."""
        self.faults.setdefault(kind, []).append(where)


def read_labelled_table(path: str | os.PathLike[str]) -> LabelledTable:
    """Read a table of id, id and 0 or 1, plain or compressed, with or without a header.

    Columns are found and separated as in `read_pairs`.  Blank lines and lines that begin with
    ``#`` do not count.

    A row without a label is left out and counted, a row that repeats a pair (in either order) too,
    and all rows of a pair that is labelled both 0 and 1.

    Raises
    ------
    DataError
        With file and line: not three columns, an empty id, a label that is not 0 or 1.
    """
    table = LabelledTable(Path(str(path).removeprefix("pairs:")))
    found: dict[tuple[str, str], set[int]] = {}
    lines: list[tuple[int, tuple[str, str], int]] = []
    refuse_interactions(table.path)
    layout = layout_of(table.path)
    for line, cells in rows(table.path, COMMENT, layout.separator):
        if line == layout.header and layout.width > 2:
            continue
        table.rows += 1
        a, b, label = _cells(table.path, line, cells, layout)
        if label is None:
            table.fault(NO_LABEL, f"line {line}")
            continue
        key = (a, b) if a <= b else (b, a)
        if a == b:
            table.fault(SELF_PAIRS, f"{a}, line {line}")
        if key in found:
            table.fault(DUPLICATES, f"{a} {b}, line {line}")
            found[key].add(label)
            continue
        found[key] = {label}
        lines.append((line, (a, b), label))
    for line, (a, b), label in lines:
        if len(found[(a, b) if a <= b else (b, a)]) > 1:
            table.fault(CONTRADICTORY, f"{a} {b}, line {line}")
        else:
            table.ends.append((a, b))
            table.labels.append(label)
    return table


def _cells(
    path: Path, line: int, cells: Sequence[str], layout: Layout
) -> tuple[str, str, int | None]:
    # Tables of three columns may leave labels out, of all rows or of some.
    free = layout.ids == (0, 1) and layout.width < 4
    if len(cells) not in ((2, 3) if free else (layout.width,)):
        raise DataError(
            f"a line is id, id, label, or what a header names; this one has {len(cells)} columns",
            path=path,
            line=line,
        )
    a, b = (cells[place] for place in layout.ids)
    if not (a and b):
        raise DataError("an id is empty", path=path, line=line)
    place = 2 if free else layout.value
    text = cells[place] if place is not None and place < len(cells) else ""
    if text.lower() in NO_LABEL_CELLS:
        return a, b, None
    if text not in ("0", "1", "0.0", "1.0"):
        raise DataError(f"the label is 0 or 1, here it is {text!r}", path=path, line=line)
    return a, b, int(text[0])


class PublishedPairs:
    """A published benchmark: tables of training, validation and test pairs, and sequences.

    Nothing is drawn and nothing is split again.  Only what cannot be measured is left out: rows
    without a label, rows of a protein without a sequence, repeats, and contradictions.

    Parameters
    ----------
    train, valid, test : path-like
        Tables of id, id and 0 or 1, plain or compressed; ``pairs:FILE`` is understood too.
    sequences : sequence of path-like
        FASTA files.
    allow_leakage : bool
        Keep pairs that occur in two parts; otherwise they are refused.

    Attributes
    ----------
    sequences : SequenceStore
        In node order.
    split : PublishedSplit
    raw_paths : list of str
        The input files: the three tables, and those of the sequences.
    report : dict
        For ``train``, ``valid`` and ``test``: ``rows``, ``pairs``, ``positives``, ``proteins``,
        and, where there are any, ``rows_without_label``, ``rows_without_sequence``,
        ``duplicates``, ``contradictory_pairs`` and ``self_pairs`` (kept), as in `PairPPI`.
        Under ``in_common``: pairs and proteins that two parts share.

    Raises
    ------
    DataError
        As `read_labelled_table` and `read_fasta_files`, and if a part has not both labels.
    LeakageError
        If a pair occurs in two parts, under the same ids or others of the same sequences.
    """

    def __init__(
        self,
        train: str | os.PathLike[str],
        valid: str | os.PathLike[str],
        test: str | os.PathLike[str],
        sequences: Sequence[str | os.PathLike[str]],
        *,
        allow_leakage: bool = False,
    ) -> None:
        allow_leakage = flag(allow_leakage, "allow_leakage")
        given = zip(PARTS, (train, valid, test), strict=True)
        paths = {part.label: path for part, path in given}
        tables = {part: read_labelled_table(path) for part, path in paths.items()}
        store = read_fasta_files(sequences)
        self.raw_paths = [str(table.path) for table in tables.values()]
        self.raw_paths += [str(path) for path in sequences]
        named = [name for table in tables.values() for pair in table.ends for name in pair]
        names = list(dict.fromkeys(named))
        rows = store.match(names, "tables and sequences").tolist()
        used = {row: i for i, row in enumerate(dict.fromkeys(row for row in rows if row >= 0))}
        node_of = {name: used.get(row, -1) for name, row in zip(names, rows, strict=True)}
        self.sequences = store.select(list(used))
        parts = {part: _labelled(table, node_of) for part, table in tables.items()}
        self.split = PublishedSplit.of(parts, len(self.sequences))
        self.report = {part: _counts(parts[part], tables[part]) for part in paths}
        self.report["in_common"] = self._in_common(allow_leakage)
        for table in tables.values():
            _warn_of_faults(table)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Data:
        """Return the graph of the training positives; there is one."""
        if index not in (0, -1):
            raise IndexError(f"a published benchmark has one graph, at 0; there is no {index}")
        both = np.concatenate([self.split.message, self.split.message[:, ::-1]])
        edge_index = torch.from_numpy(np.ascontiguousarray(both.T))
        return Data(
            edge_index=edge_index,
            num_nodes=len(self.sequences),
            protein_id=self.sequences.ids,
        )

    def _in_common(self, allow_leakage: bool) -> dict[str, Any]:
        """Count what parts share; a pair of another part under other ids is the same pair."""
        _, same = np.unique(self.sequences.digests(), return_inverse=True)
        merged = {
            part: Labelled(same[pairs], labels)
            for part, (pairs, labels) in self.split.published.items()
        }
        by_sequence = PublishedSplit.of(merged, len(same))
        first_of = np.unique(same, return_index=True)[1]
        found: dict[str, Any] = {}
        for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
            pairs = by_sequence.shared_pairs(one, other)
            found[f"pairs_of_{one}_and_{other}"] = len(pairs)
            found[f"proteins_of_{one}_and_{other}"] = len(by_sequence.shared_proteins(one, other))
            if len(pairs) and not allow_leakage:
                a, b = (self.sequences.ids[first_of[i]] for i in pairs[0])
                raise LeakageError(
                    f"{len(pairs)} pairs of {other} are pairs of {one} too (by id or by sequence), "
                    f"for example {a} {b}; take them out of one of the tables, or give "
                    "--allow-leakage, which marks every number LEAKED"
                )
        return found


def _labelled(table: LabelledTable, node_of: dict[str, int]) -> Labelled:
    nodes = [node_of[name] for pair in table.ends for name in pair]
    ends = np.array(nodes, np.int64).reshape(-1, 2)
    known = (ends >= 0).all(axis=1)
    for row in np.flatnonzero(~known):
        missing = [name for name, i in zip(table.ends[row], ends[row], strict=True) if i < 0]
        table.fault(NO_SEQUENCE, ", ".join(missing))
    other_name = np.array([a != b for a, b in table.ends], bool)
    itself = known & (ends[:, 0] == ends[:, 1]) & other_name
    for row in np.flatnonzero(itself):
        table.fault(_TWO_NAMES, " ".join(table.ends[row]))
    known &= ~itself
    labels = np.array(table.labels, bool)[known]
    if labels.all() or not labels.any():
        raise DataError(
            f"{int(labels.sum())} positive and {int((~labels).sum())} negative pairs with sequences"
            " are left; both kinds are needed",
            path=table.path,
        )
    pairs: IntArray = ends[known]
    return Labelled(pairs, labels)


def _counts(part: Labelled, table: LabelledTable) -> dict[str, Any]:
    counts: dict[str, Any] = {
        ROWS: table.rows,
        "pairs": len(part.pairs),
        "positives": int(part.labels.sum()),
        "proteins": len(np.unique(part.pairs)),
    }
    return counts | {kind: len(where) for kind, where in table.faults.items()}


def _warn_of_faults(table: LabelledTable) -> None:
    for kind, where in table.faults.items():
        examples = "; ".join(name for name, _ in Counter(where).most_common(3))
        kept = " (kept)" if kind == SELF_PAIRS else ""
        warn_once(f"{table.path}: {in_words({kind: len(where)})}{kept}, for example {examples}")


def facts(report: Mapping[str, Any]) -> dict[str, str]:
    """Say the report of `PublishedPairs` in one line per part, for the head of a table."""
    return {part.replace("_", " "): in_words(counts, zeros=True) for part, counts in report.items()}
