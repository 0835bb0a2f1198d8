"""`PairPPI`: any table of protein pairs with a FASTA file, as a graph, its faults counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.cache import Built, Hooks, PathLike, cache_of_files
from lcplm_graph.datasets.pair_table import check_scale, read_pairs
from lcplm_graph.datasets.row_counts import (
    CONTRADICTORY,
    DUPLICATES,
    NO_SEQUENCE,
    ROWS,
    SELF_PAIRS,
    in_words,
)
from lcplm_graph.errors import ConfigError, DataError, InputError
from lcplm_graph.files.open import check_is_file
from lcplm_graph.io import warn_once
from lcplm_graph.proteins.store import SequenceStore

_DROPPED = (NO_SEQUENCE, SELF_PAIRS, DUPLICATES, CONTRADICTORY)


class PairPPI(PPIDataset):
    """A graph from a table of pairs (D-SCRIPT, PRING, your own) and a FASTA file.

    The table has two or three tab-separated columns without blanks around: two ids, and a label
    (0 or 1) or a score in [0, 1], or up to `scale`. A header line is recognised by usual names of
    columns, as ``protein1``, ``id_a`` or ``label``; lines that begin with ``#`` are left out. An id
    that the FASTA file spells otherwise (``sp|P12345|NAME`` for ``P12345``) is matched by its
    accession.

    Parameters
    ----------
    pairs : path-like
        The table, plain or compressed; ``pairs:FILE`` is understood too.
    fasta : path-like, optional
        Sequences; by default the one FASTA file beside the table with the same stem.
    third : {"label", "score"}, optional
        What the third column is; by default ``label`` if it holds 0 and 1 only.
    scale : float
        The highest score there can be, 1000 in STRING's units; weights are scores divided by it.
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
    InputError
        If `pairs` is not the path of a file.
    DataError
        With file and line: wrong number of columns, a label that is not 0 or 1, a score outside
        [0, `scale`], an empty id, text that is not UTF-8, a web page, a binary or truncated file,
        or no pair left.

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
        scale: float = 1.0,
        all_proteins: bool = False,
        root: PathLike | None = None,
        **hooks: Unpack[Hooks],
    ) -> None:
        if third not in (None, "label", "score"):
            raise ConfigError(f"`third` is 'label' or 'score', not {third!r}")
        if not isinstance(pairs, str | os.PathLike):
            raise InputError(
                f"pairs are a file here, not a {type(pairs).__name__}; from_dataframe and "
                "from_networkx take what is in memory"
            )
        table = Path(str(pairs).removeprefix("pairs:"))
        self.third, self.all_proteins, self.scale = third, all_proteins, check_scale(scale)
        self.inputs = {"pairs": [table], "sequences": [Path(fasta or _fasta_beside(table))]}
        options: dict[str, Any] = {"third": third, "all_proteins": all_proteins}
        options |= {"scale": scale} if scale != 1 else {}
        super().__init__(cache_of_files("PairPPI", self.inputs, options, root, hooks), **hooks)

    def build(self) -> Built:
        """Make the graph of the positives, its sequences, and counts of what was dropped."""
        path = self.inputs["pairs"][0]
        table, kind = read_pairs(path, self.third, self.scale)
        store = SequenceStore.from_fasta(self.inputs["sequences"][0])
        pairs, values, report = _clean(table, kind, store, str(path))
        if not len(pairs):
            raise DataError(_nothing_left(table, store, report), path=path)
        nodes = np.arange(len(store)) if self.all_proteins else np.unique(pairs)
        pairs = np.searchsorted(nodes, pairs)
        store = store.select(nodes)
        report["proteins"] = len(store)
        report["ids_sharing_a_sequence"] = _sharing(store)
        positive = values > 0
        report |= {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
        _warn_of_dropped(path, report)
        return Built(_graph(pairs, values, positive, store), store, report)


def _clean(
    table: pd.DataFrame, kind: str, store: SequenceStore, where: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], dict[str, Any]]:
    """Drop what cannot be an edge, in the order of the report, and count it."""
    report: dict[str, Any] = {ROWS: len(table)}
    labels = table["value"].to_numpy()
    if kind == "label":
        positive = int((labels == 1).sum())
        report |= {"published_positives": positive, "published_negatives": len(table) - positive}
    both = store.match([*table["a"], *table["b"]], where)
    ends = both.reshape(2, -1).T
    missing = pd.concat([table[side][ends[:, i] < 0] for i, side in enumerate("ab")])
    known = (ends >= 0).all(axis=1)
    itself = (table["a"] == table["b"]).to_numpy() | (ends[:, 0] == ends[:, 1])
    report["ids_without_sequence"] = int(missing.nunique())
    report[NO_SEQUENCE] = int((~known).sum())
    report[SELF_PAIRS] = int((known & itself).sum())
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
    report[CONTRADICTORY] = int(clash.sum())
    report[DUPLICATES] = int((merged["size"] - 1).sum())
    merged = merged[~clash]
    pairs = np.array(merged.index.to_list(), dtype=np.int64).reshape(-1, 2)
    return pairs, merged["max"].to_numpy(np.float32), report


def _nothing_left(table: pd.DataFrame, store: SequenceStore, report: dict[str, Any]) -> str:
    dropped = in_words(report, _DROPPED)
    ids = (list(dict.fromkeys(table["a"]))[:3], list(store.ids[:3]))
    in_table, in_fasta = (", ".join(map(repr, some)) or "none" for some in ids)
    return (
        f"no pair is left of {report[ROWS]} rows: {dropped}; ids of the table are like "
        f"{in_table}, ids of the FASTA file, {len(store)} in all, like {in_fasta}"
    )


def _sharing(store: SequenceStore) -> int:
    _, counts = np.unique(store.digests(), return_counts=True)
    return int(counts[counts > 1].sum())


def _warn_of_dropped(path: Path, report: dict[str, Any]) -> None:
    if dropped := in_words(report, _DROPPED):
        warn_once(f"{path}: of {report[ROWS]} rows, dropped {dropped}")
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
    check_is_file(table)  # a table that is missing has nothing beside it, either
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
