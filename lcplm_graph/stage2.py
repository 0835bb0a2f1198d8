"""Stage 2: teach an encoder a protein graph by walks with masked residues and masked relations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.shipped import DEFAULT_ENCODER
from lcplm_graph.training.options import TrainOptions, parse_options

if TYPE_CHECKING:
    from lcplm_graph.datasets.ppi import PPIDataset
    from lcplm_graph.datasets.split import Split
    from lcplm_graph.models.encoders import LcPlmEncoder
    from lcplm_graph.walks.stream import WalkStream

SPLIT, SEEN_EDGES = "split", "seen_edges.npy"
_WALK_TOKENS = 1024


@dataclass(frozen=True, kw_only=True)
class Stage2Options(TrainOptions):
    """Options of stage 2.

    Parameters
    ----------
    graph
        string_human_core (embedded), string_human and other STRING networks, string:<taxon>, or
        pairs:FILE with a FASTA file beside it.
    encoder
        Where to start: a shipped encoder, a folder, a hub id, or random:<preset>.
    walk_length
        Proteins of a walk.
    walk_tokens
        Most tokens of a walk; default 1024, or max_tokens if that is less.
    p
        Return parameter of node2vec.
    q
        In-out parameter of node2vec.
    weighted
        Walk along edges in proportion to their score.
    negative_rate
        Share of hops that lead to a protein that is no neighbour.
    relation_rate
        Share of the relation markers that is masked.
    relation_weight
        Weight of the markers' loss beside the residues'.
    split
        What is held out: random, C1, C2, C3, node, cluster, ...
    split_seed
        Seed of the split.
    eval_pairs
        Held-out edges that are evaluated, and as many negatives.
    """

    graph: str
    encoder: str = DEFAULT_ENCODER
    walk_length: int = 5
    walk_tokens: int | None = None
    p: float = 1.0
    q: float = 1.0
    weighted: bool = False
    negative_rate: float = 0.5
    relation_rate: float = 0.15
    relation_weight: float = 0.1
    split: str = "C3"
    split_seed: int = 0
    eval_pairs: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.relation_rate <= 1 or self.relation_weight < 0 or self.eval_pairs < 1:
            raise ConfigError(
                "relation_rate must be between 0 and 1, relation_weight not negative and "
                f"eval_pairs at least 1, not {self.relation_rate}, {self.relation_weight} and "
                f"{self.eval_pairs}"
            )


def train(options: Stage2Options) -> None:
    """Run stage 2; the results are in the folder `options.out`.

    Parameters
    ----------
    options : Stage2Options

    Raises
    ------
    LcPlmError
        If the graph, the encoder, an option or a checkpoint is not usable; the message says what
        to do.
    """
    from lcplm_graph.training.architectures import load_trainable
    from lcplm_graph.training.metrics import RELATION_COLUMNS
    from lcplm_graph.training.module import MaskedLMTask
    from lcplm_graph.training.plots import draw_loss
    from lcplm_graph.training.run import Run, find_start, run_training
    from lcplm_graph.training.walks import HeldOutWalks, WalkBatches

    checkpoint = find_start(options)
    dataset = load_graph(options.graph)
    split = dataset.split(kind=options.split, seed=options.split_seed)
    stream = _stream(options, dataset, split)
    source = WalkBatches(
        stream,
        max_tokens=options.max_tokens,
        relation_rate=options.relation_rate,
        seed=options.seed,
    )
    held_out = HeldOutWalks(
        split,
        stream.residues,
        share=stream.max_tokens // options.walk_length,
        count=options.eval_pairs,
        max_tokens=options.max_tokens,
    )
    encoder = load_trainable(options.encoder)
    facts = {
        "stage": 2,
        "graph": options.graph,
        "graph_source": str(dataset[0].get("source", options.graph)),
        "sequences_sha256": hashlib.sha256(dataset.sequences.digests().tobytes()).hexdigest(),
        "encoder": options.encoder,
        "encoder_fingerprint": encoder.fingerprint(),
        "split": {
            "kind": split.kind,
            "seed": options.split_seed,
            "fingerprint": split.fingerprint,
            **split.counts(),
        },
    }

    def finish(folder: Path) -> None:
        split.save(folder / SPLIT)
        _save_seen_edges(folder / "model" / SEEN_EDGES, dataset, split, encoder)
        draw_loss(folder)

    run = Run(
        task=MaskedLMTask(encoder.model.train(), options, options.relation_weight),
        source=source,
        evaluate=held_out,
        columns=(*RELATION_COLUMNS, *held_out.columns),
        facts=facts,
        finish=finish,
    )
    run_training(options, run, checkpoint)


def load_graph(name: str) -> PPIDataset:
    """Load a graph with its sequences by the name that ``--graph`` takes."""
    from lcplm_graph.datasets.pairs import PairPPI
    from lcplm_graph.datasets.string import StringPPI

    return PairPPI(name) if name.startswith("pairs:") else StringPPI(name)


def _stream(options: Stage2Options, dataset: PPIDataset, split: Split) -> WalkStream:
    from lcplm_graph.walks.sampler import WalkSampler
    from lcplm_graph.walks.stream import WalkStream

    sampler = WalkSampler(
        split,
        options.walk_length,
        p=options.p,
        q=options.q,
        weighted=options.weighted,
        seed=options.seed,
    )
    tokens = options.walk_tokens or min(_WALK_TOKENS, options.max_tokens)
    return WalkStream(
        sampler, dataset.sequences, max_tokens=tokens, negative_rate=options.negative_rate
    )


def _save_seen_edges(path: Path, dataset: PPIDataset, split: Split, encoder: LcPlmEncoder) -> None:
    """Write hashes of every edge the encoder may have seen, now or in its own past."""
    from lcplm_graph.datasets.splits import pair_hashes
    from lcplm_graph.io import atomic_path

    seen = pair_hashes(dataset.sequences.digests(), split.train)
    before = encoder.seen_edges()
    if before is not None:
        seen = np.concatenate([seen, before])
    with atomic_path(path) as temporary:
        np.save(temporary, np.unique(seen).astype(np.uint64), allow_pickle=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line ``python -m lcplm_graph.stage2``."""
    from lcplm_graph.training.options import exit_on_errors

    with exit_on_errors("stage2"):
        train(parse_options(Stage2Options, argv, "lcplm stage2", str(__doc__)))


if __name__ == "__main__":
    main()
