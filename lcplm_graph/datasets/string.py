"""STRING networks as PyG datasets: the embedded human core, or any species of release 12.0."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch_geometric.data import Data

from lcplm_graph.datasets.aliases import (
    embedded_aliases,
    find_aliases,
    read_aliases,
    read_symbols,
)
from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.cache import Built, DiskCache, Hooks, PathLike
from lcplm_graph.datasets.link_faults import MAX_SCORE
from lcplm_graph.datasets.links import COMBINED, Links, both_directions, read_links
from lcplm_graph.errors import ConfigError, DataError, DownloadError
from lcplm_graph.files.catalog import Card, list_cards, load_card
from lcplm_graph.files.download import cache_root, data_root, fetch_card_file
from lcplm_graph.io import file_state, warn_once
from lcplm_graph.numeric import real_number
from lcplm_graph.proteins.ids import accession_of
from lcplm_graph.proteins.names import NameIndex
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.strings import string_list

CHANNELS = (
    "neighborhood",
    "fusion",
    "cooccurence",
    "coexpression",
    "experimental",
    "database",
    "textmining",
)
SCORES = ("combined", "physical", "detailed", *CHANNELS)
EMBEDDED = "string_human_core"
# The embedded links carry no score of their own; each scores at least this.
_EMBEDDED_SCORE = 900


class StringPPI(PPIDataset):
    """Protein associations of STRING v12.0 with the sequence of every protein.

    Nodes are the proteins that have a sequence and at least one kept link, in the order of
    their STRING ids.  Besides what every `PPIDataset` has, the graph holds `symbol` (list of
    str), `taxon` (int64, shape (n,)), and the names `source` and `score` and the number
    `min_score` it was made with.

    Parameters
    ----------
    name : str, int or sequence of these
        ``string_human_core`` (embedded, no network), ``string_human``, ``string_mouse``,
        ``string_yeast``, ``string_ecoli``, ``string:<taxon>``, or an NCBI taxon.  Several make
        a disjoint union, block by block in the given order.
    root : path-like, optional
        Directory of raw and processed files; by default below the data root (``LCPLM_DATA``).
    score : str, optional
        What becomes `edge_weight`: ``combined`` (default), ``physical`` (the physical
        sub-network; the only one embedded, and the default there), a channel of `CHANNELS`, or
        ``detailed`` (combined, with all channels as `edge_attr`, float32 of shape (n_edges, 7)).
    min_score : int
        Keep links of at least this score in STRING's units, 0 to 1000.
    offline : bool, optional
        Never use the network; by default as ``LCPLM_OFFLINE`` says.
    transform, pre_transform, pre_filter, force_reload
        As in `ProteinDataset`.

    Raises
    ------
    UnknownNameError
        If there is no such dataset.
    DownloadError, ChecksumError
        If a file cannot be had; the message says where to put it by hand.
    DataError
        If a file does not hold what it should, with file and line.

    References
    ----------
    Szklarczyk et al., Nucleic Acids Res 51:D638 (2023); files: https://string-db.org/cgi/download
    """

    def __init__(
        self,
        name: str | int | Sequence[str | int] = EMBEDDED,
        root: PathLike | None = None,
        score: str | None = None,
        min_score: int = 0,
        *,
        offline: bool | None = None,
        **hooks: Unpack[Hooks],
    ) -> None:
        names = [name] if isinstance(name, str | int) else list(name)
        self.cards = [_card_of(item) for item in names]
        if not self.cards or len({card.name for card in self.cards}) != len(self.cards):
            raise ConfigError(f"name {name!r}: give one or several different species")
        self.score = _checked_score(score, min_score, self.cards)
        self.min_score, self.offline = min_score, offline
        self._own_root = root is not None
        place = _default_root(self.cards) if root is None else root
        kept = f"{self.score}-{min_score}"
        if self._own_root:
            # Species of several calls may share the folder.
            kept = "-".join([*(card.name.replace(":", "-") for card in self.cards), kept])
        super().__init__(DiskCache(place, kept, hooks), **hooks)

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the files to fetch; none for embedded data."""
        return [card.file(role).name for card in self._to_fetch() for role in self._roles(card)]

    @property
    def raw_paths(self) -> list[str]:
        """Paths of the files to fetch."""
        return [
            str(self._raw_folder(card) / card.file(role).name)
            for card in self._to_fetch()
            for role in self._roles(card)
        ]

    def download(self) -> None:
        """Fetch what is missing."""
        for card in self._to_fetch():
            for role in self._roles(card):
                self._path(card, role)

    def build(self) -> Built:
        """Read and join the files of all species."""
        parts = [self._read_species(card) for card in self.cards]
        if len(parts) == 1:
            return parts[0]
        return _union(parts, [card.name for card in self.cards])

    def aliases(self) -> pd.DataFrame:
        """Return STRING's alias table (fetched on first use).

        Returns
        -------
        pandas.DataFrame
            Columns `protein_id`, `alias`, `source`; only proteins of the graph.  The embedded
            graph knows gene symbols, UniProt accessions and Entrez gene numbers.
        """
        return self._alias_table.to_pandas()

    def translate(self, names: Iterable[str]) -> pd.DataFrame:
        """Find the proteins that other databases call by these names.

        Parameters
        ----------
        names : iterable of str
            As UniProt accessions, or SGD or MGI identifiers.  What STRING found by similarity
            only (sources ``BLAST_...``) does not count.

        Returns
        -------
        pandas.DataFrame
            Columns `alias`, `protein_id`, in the order of `names`.  An unknown name has a missing
            `protein_id`, and one warning counts them; a name of several proteins has a row for
            each.
        """
        wanted = string_list(names, "names")
        found = find_aliases(self._alias_table, wanted)
        lost = set(wanted) - set(found["alias"])
        if lost:
            shown = ", ".join(repr(name) for name in sorted(lost)[:3])
            warn_once(f"{len(lost)} of {len(set(wanted))} names are unknown here, as {shown}")
        return pd.DataFrame({"alias": wanted}).merge(found, how="left", on="alias")

    @property
    def organism(self) -> tuple[int, ...]:
        """NCBI taxa of the proteins."""
        return tuple(taxon for card in self.cards for taxon in card.organism)

    @cached_property
    def names(self) -> NameIndex:
        """What the proteins are called, by STRING and then by other databases."""
        return NameIndex(self.sequences.ids, *self._symbols(), more=self._rows_of_aliases)

    def _rows_of_aliases(self, words: Sequence[str]) -> dict[str, list[int]]:
        try:
            found = find_aliases(self._alias_table, words)
        except DownloadError as error:
            warn_once(f"only STRING's ids and gene names are known: {error}")
            return {}
        rows: dict[str, list[int]] = {}
        for alias, row in zip(
            found["alias"], self.sequences.index_of(found["protein_id"]), strict=True
        ):
            rows.setdefault(alias, []).append(int(row))
        return rows

    @cached_property
    def _alias_table(self) -> pa.Table:
        tables = [
            embedded_aliases(self._path(card, "info"))
            if card.embedded
            else read_aliases(self._path(card, "aliases"))
            for card in self.cards
        ]
        table = pa.concat_tables(tables)
        return table.filter(pc.is_in(table["protein_id"], pa.array(self.sequences.ids)))

    def _to_fetch(self) -> list[Card]:
        return [card for card in self.cards if not card.embedded]

    def _roles(self, card: Card) -> tuple[str, str, str]:
        if card.embedded or self.score == "combined":
            return "links", "info", "sequences"
        kind = "links_physical" if self.score == "physical" else "links_detailed"
        return kind, "info", "sequences"

    def _raw_folder(self, card: Card) -> Path:
        return Path(self.raw_dir) if self._own_root else data_root() / card.folder / "raw"

    def _path(self, card: Card, role: str) -> Path:
        return fetch_card_file(card, role, folder=self._raw_folder(card), offline=self.offline)

    def _read_species(self, card: Card) -> Built:
        links_path, info_path, fasta_path = (self._path(card, role) for role in self._roles(card))
        (taxon,) = card.organism
        store = _with_taxon(SequenceStore.from_fasta(fasta_path), f"{taxon}.", fasta_path)
        store = store.select(np.argsort(np.array(store.ids, dtype=object), kind="stable"))
        column = COMBINED if self.score in ("combined", "physical", "detailed") else None
        links = read_links(
            links_path,
            store.table["id"],
            score=None if card.embedded else column or self.score,
            min_score=self.min_score,
            channels=CHANNELS if self.score == "detailed" else (),
            delimiter="\t" if card.embedded else " ",
            constant_score=_EMBEDDED_SCORE,
            prefix=f"{taxon}.",
        )
        if not len(links.pairs):
            raise DataError(f"no link scores {self.min_score} or more", path=links_path)
        has_link = np.zeros(len(store), dtype=bool)
        has_link[links.pairs] = True
        used = np.flatnonzero(has_link)
        links.pairs = (np.cumsum(has_link, dtype=np.int32) - 1)[links.pairs]
        report = {**links.report, "proteins_without_link": len(store) - len(used)}
        store = store.select(used)
        data = self._graph(links, store, taxon)
        data.symbol = read_symbols(info_path, store)
        report |= {"proteins": len(used), "edges": len(links.pairs)}
        return Built(data, store, report)

    def _graph(self, links: Links, store: SequenceStore, taxon: int) -> Data:
        edge_index, scores, channels = both_directions(links, len(store))
        data = Data(
            edge_index=torch.from_numpy(edge_index),
            edge_weight=torch.from_numpy(scores.astype(np.float32) / MAX_SCORE),
            num_nodes=len(store),
            protein_id=store.ids,
            taxon=torch.full((len(store),), taxon, device="cpu"),
            source=", ".join(f"{card.name} {card.version}" for card in self.cards),
            score=self.score,
            min_score=self.min_score,
        )
        if channels is not None:
            data.edge_attr = torch.from_numpy(channels.astype(np.float32) / MAX_SCORE)
        return data


def raw_states(name: str) -> dict[str, list[int]]:
    """Return what tells of a species' files whether they were replaced; of those that are there."""
    card = _card_of(name)
    folder = data_root() / card.folder / "raw"
    paths = [] if card.embedded else [folder / file.name for file in card.files]
    return {path.name: file_state(path) for path in paths if path.is_file()}


def _card_of(name: str | int) -> Card:
    """Return the card of a name or taxon; a taxon of a named species gets that card."""
    text = f"string:{name}" if isinstance(name, int) or name.isdigit() else name
    prefix, _, taxon = text.partition(":")
    if prefix == "string" and taxon.isdigit():
        for card in list_cards():
            if card.organism == (int(taxon),) and not card.embedded and "links" in _roles_of(card):
                return card
    card = load_card(text)
    if "links" not in _roles_of(card):
        raise ConfigError(f"{text!r} is not a STRING network")
    return card


def _roles_of(card: Card) -> set[str]:
    return {file.role for file in card.files}


def _checked_score(score: str | None, min_score: int, cards: Sequence[Card]) -> str:
    if not 0 <= real_number(min_score, "min_score") <= MAX_SCORE:
        raise ConfigError(f"min_score {min_score} is not between 0 and {MAX_SCORE}")
    embedded = [card for card in cards if card.embedded]
    if embedded:
        if len(cards) > 1:
            raise ConfigError(f"{EMBEDDED} cannot be joined with others; take string_human")
        if score not in (None, "physical") or min_score > _EMBEDDED_SCORE:
            raise ConfigError(
                f"{EMBEDDED} holds physical links of at least {_EMBEDDED_SCORE} without their "
                "scores; take string_human for other scores"
            )
        return "physical"
    if score is not None and score not in SCORES:
        raise ConfigError(f"score {score!r} is not one of {', '.join(SCORES)}")
    return score or "combined"


def _default_root(cards: Sequence[Card]) -> Path:
    if len(cards) == 1:
        return cache_root() / cards[0].folder
    names = " ".join(f"{card.name}/{card.version}" for card in cards)
    return cache_root() / "string-union" / hashlib.sha256(names.encode()).hexdigest()[:16]


def _with_taxon(store: SequenceStore, prefix: str, path: Path) -> SequenceStore:
    """Spell the ids of a FASTA file as STRING does, if none of them is spelt so."""
    if not len(store) or any(name.startswith(prefix) for name in store.ids):
        return store
    ids = [prefix + accession_of(name).core for name in store.ids]
    if len(set(ids)) < len(ids):
        return store
    warn_once(f"{path}: {len(ids)} ids are taken as STRING's, {store.ids[0]!r} as {ids[0]!r}")
    table = store.table
    column = table.column_names.index("id")
    return SequenceStore(table.set_column(column, "id", pa.array(ids, pa.large_string())))


def _union(parts: Sequence[Built], names: Sequence[str]) -> Built:
    """Put graphs side by side; node numbers of later ones are shifted."""
    graphs = [part.data for part in parts]
    starts = np.cumsum([0, *(int(graph.num_nodes or 0) for graph in graphs)])
    joined = graphs[0].clone()
    shifted = [g.edge_index + int(start) for g, start in zip(graphs, starts, strict=False)]
    joined.edge_index = torch.cat(shifted, dim=1)
    for key in ("edge_weight", "taxon", *(["edge_attr"] if "edge_attr" in joined else [])):
        joined[key] = torch.cat([graph[key] for graph in graphs])
    for key in ("protein_id", "symbol"):
        joined[key] = [value for graph in graphs for value in graph[key]]
    joined.num_nodes = int(starts[-1])
    store = SequenceStore(pa.concat_tables([part.sequences.table for part in parts]))
    report = {name: part.report for name, part in zip(names, parts, strict=True)}
    return Built(joined, store, report)
