"""`PairPPI`: any table of protein pairs with a FASTA file, as a graph, its faults counted."""

from __future__ import annotations

import os
import re
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
from lcplm_graph.datasets.interaction_files import interaction_format, read_interactions
from lcplm_graph.datasets.link_faults import MAX_SCORE
from lcplm_graph.datasets.links import COMBINED, is_link_file, read_links
from lcplm_graph.datasets.pair_table import check_scale, read_pairs
from lcplm_graph.datasets.row_counts import (
    BELOW,
    CONTRADICTORY,
    DUPLICATES,
    GENETIC,
    NEGATIVE,
    NO_NAME,
    NO_SEQUENCE,
    RNA,
    ROWS,
    SELF_PAIRS,
    in_words,
)
from lcplm_graph.errors import ConfigError, DataError, InputError
from lcplm_graph.files.open import check_is_file
from lcplm_graph.io import warn_once
from lcplm_graph.pairs import keys_to_pairs, pair_keys
from lcplm_graph.proteins.fasta import FASTA_SUFFIXES
from lcplm_graph.proteins.store import SequenceStore

# Taxon and version in the name of a file of links.
_OF_STRING = re.compile(
    r"([0-9]+)\.protein\.(?:physical\.)?links\.(?:\w+\.)*?(v[0-9]+(?:\.[0-9]+)*)\.txt"
)
_Cleaned = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], dict[str, Any]]
_DROPPED = (NO_SEQUENCE, SELF_PAIRS, DUPLICATES, CONTRADICTORY)
# Of some kinds of files.
_ALSO = (GENETIC, RNA, NEGATIVE, NO_NAME, BELOW)


class PairPPI(PPIDataset):
    """A graph from a table of pairs (D-SCRIPT, PRING, your own) and a FASTA file.

    The table has two or three columns: two ids, and a label (0 or 1) or a score in [0, 1], or up
    to `scale`. Tabs, commas, semicolons or blanks stand between them; a table that could be read
    in two ways is refused. A header line is recognised by usual names of columns, as ``protein1``,
    ``id_a`` or ``label``; if it names two ids, there may be more columns. Lines that begin with
    ``#`` are left out. An id that the FASTA file spells otherwise (``sp|P12345|NAME`` for
    ``P12345``) is matched by its accession.

    Files of BioGRID (``.tab3.txt``) and in PSI-MITAB (IntAct) are known, too: proteins are found by
    the first of their accessions that has a sequence; genetic interactions, those with RNA, those
    that were looked for and not found, and molecules that are no proteins are left out and counted.
    IntAct's ``intact-miscore`` is the score of a pair, the highest of its rows, if each has one.

    STRING's own link files (``9606.protein.links.v12.0.txt.gz``, ``physical``, ``detailed``,
    ``full``) are known by their header and read as `StringPPI` does; their proteins are those of
    ``9606.protein.sequences.v12.0.fa.gz``.

    Parameters
    ----------
    pairs : path-like
        The table, plain or compressed; ``pairs:FILE`` is understood too.
    fasta : path-like, optional
        Sequences; by default the one FASTA file beside the table with the same stem, of STRING's
        links STRING's own.
    third : {"label", "score"}, optional
        What the third column is; by default ``label`` if it holds 0 and 1 only.
    scale : float
        The highest score there can be, 1000 in STRING's units; weights are scores divided by it.
        Whole numbers under ``combined_score`` are in STRING's units.
    score : str, optional
        Name of the column of labels or scores, where a header names several; of STRING's links by
        default ``combined_score``.
    min_score : int
        Keep links of at least this score in thousandths, as STRING has them, 0 to 1000.
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
        (labelled both 0 and 1: neither is kept), ``below_score`` with `min_score`. These add up to
        ``rows``, but for STRING's links, whose two directions are no duplicates. Kept but counted:
        ``ids_sharing_a_sequence``. ``published_*`` are the rows by label as in the file.

    Raises
    ------
    InputError
        If `pairs` is not the path of a file.
    ConfigError
        If options mean nothing for this table.
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
        score: str | None = None,
        min_score: int = 0,
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
        self.score, self.min_score = score, check_min_score(min_score)
        if str(table) == "-":
            check_is_file(table)  # it needs a FASTA file beside it, and is read more than once
        self.inputs = {"pairs": [table], "sequences": [Path(fasta or _fasta_beside(table))]}
        options: dict[str, Any] = {"third": third, "all_proteins": all_proteins}
        options |= {"scale": scale} if scale != 1 else {}
        options |= {"score": score} if score is not None else {}
        options |= {"min_score": min_score} if min_score else {}
        super().__init__(cache_of_files("PairPPI", self.inputs, options, root, hooks), **hooks)

    def build(self) -> Built:
        """Make the graph of the positives, its sequences, and counts of what was dropped."""
        path = self.inputs["pairs"][0]
        of_string = is_link_file(path)
        read = self._links_of_string if of_string else self._rows
        store = SequenceStore.from_fasta(self.inputs["sequences"][0])
        pairs, values, report = read(path, store)
        nodes = np.arange(len(store)) if self.all_proteins else np.unique(pairs)
        pairs = np.searchsorted(nodes, pairs)
        store = store.select(nodes)
        report["proteins"] = len(store)
        report["ids_sharing_a_sequence"] = _sharing(store)
        positive = values > 0
        report |= {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
        _warn_of_dropped(path, report, of_string)
        return Built(_graph(pairs, values, positive, store), store, report)

    def _rows(self, path: Path, store: SequenceStore) -> _Cleaned:
        counts: dict[str, int] = {}
        if found := interaction_format(path):
            if self.third or self.score or self.scale != 1:
                raise ConfigError(f"third, score and scale mean nothing for {path}: {found.title}")
            table, has_scores, counts = read_interactions(path, found, store)
            kind = "score" if has_scores else "none"
        else:
            table, kind = read_pairs(path, self.third, self.scale, self.score)
        if self.min_score and kind != "score":
            why = f": {found.title} whose scores cannot be compared" if found else ""
            raise ConfigError(f"min_score is of scores, of which {path} has none{why}")
        cleaned = _clean(table, kind, store, str(path), self.min_score)
        cleaned[2].update(counts)
        if not len(cleaned[0]):
            raise DataError(_nothing_left(table, store, cleaned[2]), path=path)
        return cleaned

    def _links_of_string(self, path: Path, store: SequenceStore) -> _Cleaned:
        if self.third == "label" or self.scale not in (1, MAX_SCORE):
            raise ConfigError(f"third and scale mean nothing for {path}: it has scores of STRING")
        score = self.score or COMBINED
        links = read_links(path, store.table["id"], score=score, min_score=self.min_score)
        if not len(links.pairs):
            lost = in_words(links.report)
            raise DataError(f"no link is left with {score} {self.min_score} or more: {lost}",
                            path=path)  # fmt: skip
        pairs = links.pairs.astype(np.int64)
        return pairs, links.scores.astype(np.float32) / np.float32(MAX_SCORE), links.report


def check_min_score(score: int) -> int:
    """Return a lowest score in STRING's units.

    Raises
    ------
    ConfigError
        If it is not between 0 and 1000.
    """
    if not 0 <= score <= MAX_SCORE:
        raise ConfigError(f"min_score {score} is not between 0 and {MAX_SCORE}")
    return score


def _clean(
    table: pd.DataFrame, kind: str, store: SequenceStore, where: str, min_score: int = 0
) -> _Cleaned:
    """Drop what cannot be an edge, in the order of the report, and count it."""
    report: dict[str, Any] = {ROWS: len(table)}
    labels = table["value"].to_numpy()
    if kind == "label":
        positive = int((labels == 1).sum())
        report |= {"published_positives": positive, "published_negatives": len(table) - positive}
    # A graph has few names beside its rows: each is looked up once.
    codes, names = pd.factorize(pd.concat([table["a"], table["b"]]))
    node = store.match(names, where)
    named = codes.reshape(2, -1).T
    ends = node[named]
    known = (ends >= 0).all(axis=1)
    itself = (named[:, 0] == named[:, 1]) | (ends[:, 0] == ends[:, 1])
    report["ids_without_sequence"] = int((node < 0).sum())
    report[NO_SEQUENCE] = int((~known).sum())
    report[SELF_PAIRS] = int((known & itself).sum())
    kept = known & ~itself
    if min_score:
        high = labels >= np.float32(min_score / MAX_SCORE)
        report[BELOW] = int((kept & ~high).sum())
        kept &= high
    pairs, lowest, highest = _merged(np.sort(ends[kept], axis=1), labels[kept], len(store))
    clash = lowest != highest if kind == "label" else np.zeros(len(pairs), bool)
    report[CONTRADICTORY] = int(clash.sum())
    report[DUPLICATES] = int(kept.sum()) - len(pairs)
    return pairs[~clash], highest[~clash], report


def _merged(
    pairs: npt.NDArray[np.int64], values: npt.NDArray[np.float32], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return each pair once, sorted, with its lowest and its highest value."""
    keys = pair_keys(pairs, count)
    order = np.argsort(keys)
    keys, values = keys[order], values[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    lowest, highest = (least.reduceat(values, first) for least in (np.minimum, np.maximum))
    return keys_to_pairs(keys[first], count), lowest, highest


def _nothing_left(table: pd.DataFrame, store: SequenceStore, report: dict[str, Any]) -> str:
    dropped = in_words(report, [kind for kind in (*_DROPPED, *_ALSO) if kind in report])
    ids = (list(dict.fromkeys(table["a"]))[:3], list(store.ids[:3]))
    in_table, in_fasta = (", ".join(map(repr, some)) or "none" for some in ids)
    return (
        f"no pair is left of {report[ROWS]} rows: {dropped}; ids of the table are like "
        f"{in_table}, ids of the FASTA file, {len(store)} in all, like {in_fasta}"
    )


def _sharing(store: SequenceStore) -> int:
    _, counts = np.unique(store.digests(), return_counts=True)
    return int(counts[counts > 1].sum())


def _warn_of_dropped(path: Path, report: dict[str, Any], of_string: bool) -> None:
    # Of directions that do not agree STRING's reader keeps the higher score.
    asked = [kind for kind in (GENETIC, RNA, NEGATIVE, NO_NAME) if kind in report]
    if dropped := in_words(report, [*(_DROPPED[:-1] if of_string else _DROPPED), *asked]):
        warn_once(f"{path}: of {report[ROWS]} rows, dropped {dropped}")
    if of_string and report[CONTRADICTORY]:
        warn_once(f"{path}: {in_words(report, [CONTRADICTORY])}, the highest score of each is kept")
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
    """Return the one FASTA file that has the table's name, or as much of its begin as any has."""
    check_is_file(table)  # a table that is missing has nothing beside it, either
    stem = table.name
    while stem:
        names = [stem + suffix for suffix in FASTA_SUFFIXES]
        found = [path for name in names if (path := table.with_name(name)).is_file()]
        if len(found) == 1:
            return found[0]
        if found:
            break
        stem = stem.rpartition(".")[0]
    if not found and (own := _OF_STRING.match(table.name)):
        found = sorted(table.parent.glob(f"{own[1]}.protein.sequences.{own[2]}.fa*"))
        if len(found) == 1:
            return found[0]
    what = "none is" if not found else "several are"
    raise InputError(f"give the FASTA file of {table}: {what} beside it under the same name")
