"""`PairPPI`: any table of protein pairs with a FASTA file, as a graph, its faults counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.cache import Built, Hooks, PathLike, cache_of_files
from lcplm_graph.errors import ConfigError, DataError, InputError
from lcplm_graph.files.tables import BadTable, check_width, line_of_row, read_csv, rows
from lcplm_graph.io import warn_once
from lcplm_graph.proteins.store import SequenceStore

_DROPPED = ("rows_without_sequence", "self_pairs", "duplicates", "contradictory_pairs")
_HEADERS = ("protein1", "protein_1", "protein_a", "proteina", "id1")


class PairPPI(PPIDataset):
    """A graph from a table of pairs (D-SCRIPT, PRING, your own) and a FASTA file.

    The table has two or three tab-separated columns without blanks around: two ids, and a label
    (0 or 1) or a score in [0, 1]. A header line is recognised by a third cell that is no number,
    or by ``protein1``, ``proteinA`` or ``id1`` in the first cell.

    Parameters
    ----------
    pairs : path-like
        The table, plain or compressed; ``pairs:FILE`` is understood too.
    fasta : path-like, optional
        Sequences; by default the one FASTA file beside the table with the same stem.
    third : {"label", "score"}, optional
        What the third column is; by default ``label`` if it holds 0 and 1 only.
    all_proteins : bool
        Also make nodes of proteins of the FASTA file that no pair names.
    root, transform, pre_transform, pre_filter, force_reload
        As in `ProteinDataset`.

    Attributes
    ----------
    report : dict of str to int
        ``rows`` read; ``positives`` and ``negatives`` kept; dropped rows: ``self_pairs``,
        ``rows_without_sequence`` (and how many ``ids_without_sequence`` they name),
        ``duplicates`` (rows that repeat a pair in either order), ``contradictory_pairs``
        (labelled both 0 and 1: neither is kept). These add up to ``rows``. Kept but counted:
        ``ids_sharing_a_sequence``. ``published_*`` are the rows by label as in the file.

    Raises
    ------
    DataError
        With file and line: wrong number of columns, a label that is not 0 or 1, a score outside
        [0, 1], an empty id, text that is not UTF-8, a web page, a binary or truncated file, or
        no pair left.

    Notes
    -----
    ``dataset[0]`` has `edge_index` (both directions of the positives, sorted), `edge_weight`
    (the score, else 1), `protein_id`, and the published negatives as `neg_edge_index` (int64,
    (2, k), i < j), to evaluate on as published. They reward a protein's degree; compare with
    the negatives of a `Split`.
    """

    def __init__(
        self,
        pairs: PathLike,
        fasta: PathLike | None = None,
        *,
        third: str | None = None,
        all_proteins: bool = False,
        root: PathLike | None = None,
        **hooks: Unpack[Hooks],
    ) -> None:
        if third not in (None, "label", "score"):
            raise ConfigError(f"`third` is 'label' or 'score', not {third!r}")
        table = Path(str(pairs).removeprefix("pairs:"))
        self.third, self.all_proteins = third, all_proteins
        self.inputs = {"pairs": [table], "sequences": [Path(fasta or _fasta_beside(table))]}
        options = {"third": third, "all_proteins": all_proteins}
        super().__init__(cache_of_files("PairPPI", self.inputs, options, root, hooks), **hooks)

    def build(self) -> Built:
        """Make the graph of the positives, its sequences, and counts of what was dropped."""
        path = self.inputs["pairs"][0]
        table, kind = read_pairs(path, self.third)
        store = SequenceStore.from_fasta(self.inputs["sequences"][0])
        pairs, values, report = _clean(table, kind, store)
        if not len(pairs):
            raise DataError(_nothing_left(table, store, report), path=path)
        nodes = np.arange(len(store)) if self.all_proteins else np.unique(pairs)
        pairs = np.searchsorted(nodes, pairs)
        store = store.select(nodes)
        report["proteins"] = len(store)
        report["ids_sharing_a_sequence"] = _sharing(store)
        positive = values > 0
        report |= {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
        _say(path, report)
        return Built(_graph(pairs, values, positive, store), store, report)


def read_pairs(path: str | os.PathLike[str], third: str | None = None) -> tuple[pd.DataFrame, str]:
    """Read a table of pairs.

    Parameters
    ----------
    path : path-like
        Two or three tab-separated columns, with or without a header.
    third : {"label", "score"}, optional
        What the third column is; found out by default.

    Returns
    -------
    table : pandas.DataFrame
        Columns `a`, `b` (str) and `value` (float32; 1 if there is no third column).
    kind : {"label", "score", "none"}
        What the third column is.

    Raises
    ------
    DataError
        As `PairPPI`.
    """
    path = Path(path)
    width, header = _layout(path)
    names = ["a", "b", "value"][:width]
    types = {"a": pa.string(), "b": pa.string(), "value": pa.float32()}
    try:
        table = read_csv(
            path,
            pacsv.ReadOptions(column_names=names, skip_rows=header),
            pacsv.ParseOptions(delimiter="\t", quote_char=False),
            pacsv.ConvertOptions(column_types=types, null_values=[]),
        )
    except BadTable as error:
        _explain(path, width, header)
        raise DataError(f"cannot be read as a table of pairs ({error})", path=path) from error
    for name in ("a", "b"):
        row = pc.index(pc.equal(table[name], ""), True).as_py()
        if row >= 0:
            raise DataError("an id is empty", path=path, line=line_of_row(path, row + header))
    if width == 2:
        table = table.append_column("value", pa.array(np.ones(len(table), np.float32)))
        return table.to_pandas(), "none"
    frame = table.to_pandas()
    return frame, _check_values(frame["value"].to_numpy(), third, path, header)


def _check_values(
    values: npt.NDArray[np.float32], third: str | None, path: Path, header: bool
) -> str:
    is_label = (values == 0) | (values == 1)
    kind = third or ("label" if is_label.all() else "score")
    right = is_label if kind == "label" else (values >= 0) & (values <= 1)
    if not right.all():
        row = int(np.argmin(right))
        wanted = "0 or 1" if kind == "label" else "a label 0 or 1 or a score in [0, 1]"
        raise DataError(
            f"the third column is {wanted}, here it is {values[row]:g}",
            path=path,
            line=line_of_row(path, row + header),
        )
    return kind


def _layout(path: Path) -> tuple[int, bool]:
    """Count the columns and see whether the first line is a header."""
    for line, cells in rows(path):
        if len(cells) not in (2, 3):
            raise DataError(
                f"a table of pairs has 2 or 3 tab-separated columns, this line {len(cells)}",
                path=path,
                line=line,
            )
        named = cells[0].strip().lower() in _HEADERS
        return len(cells), named or (len(cells) == 3 and not _is_number(cells[2]))
    raise DataError("the table has no line", path=path)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _explain(path: Path, width: int, header: bool) -> None:
    check_width(path, width)
    for number, (line, cells) in enumerate(rows(path)):
        if width == 3 and number >= header and not _is_number(cells[2]):
            raise DataError(f"{cells[2]!r} is no label or score", path=path, line=line)


def _clean(
    table: pd.DataFrame, kind: str, store: SequenceStore
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], dict[str, Any]]:
    """Drop what cannot be an edge, in the order of the report, and count it."""
    report: dict[str, Any] = {"rows": len(table)}
    labels = table["value"].to_numpy()
    if kind == "label":
        positive = int((labels == 1).sum())
        report |= {"published_positives": positive, "published_negatives": len(table) - positive}
    ends = np.stack([store.index_of(table[side]) for side in ("a", "b")], axis=1)
    missing = pd.concat([table[side][ends[:, i] < 0] for i, side in enumerate("ab")])
    known = (ends >= 0).all(axis=1)
    itself = (table["a"] == table["b"]).to_numpy()
    report["ids_without_sequence"] = int(missing.nunique())
    report["rows_without_sequence"] = int((~known).sum())
    report["self_pairs"] = int((known & itself).sum())
    kept = known & ~itself
    clean = pd.DataFrame(np.sort(ends[kept], axis=1), columns=["i", "j"])
    clean["value"] = labels[kept]
    pair = clean.groupby(["i", "j"], sort=True)["value"]
    merged = pair.agg(["min", "max", "size"])
    clash = (
        (merged["min"] != merged["max"]).to_numpy()
        if kind == "label"
        else np.zeros(len(merged), bool)
    )
    report["contradictory_pairs"] = int(clash.sum())
    report["duplicates"] = int((merged["size"] - 1).sum())
    merged = merged[~clash]
    pairs = np.array(merged.index.to_list(), dtype=np.int64).reshape(-1, 2)
    return pairs, merged["max"].to_numpy(np.float32), report


def _nothing_left(table: pd.DataFrame, store: SequenceStore, report: dict[str, Any]) -> str:
    dropped = ", ".join(f"{report[kind]} {kind.replace('_', ' ')}" for kind in _DROPPED)
    ids = (list(dict.fromkeys(table["a"]))[:3], list(store.ids[:3]))
    in_table, in_fasta = (", ".join(map(repr, some)) or "none" for some in ids)
    return (
        f"no pair is left of {report['rows']} rows: {dropped}; ids of the table are like "
        f"{in_table}, ids of the FASTA file, {len(store)} in all, like {in_fasta}"
    )


def _sharing(store: SequenceStore) -> int:
    _, counts = np.unique(store.digests(), return_counts=True)
    return int(counts[counts > 1].sum())


def _say(path: Path, report: dict[str, Any]) -> None:
    dropped = [f"{report[kind]} {kind.replace('_', ' ')}" for kind in _DROPPED if report[kind]]
    if dropped:
        warn_once(f"{path}: of {report['rows']} rows, dropped {', '.join(dropped)}")
    if report["ids_sharing_a_sequence"]:
        warn_once(f"{path}: {report['ids_sharing_a_sequence']} ids share a sequence with another")


def _graph(
    pairs: npt.NDArray[np.int64],
    values: npt.NDArray[np.float32],
    positive: npt.NDArray[np.bool_],
    store: SequenceStore,
) -> Data:
    one_way = torch.from_numpy(np.ascontiguousarray(pairs[positive].T))
    edge_index, edge_weight = to_undirected(
        one_way, torch.from_numpy(values[positive]), num_nodes=len(store), reduce="max"
    )
    negatives = torch.from_numpy(np.ascontiguousarray(pairs[~positive].T))
    return Data(
        edge_index=edge_index,
        edge_weight=edge_weight,
        neg_edge_index=negatives,
        num_nodes=len(store),
        protein_id=store.ids,
    )


def _fasta_beside(table: Path) -> Path:
    stem = table.name.partition(".")[0]
    found = [
        path
        for suffix in (".fasta", ".fa", ".fasta.gz", ".fa.gz", ".fasta.zst")
        if (path := table.with_name(stem + suffix)).is_file()
    ]
    if len(found) != 1:
        what = "none is" if not found else "several are"
        raise InputError(f"give the FASTA file of {table}: {what} beside it under the same name")
    return found[0]
