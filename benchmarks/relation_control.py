"""What stage 2 taught, beside the control: equal decoder steps on frozen states, equal context.

    python benchmarks/relation_control.py runs/one runs/two --control lcplm-1m --steps 1460
    python benchmarks/relation_control.py lcplm-g-2m --part test --streams 200
    python benchmarks/relation_control.py lcplm-g-2m --other yeast_test.tsv yeast_test.fasta

The runs are of one split and differ in their seed; every row is the mean over as many decoders.
With --steps 0 the control's own decoder is the only other row.
Rows: composition; `lcplm-1m` frozen, with a decoder fitted for --steps; stage 2's own decoder;
stage 2's encoder frozen, with a decoder fitted as the control's.  With --streams also what is
read inside streams of two proteins: by the marker alone, and by a decoder of the states there.
Intervals are 95 % of resamples of the proteins and of the seeds; differences are paired.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import table
from torch import Tensor

from lcplm_graph import PairPPI, load_encoder, score_pairs
from lcplm_graph.datasets.load import graph_split, load_graph
from lcplm_graph.evaluation.comparison import Comparison, over_members, over_pairs
from lcplm_graph.evaluation.guard import check_encoder
from lcplm_graph.evaluation.metrics import auroc
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.models.zero_shot import stream_states
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.classes import FEWEST
from lcplm_graph.splits.split import Labelled, Split
from lcplm_graph.training.fit_decoder import fit_decoder, fit_decoder_on, new_decoder

OWN = "stage 2, its own decoder"
STREAM = "stage 2, in streams"
ROWS = ("composition", "control", "features")


def main() -> None:
    options = _parse()
    for name in ("most", "streams"):
        if 0 < getattr(options, name) < FEWEST:
            raise SystemExit(f"--{name} must be 0 or at least {FEWEST}; fewer pairs say nothing")
    runs = [load_encoder(run) for run in options.runs]
    control = load_encoder(options.control)
    dataset = load_graph(options.graph)
    split = graph_split(dataset, options.split, options.split_seed)
    for run in runs:
        check_encoder(run, dataset.sequences, split)
    asked = split.labelled(options.part, seed=0)
    if options.most:
        asked = some_of_each(asked, split, options.most, np.random.default_rng(0))
    tasks = {f"{options.part}": (dataset.sequences, asked, split)}
    if options.other:
        other = PairPPI(*options.other)
        for name, part in of_other(other).items():
            tasks[name] = (other.sequences, part, None)
    decoders = fitted(runs, control, dataset.sequences, split, options)
    for name, (store, part, known) in tasks.items():
        comparison = Comparison(f"{name} pairs", OWN)
        scores = {
            row: np.stack([scored(encoder, store, decoder, part.pairs) for encoder, decoder in own])
            for row, own in decoders.items()
        }
        add_classes(comparison, known, part, scores, options.resamples)
        shown(comparison)
        if options.out:
            comparison.save(options.out / f"{name}.json")
    if options.streams:
        in_streams(runs, control, dataset.sequences, split, options)


def of_other(other: PairPPI) -> dict[str, Labelled]:
    """Return the published pairs of another species, and its positives with matched negatives."""
    from other_species import published, stub_matched

    return {
        "published": Labelled(*published(other)),
        "stub-matched": Labelled(*stub_matched(other)),
    }


def fitted(
    runs: list[LcPlmEncoder],
    control: LcPlmEncoder,
    sequences: SequenceStore,
    split: Split,
    options: argparse.Namespace,
) -> dict[str, list[tuple]]:
    """Return encoder and decoder of every row and seed."""
    seen = np.flatnonzero(split.seen)

    def fit(encoder, seed: int) -> RelationDecoder:
        states = embedded(encoder, sequences, seen)
        bank = states.new_zeros(split.num_nodes, states.shape[1])
        bank[torch.from_numpy(seen)] = states
        decoder = new_decoder(bank.shape[1], seed)
        return fit_decoder(decoder, bank, split, steps=options.steps, seed=seed)

    if options.steps == 0:
        if getattr(control, "relation", None) is None:
            raise SystemExit(f"{control.name} has no decoder of its own; give --steps")
        own = {f"{control.name}, its own decoder": [(control, control.relation)] * len(runs)}
        return own | {OWN: [(run, run.relation) for run in runs]}

    composition = load_encoder("composition")
    made = {
        "composition": ("composition", [composition] * len(runs)),
        "control": (f"{control.name}, frozen", [control] * len(runs)),
        "features": ("stage 2, frozen, a new decoder", runs),
    }
    fits = {
        name: [(encoder, fit(encoder, seed)) for seed, encoder in enumerate(encoders)]
        for row, (name, encoders) in made.items()
        if row in options.rows
    }
    return fits | {OWN: [(run, run.relation) for run in runs]}


def embedded(encoder, sequences: SequenceStore, nodes: np.ndarray) -> Tensor:
    """Pooled states of some proteins, kept below LCPLM_DATA."""
    return cached_embeddings(encoder, sequences.select(nodes), encoder.pool, progress=True)


@torch.inference_mode()
def scored(encoder, sequences: SequenceStore, decoder: RelationDecoder, pairs) -> np.ndarray:
    """Log-odds of pairs of proteins that were encoded by themselves."""
    nodes, ends = np.unique(pairs, return_inverse=True)
    h = decoder.embed(embedded(encoder, sequences, nodes))
    chunks = torch.from_numpy(ends.reshape(-1, 2)).split(8192)
    return torch.cat([decoder(h[:, c[:, 0]], h[:, c[:, 1]]) for c in chunks]).numpy()


def add_classes(
    comparison: Comparison,
    split: Split | None,
    part: Labelled,
    scores: dict[str, np.ndarray],
    resamples: int,
) -> None:
    """AUROC of every row over all pairs of a class; without a split there are no classes."""
    every = np.zeros(len(part.labels), int) if split is None else split.classify(part.pairs)
    for number in np.unique(every):
        own = every == number
        if min(part.labels[own].sum(), (~part.labels[own]).sum()) < FEWEST:
            continue
        comparison.add(
            f"C{number}" if number else "AUROC",
            {name: found[:, own] for name, found in scores.items()},
            over_members(lambda each, y, numbers, weights: auroc(y, each[numbers], weights)),
            over_pairs(part.labels[own], part.pairs[own], resamples=resamples),
        )


def in_streams(
    runs: list[LcPlmEncoder],
    control: LcPlmEncoder,
    sequences: SequenceStore,
    split: Split,
    options: argparse.Namespace,
) -> None:
    """Compare what is read inside streams of two proteins, on some pairs of every class."""
    rng = np.random.default_rng(0)
    part = some_of_each(split.labelled(options.part, seed=0), split, options.streams, rng)
    train = some_of_each(split.labelled("train", seed=0), split, options.stream_fit, rng)

    def texts(pairs) -> list[tuple[str, str]]:
        return [(sequences[int(a)], sequences[int(b)]) for a, b in pairs]

    def states(encoder: LcPlmEncoder, pairs) -> Tensor:
        return stream_states(encoder, texts(pairs), progress=True)

    def by_frozen(encoder: LcPlmEncoder, seed: int) -> np.ndarray:
        known, asked = states(encoder, train.pairs), states(encoder, part.pairs)
        decoder = new_decoder(known.shape[2], seed)
        fit_decoder_on(decoder, known, train.labels, steps=options.steps, seed=seed)
        with torch.inference_mode():
            return decoder(*(decoder.embed(asked[:, side]) for side in (0, 1))).numpy()

    def own(way: str) -> np.ndarray:
        return np.stack([score_pairs(run, texts(part.pairs), by=way).numpy() for run in runs])

    frozen = f"{control.name}, frozen, a decoder fitted on {len(train.labels)} pairs in streams"
    scores = {
        frozen: np.stack([by_frozen(control, seed) for seed in range(len(runs))]),
        "stage 2, the marker alone": own("marker"),
        OWN: own("decoder"),
        STREAM: own("stream"),
    }
    comparison = Comparison(f"{options.part} pairs inside streams", STREAM)
    add_classes(comparison, split, part, scores, options.resamples)
    shown(comparison)
    if options.out:
        comparison.save(options.out / f"{options.part}-streams.json")


def some_of_each(part: Labelled, split: Split, most: int, rng: np.random.Generator) -> Labelled:
    """At most so many positives, and as many negatives, of every class of pairs."""
    kinds = split.classify(part.pairs) * 2 + part.labels
    rows = [rng.permutation(np.flatnonzero(kinds == kind))[:most] for kind in np.unique(kinds)]
    chosen = np.sort(np.concatenate(rows))
    return Labelled(part.pairs[chosen], part.labels[chosen])


def shown(comparison: Comparison, what: str = "AUROC") -> None:
    """Print values, and the subject's difference to every other row."""
    if not comparison.values:
        print(f"\n{comparison.title}: no class has {FEWEST} edges and as many negatives")
        return
    print(f"\n## {comparison.title}\n")
    measures = list(comparison.values)
    names = list(next(iter(comparison.values.values())))
    rows = [(name, *(str(comparison.values[m][name]) for m in measures)) for name in names]
    print(table(rows, (what, *measures)))
    less = partial("{0.value:+.3f} [{0.low:+.3f}, {0.high:+.3f}]".format)
    rows = [
        (f"minus {name}", *(less(comparison.differences[m][name]) for m in measures))
        for name in names
        if name != comparison.subject
    ]
    print("\n" + table(rows, (comparison.subject, *measures)), flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("runs", nargs="+", help="runs of stage 2, or shipped models, of one split")
    add("--control", default="lcplm-1m", help="the encoder they started from")
    add("--graph", default="string_human_core")
    add("--split", default="node", help="a kind, or a saved split")
    add("--split-seed", type=int, default=1)
    add("--part", choices=("valid", "test"), default="valid", help="test: when all is decided")
    add(
        "--steps",
        type=int,
        default=1200,
        help="of 2048 pairs, of every decoder that is fitted;"
        " 0: none is, and the control is one that has its own",
    )
    add("--most", type=int, default=0, help="positives, and negatives, a class; 0 for all")
    add("--rows", nargs="*", choices=ROWS, default=ROWS, help="beside stage 2's own decoder")
    add("--streams", type=int, default=0, help="positives, and negatives, a class inside streams")
    add("--stream-fit", type=int, default=1500, help="training edges for the control in streams")
    add("--other", nargs=2, type=Path, metavar=("PAIRS", "FASTA"), help="another species' pairs")
    add("--resamples", type=int, default=200)
    add("--out", type=Path, help="folder for the comparisons as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
