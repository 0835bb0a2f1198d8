"""Stage-1 corpora: any FASTA file as memory-mapped Arrow, converted once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lcplm_graph.errors import ConfigError, DataError
from lcplm_graph.files.catalog import load_card
from lcplm_graph.files.download import cache_root, fetch_card_file
from lcplm_graph.files.open import check_is_file
from lcplm_graph.io import file_state, locked_folder, read_json, sha256_of, write_json
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.clusters import read_clusters

FIRST_EDGE = 128
_HELD_OUT_SHARE = 0.1


class Corpus(NamedTuple):
    """Sequences to train on and sequences to hold out.

    Attributes
    ----------
    store : SequenceStore
    held_out : ndarray, dtype=int64, shape=(h,)
        Sorted rows to evaluate on.
    facts : dict
        Source, sha256 of the file and counts, for the manifest.
    clusters : ndarray, dtype=int64, shape=(n,), optional
        Cluster of each protein; clusters are held out whole.
    """

    store: SequenceStore
    held_out: np.ndarray
    facts: dict[str, object]
    clusters: np.ndarray | None = None

    @property
    def is_training(self) -> np.ndarray:
        """Which rows are trained on, bool (n,): no held-out protein, none of its cluster."""
        if self.clusters is not None:
            return ~np.isin(self.clusters, self.clusters[self.held_out])
        mask = np.ones(len(self.store), bool)
        mask[self.held_out] = False
        return mask


def open_corpus(
    name: str, *, eval_tokens: int, split_seed: int = 0, clusters: str | None = None
) -> Corpus:
    """Open a corpus; the first time its FASTA file is converted, later it is only mapped.

    Parameters
    ----------
    name : str
        ``fasta:FILE`` (plain, gzip, zstd, bz2 or xz), or a card of kind `sequences`, as
        ``uniref50``.
    eval_tokens : int
        Residues to hold out of each length bin; never more than a tenth of a bin's proteins.
    split_seed : int
        Chooses what is held out.
    clusters : str, optional
        Table of representative and member ids, as MMseqs2 writes it.  Whole clusters are held out,
        and one random member of each is evaluated.

    Raises
    ------
    ConfigError
        If the name is not a corpus, or nothing can be held out.
    DataError
        If a file is missing or not in its format, or a protein is in no cluster.
    """
    path = fasta_of(name)
    folder = cache_root() / "corpora" / _key(path)
    facts_path, sequences = folder / "facts.json", folder / "sequences.arrow"
    with locked_folder(folder):
        if not facts_path.is_file():
            store = SequenceStore.from_fasta(path, sequences)
            counts = {"proteins": len(store), "residues": int(store.lengths.sum())}
            facts = {"file": str(path), "sha256": sha256_of(path), **counts}
            write_json(facts_path, facts)
    store = SequenceStore.open(sequences)
    facts = {"corpus": name, **read_json(facts_path, f"delete {folder}")}
    groups = None if clusters is None else _read_clusters(clusters, store, facts)
    candidates = np.arange(len(store)) if groups is None else one_of_each(groups, split_seed)
    chosen = choose_held_out(store.lengths[candidates], eval_tokens, split_seed)
    held_out = np.sort(candidates[chosen])
    if not len(held_out):
        raise ConfigError(
            f"corpus {name} has {len(store)} proteins, too few to hold a tenth of a length bin out"
        )
    facts["held_out"] = len(held_out)
    corpus = Corpus(store, held_out, facts, groups)
    if groups is not None:
        facts["held_out_with_their_clusters"] = int((~corpus.is_training).sum())
    return corpus


def _read_clusters(path: str, store: SequenceStore, facts: dict[str, object]) -> np.ndarray:
    if not Path(path).is_file():
        raise DataError("no such file; clusters are a table that MMseqs2 writes", path=path)
    groups = read_clusters(path, store.ids)
    facts["clusters"] = {"sha256": sha256_of(Path(path)), "count": int(groups.max()) + 1}
    return groups


def one_of_each(groups: np.ndarray, seed: int) -> np.ndarray:
    """Choose a random member of every group.

    Parameters
    ----------
    groups : ndarray, dtype=int64, shape=(n,)
    seed : int

    Returns
    -------
    ndarray, dtype=int64, shape=(number of groups,)
        In the order of the groups.
    """
    order = np.random.default_rng([checked_seed(seed), len(groups)]).permutation(len(groups))
    return order[np.unique(groups[order], return_index=True)[1]]


def fasta_of(name: str) -> Path:
    """Return the file of a corpus, which is downloaded if it is one of the catalogue's.

    Raises
    ------
    ConfigError
        If the name is not a corpus.
    DataError
        If there is no such file.
    """
    kind, _, rest = name.partition(":")
    if kind == "fasta":
        path = Path(os.path.expanduser(rest))
        if not rest or not path.is_file():
            if path.exists():
                check_is_file(path)  # a folder or a pipe, which it says
            raise DataError("no such file; a corpus is written fasta:FILE", path=rest or "fasta:")
        return path.resolve()
    if Path(name).is_file():
        raise ConfigError(f"{name} is a path; a corpus is written fasta:{name}")
    card = load_card(name)
    if card.kind != "sequences":
        raise ConfigError(f"{name!r} is not a corpus of sequences; give fasta:FILE or uniref50")
    return fetch_card_file(card, "sequences")


def _key(path: Path) -> str:
    """Name of a file's state."""
    state = "\0".join(map(str, [path, *file_state(path)]))
    return f"{path.name.split('.')[0]}-{hashlib.sha256(state.encode()).hexdigest()[:16]}"


def length_edges(longest: int) -> list[int]:
    """Upper ends of length bins: 128, 256, 512, ... up to the longest protein.

    Examples
    --------
    >>> length_edges(900)
    [128, 256, 512, 1024]
    """
    edges = [FIRST_EDGE]
    while edges[-1] < longest:
        edges.append(2 * edges[-1])
    return edges


def length_bin(lengths: np.ndarray) -> np.ndarray:
    """Index of the bin of each length: a bin's upper end belongs to it."""
    excess = np.maximum(1.0, np.asarray(lengths, np.float64) / FIRST_EDGE)
    return np.ceil(np.log2(excess)).astype(np.int64)


def choose_held_out(lengths: np.ndarray, eval_tokens: int, seed: int) -> np.ndarray:
    """Choose proteins to hold out, the same number of residues from every length bin.

    Returns
    -------
    ndarray, dtype=int64, shape=(h,)
        Sorted.  A bin of fewer than ten proteins gives none.
    """
    chosen = [np.empty(0, np.int64)]
    bins = length_bin(lengths)
    for number in range(int(bins.max()) + 1 if len(bins) else 0):
        members = np.flatnonzero(bins == number)
        most = int(len(members) * _HELD_OUT_SHARE)
        order = np.random.default_rng([checked_seed(seed), number]).permutation(members)[:most]
        enough = int(np.searchsorted(np.cumsum(lengths[order]), eval_tokens)) + 1
        chosen.append(order[:enough])
    return np.sort(np.concatenate(chosen))
