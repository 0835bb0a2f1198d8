"""Graphs of many species as one data set: a folder of memory-mapped arrays for each, and walks.

STRING is a disjoint union of species, so a walk needs one of them only.  Each species is
downloaded, split and converted once; afterwards a process maps the files of those it samples,
and reads the pages that its walks touch.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lcplm_graph.datasets.string import StringPPI, raw_states
from lcplm_graph.errors import DataError, InputError
from lcplm_graph.files.download import cache_root
from lcplm_graph.io import atomic_path, locked_folder, read_json, write_json
from lcplm_graph.models.names import SEEN_EDGES
from lcplm_graph.numeric import map_array, whole_number
from lcplm_graph.ops.random_walk.reference import derive_key, start_node
from lcplm_graph.pairs import distinct, pair_hashes
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.split import Split
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkSource, WalkStream, WalkTokens

FACTS, SPLIT = "shard.json", "split"
_SPECIES = 4
_KINDS: dict[str, type] = {"taxon": int, "proteins": int, "split": dict, "files": dict}
_FORMAT = 1
# Each takes about ten mappings, of which Linux allows a process 65,530.
_OPEN_SHARDS = 512


class WalkShard:
    """What walks need of one species, in a folder that is written once and then only mapped.

    Parameters
    ----------
    folder : path-like

    Attributes
    ----------
    facts : dict
        Where it comes from: `name`, `taxon`, `source`, `proteins`, `sequences_sha256`, and `split`
        with its kind, fingerprint and counts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = _facts(folder)

    @classmethod
    def of_string(cls, name: str, *, kind: str, seed: int, weighted: bool, q: float) -> WalkShard:
        """Convert one species of STRING, unless that has been done; see `open_shards`."""
        options = {"name": name, "kind": kind, "seed": seed, "weighted": weighted, "bits": q != 1.0}
        key = json.dumps([_FORMAT, options], sort_keys=True)
        folder = cache_root() / "walks" / hashlib.sha256(key.encode()).hexdigest()[:32]
        with locked_folder(folder):
            if not (folder / FACTS).is_file() or not is_of(folder, raw_states(name)):
                _convert(folder, options, q)
        return cls(folder)

    @property
    def num_nodes(self) -> int:
        """Number of proteins."""
        return self.facts["proteins"]

    @property
    def residues(self) -> ResidueTable:
        """All proteins, mapped."""
        return ResidueTable.open(self.folder)

    def split(self) -> Split:
        """Read the split, held-out pairs included, into memory."""
        return Split.load(self.folder / SPLIT)

    def seen_edges(self) -> np.ndarray:
        """Hashes of the training pairs, uint64, mapped."""
        return map_array(self.folder / SEEN_EDGES, f"delete {self.folder}", np.uint64)


def open_shards(
    names: Sequence[str], *, kind: str, seed: int, weighted: bool = False, q: float = 1.0
) -> list[WalkShard]:
    """Open species of STRING one by one, converting those that are asked for the first time.

    Parameters
    ----------
    names : sequence of str
        As `StringPPI` takes them.
    kind, seed : str, int
        Of the split of each species.
    weighted, q : bool, float
        As in `WalkSampler`; they say which tables are needed.
    """
    return [
        WalkShard.of_string(name, kind=kind, seed=seed, weighted=weighted, q=q) for name in names
    ]


def _facts(folder: Path) -> dict[str, Any]:
    path, advice = folder / FACTS, f"delete {folder}"
    facts = {"files": {}, **read_json(path, advice)}
    wrong = [name for name, kind in _KINDS.items() if type(facts.get(name)) is not kind]
    if wrong:
        raise DataError(f"does not tell {', '.join(wrong)}; {advice}", path=path)
    return facts


def is_of(folder: Path, raw: dict[str, list[int]]) -> bool:
    """Whether a shard was made of raw files as they are; files that are gone are not asked."""
    before = _facts(folder)["files"]
    return all(before.get(name, state) == state for name, state in raw.items())


def _convert(folder: Path, options: dict[str, Any], q: float) -> None:
    dataset = StringPPI(options["name"])
    split = dataset.split(kind=options["kind"], seed=options["seed"])
    digests = dataset.sequences.digests()
    ResidueTable.from_store(dataset.sequences).save(folder)
    WalkSampler(split, 1, q=q, weighted=options["weighted"]).save(folder)
    split.save(folder / SPLIT)
    with atomic_path(folder / SEEN_EDGES) as temporary:
        np.save(temporary, distinct(pair_hashes(digests, split.train)), allow_pickle=False)
    facts = {
        **options,
        "taxon": int(dataset[0].taxon[0]),
        "source": dataset[0].source,
        "files": raw_states(options["name"]),
        "proteins": split.num_nodes,
        "sequences_sha256": hashlib.sha256(digests.tobytes()).hexdigest(),
        "split": {"kind": split.kind, "fingerprint": split.fingerprint, **split.counts()},
    }
    write_json(folder / FACTS, facts)


class ShardedWalkStream(WalkSource):
    """Walks over many species as token streams; stream i from (seed, i) alone.

    An epoch starts once from every protein of every species, in an order of its own.  Walk i is
    at place (species, j) of it, and is walk j of that species under a seed of the species' own,
    so walks within a species do not depend on which others there are.

    Parameters
    ----------
    shards : sequence of WalkShard
        Their order numbers the proteins: `WalkTokens.nodes` counts through all species.
    length, p, q, weighted, seed
        As in `WalkSampler`.
    max_tokens, negative_rate
        As in `WalkStream`; a negative hop stays in its species.

    Raises
    ------
    InputError
        If there is no shard, or one is there twice.
    """

    def __init__(
        self,
        shards: Sequence[WalkShard],
        *,
        length: int,
        p: float = 1.0,
        q: float = 1.0,
        weighted: bool = False,
        seed: int = 0,
        max_tokens: int,
        negative_rate: float = 0.2,
    ) -> None:
        taxa = [shard.facts["taxon"] for shard in shards]
        if not taxa or len(set(taxa)) != len(taxa):
            raise InputError(f"walks need several different species, not the taxa {taxa}")
        self.shards, self.max_tokens = list(shards), whole_number(max_tokens, "max_tokens")
        self.starts = np.cumsum([0, *(shard.num_nodes for shard in shards)])
        self._options: dict[str, Any] = {"length": length, "p": p, "q": q, "weighted": weighted}
        self._negative_rate = negative_rate
        self._key = derive_key(checked_seed(seed), _SPECIES)
        self._open = lru_cache(maxsize=_OPEN_SHARDS)(self._stream)

    def locate(self, index: int) -> tuple[int, int]:
        """Return the species (its place in `shards`) and its own walk that walk `index` is."""
        total = int(self.starts[-1])
        place = start_node(self._key, index, total)
        species = int(np.searchsorted(self.starts, place, side="right")) - 1
        size = self.shards[species].num_nodes
        return species, index // total * size + place - int(self.starts[species])

    def walks(self, start: int, stop: int, length: int | None = None) -> WalkTokens:
        """Return streams `start` to ``stop - 1``, end to end; of each `length` proteins, or all.

        Raises
        ------
        InputError
            As `WalkStream.walks`.
        """
        parts = []
        for index in range(operator.index(start), operator.index(stop)):
            species, number = self.locate(index)
            part = self._open(species).walks(number, number + 1, length)
            parts.append(part.shifted(int(self.starts[species])))
        return WalkTokens.joined(parts)

    def _stream(self, species: int) -> WalkStream:
        shard = self.shards[species]
        seed = derive_key(self._key, shard.facts["taxon"]) >> 1  # a seed has 63 bits
        sampler = WalkSampler.open(shard.folder, seed=seed, **self._options)
        if sampler.num_nodes != shard.num_nodes:
            message = f"{shard.num_nodes} proteins, its graph has {sampler.num_nodes}; delete"
            raise DataError(f"{message} {shard.folder}", path=shard.folder / FACTS)
        return WalkStream(
            sampler, shard.residues, max_tokens=self.max_tokens, negative_rate=self._negative_rate
        )
