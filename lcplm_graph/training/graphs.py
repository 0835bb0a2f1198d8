"""What stage 2 walks on: one graph in memory, or several species of STRING mapped from disk."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lcplm_graph.datasets.load import graph_split, is_saved_split, load_graph
from lcplm_graph.errors import ConfigError
from lcplm_graph.io import atomic_path
from lcplm_graph.options import options_given
from lcplm_graph.pairs import distinct, pair_hashes
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.training.options import Stage2Options
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.shards import ShardedWalkStream, open_shards
from lcplm_graph.walks.stream import WalkSource, WalkStream

SPLIT = "split"
# Evaluation reads splits whole; the largest species are taken.
_EVALUATED_SPECIES = 8


class TrainGraph(NamedTuple):
    """A graph, or several, as stage 2 takes them.

    Attributes
    ----------
    stream : WalkSource
    held_out : list of (Split, ResidueTable)
        What is evaluated.
    facts : dict
        For the manifest.
    seen_edges : callable
        Returns the hashes of all pairs the walks may show.
    save_split : callable
        Writes the split, or the splits by taxon, into a run's folder.
    sequences : SequenceStore, optional
        In node order, of one graph in memory.
    """

    stream: WalkSource
    held_out: list[tuple[Split, ResidueTable]]
    facts: dict[str, Any]
    seen_edges: Callable[[], np.ndarray]
    save_split: Callable[[Path], None]
    sequences: SequenceStore | None = None


def open_graphs(options: Stage2Options, max_tokens: int) -> TrainGraph:
    """Open what ``--graph`` names, with walks of at most `max_tokens` tokens."""
    return (_species if options.several_species else _one)(options, max_tokens)


def _one(options: Stage2Options, max_tokens: int) -> TrainGraph:
    saved = is_saved_split(options.split)
    # A run of an earlier version, which ignored the seed there, may go on.
    if saved and options.resume is None and (given := options_given(options, ("split_seed",))):
        raise ConfigError(
            f"{given[0]} means nothing with a saved split ({options.split}), which is as it is; "
            "leave it out"
        )
    dataset = load_graph(options.graph, options.min_score)
    split = graph_split(dataset, options.split, options.split_seed)
    sampler = WalkSampler(
        split, options.walk_length, options.p, options.q, options.weighted, options.seed
    )
    stream = WalkStream(
        sampler,
        dataset.sequences,
        max_tokens=max_tokens,
        negative_rate=options.negative_rate,
    )
    digests = dataset.sequences.digests()

    def save_split(folder: Path) -> None:
        split.save(folder / SPLIT)

    facts: dict[str, Any] = {
        "graph_source": str(dataset[0].get("source", options.graph)),
        "sequences_sha256": hashlib.sha256(digests.tobytes()).hexdigest(),
        "split": {
            "kind": split.kind,
            **({} if saved else {"seed": options.split_seed}),
            "fingerprint": split.fingerprint,
            **split.counts(),
        },
    }
    if split.message_weight is not None:
        facts["weights_sha256"] = split.weights_sha256
    return TrainGraph(
        stream,
        [(split, stream.residues)],
        facts,
        lambda: distinct(pair_hashes(digests, split.train)),
        save_split,
        dataset.sequences,
    )


def _species(options: Stage2Options, max_tokens: int) -> TrainGraph:
    shards = open_shards(
        options.graph.split(","),
        kind=options.split,
        seed=options.split_seed,
        weighted=options.weighted,
        q=options.q,
    )
    stream = ShardedWalkStream(
        shards,
        length=options.walk_length,
        p=options.p,
        q=options.q,
        weighted=options.weighted,
        seed=options.seed,
        max_tokens=max_tokens,
        negative_rate=options.negative_rate,
    )
    evaluated = sorted(shards, key=lambda shard: -shard.num_nodes)[:_EVALUATED_SPECIES]

    def seen_edges() -> np.ndarray:
        return distinct(np.concatenate([shard.seen_edges() for shard in shards]))

    def save_split(folder: Path) -> None:
        for shard in shards:
            for suffix in (".json", ".npz"):
                target = folder / SPLIT / f"{shard.facts['taxon']}{suffix}"
                with atomic_path(target) as temporary:
                    shutil.copyfile(shard.folder / f"{SPLIT}{suffix}", temporary)

    return TrainGraph(
        stream,
        [(shard.split(), shard.residues) for shard in evaluated],
        {"species": [{k: v for k, v in s.facts.items() if k != "files"} for s in shards]},
        seen_edges,
        save_split,
    )
