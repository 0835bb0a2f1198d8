"""Clusters of similar proteins, and splits with no homologue across their border."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.files.tables import LINE, read_table
from lcplm_graph.pairs import IntArray, adjacency
from lcplm_graph.proteins.ids import match_by_accession
from lcplm_graph.proteins.search import choose_method, homologous_pairs, pairs_across
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.kinds import Assignment, Parts, Request, by_proteins, share_groups
from lcplm_graph.splits.parts import Part


def greedy_clusters(pairs: IntArray, lengths: npt.NDArray[np.integer]) -> IntArray:
    """Cluster proteins greedily, longest first.

    The longest protein without a cluster founds one and takes its similar ones that have none.

    Parameters
    ----------
    pairs : ndarray, dtype=int64, shape=(h, 2)
        Similar proteins, from `homologous_pairs`.
    lengths : ndarray, dtype=int, shape=(n,)

    Returns
    -------
    ndarray, dtype=int64, shape=(n,)
        Cluster of each protein, numbered from 0 without gaps.

    Examples
    --------
    >>> greedy_clusters(np.array([[0, 1], [1, 2]]), np.array([90, 80, 70, 60])).tolist()
    [0, 0, 1, 2]
    """
    indptr, indices = adjacency(pairs, len(lengths))
    cluster = np.full(len(lengths), -1, np.int64)
    count = 0
    for founder in np.argsort(-np.asarray(lengths), kind="stable"):
        if cluster[founder] < 0:
            similar = indices[indptr[founder] : indptr[founder + 1]]
            cluster[similar[cluster[similar] < 0]] = count
            cluster[founder] = count
            count += 1
    return cluster


def read_clusters(path: str | PathLike[str], ids: Sequence[str]) -> IntArray:
    """Read a table of representative and member ids, as MMseqs2 writes it.

    Parameters
    ----------
    path : path-like
        Two tab-separated columns, one line per member.
    ids : sequence of str
        Proteins in node order.

    Returns
    -------
    ndarray, dtype=int64, shape=(n,)

    Raises
    ------
    DataError
        If a line has not two columns, a protein is in two clusters or in none.
    """
    table = read_table(Path(path), {"founder": 0, "member": 1}, [2], ("#",))
    founder, member = (table[name].to_pylist() for name in ("founder", "member"))
    of_member: dict[str, str] = {}
    for name, chief, line in zip(member, founder, table[LINE].to_pylist(), strict=True):
        if of_member.setdefault(name, chief) != chief:
            raise DataError("is in two clusters", path=path, line=line, record=name)
    names = list(of_member)
    place = {name: i for i, name in enumerate(names)}
    rows = np.array([place.get(name, -1) for name in ids], np.int64)
    # MMseqs2 writes the accession where FASTA has all of "sp|P12345|NAME".
    rows = match_by_accession(names, ids, rows, str(path))
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(ids)} proteins are in no cluster",
            path=path,
            record=ids[missing[0]],
        )
    of_row = [of_member[names[row]] for row in rows.tolist()]
    return np.unique(of_row, return_inverse=True)[1].astype(np.int64)


def cluster_pairs(request: Request, **options: Any) -> Assignment:
    """Hold out clusters of similar proteins, then every homologue across the border.

    The options are those of `cluster_parts`.
    """
    store = request.sequences
    if store is None:
        raise InputError("a cluster split needs `sequences`, one of each protein")
    node_part, info = cluster_parts(store, request.rng, request.valid, request.test, **options)
    return by_proteins(request.graph, node_part, inside=True)._replace(info=info)


def cluster_parts(
    store: SequenceStore,
    rng: np.random.Generator,
    valid: float,
    test: float,
    identity: float = 0.3,
    coverage: float = 0.5,
    method: str = "auto",
    clusters: str | PathLike[str] | IntArray | None = None,
    progress: bool = True,
) -> tuple[Parts, dict[str, Any]]:
    """Share proteins out so that no held-out one has a homologue in an earlier part.

    Clusters alone leave homologues on both sides, because two members need not both be similar
    to the founder. So a held-out protein that a search across the border finds similar to one of
    another part is taken out of the split, first those like training, then test ones like valid.

    Parameters
    ----------
    store : SequenceStore
    rng : numpy.random.Generator
    valid, test : float
        Fractions of the proteins.
    identity, coverage, method, progress
        As in `homologous_pairs`.
    clusters : path-like or ndarray of int, optional
        A file of ``representative<TAB>member`` or a number per protein, instead of our own.

    Returns
    -------
    parts : ndarray, dtype=int8, shape=(n,)
    info : dict
        Options and counts.
    """
    method = choose_method(method)
    options: dict[str, Any] = {"identity": identity, "coverage": coverage, "method": method}
    options["progress"] = progress
    similar = homologous_pairs(store, **options).pairs
    if clusters is None:
        groups = greedy_clusters(similar, np.asarray(store.lengths))
    elif isinstance(clusters, str | Path | PathLike):
        groups = read_clusters(clusters, store.ids)
    else:
        groups = np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int64)
        if groups.shape != (len(store),):
            raise InputError(f"`clusters` has shape {groups.shape}, not ({len(store)},)")
    node_part = share_groups(groups, rng, valid, test)
    removed = _clear_border(node_part, similar)
    # A search has a direction, so the border is searched once more.
    for earlier, later in (([Part.TRAIN], [Part.VALID, Part.TEST]), ([Part.VALID], [Part.TEST])):
        left, right = (np.flatnonzero(np.isin(node_part, parts)) for parts in (later, earlier))
        hits = pairs_across(store.select(left), store.select(right), **options)
        removed += _clear_border(node_part, np.stack([left[hits[:, 0]], right[hits[:, 1]]], axis=1))
    info = {
        "identity": identity,
        "coverage": coverage,
        "method": method,
        "clusters": int(groups.max(initial=-1)) + 1,
        "proteins_taken_out_at_border": removed,
    }
    return node_part, info


def _clear_border(node_part: Parts, similar: IntArray) -> int:
    """Take held-out proteins with a homologue in an earlier part out of the split, in place."""
    removed = 0
    for part in (Part.TRAIN, Part.VALID):
        ends = node_part[similar]
        later = similar[(ends == part).any(axis=1)[:, None] & (ends > part)]
        removed += len(np.unique(later))
        node_part[later] = Part.NOWHERE
    return removed
