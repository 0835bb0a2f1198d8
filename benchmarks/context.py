"""Show whether a protein stays itself inside a stream, and whether what stands beside it adds.

    python benchmarks/context.py lcplm-g-2m runs/without runs/learned --pairs 150

Every model has a relation decoder that was fitted on single proteins.  Rows: the decoder on single
proteins; the same on states pooled inside streams of the two proteins; and inside such streams with
a reset at the markers (a bias on the step size, 25 forgets all), for models without one.  The gap
to the first row is what the carried state costs.  With ``--fit N`` new decoders are fitted on N
training edges and as many negatives, on states in streams and, the control, on those of the same
proteins alone: if the first is better, context adds.  Held-out pairs of the split, some of each
class; intervals over proteins, differences to single proteins paired.
"""

from __future__ import annotations

import argparse
import copy

import numpy as np
import torch
from relation_control import add_classes, shown, some_of_each
from torch import Tensor

from lcplm_graph import load_encoder
from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.load import graph_split, load_graph
from lcplm_graph.evaluation.comparison import Comparison
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.models.zero_shot import stream_states
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Labelled
from lcplm_graph.training.fit_decoder import fit_decoder_on, new_decoder

ALONE, BESIDE = "single proteins", "in streams of two"


def main() -> None:
    options = _parse()
    dataset = load_graph(options.graph)
    split = graph_split(dataset, options.split, options.split_seed)
    rng = np.random.default_rng(0)
    asked, known = (
        some_of_each(
            short(split.labelled(part, seed=0), dataset, options.longest), split, most, rng
        )
        for part, most in ((options.part, options.pairs), ("train", options.fit))
    )
    for name in options.models:
        encoder = load_encoder(name)
        states = of_pairs(encoder, dataset.sequences, asked, options.resets)
        scores = {row: decoded(encoder.relation, found) for row, found in states.items()}
        if options.fit:
            trained = of_pairs(encoder, dataset.sequences, known, options.resets)
            for row, found in trained.items():
                decoder = new_decoder(found.shape[2], 0)
                fit_decoder_on(decoder, found, known.labels, steps=options.steps, seed=0)
                scores[f"{row}, a decoder fitted there"] = decoded(decoder, states[row])
        comparison = Comparison(f"{name}, {options.part} pairs", ALONE)
        add_classes(comparison, split, asked, scores, options.resamples)
        shown(comparison)


def short(part: Labelled, dataset: PPIDataset, longest: int) -> Labelled:
    """Leave out pairs that have more residues together."""
    fits = dataset.sequences.lengths[part.pairs].sum(axis=1) <= longest
    return Labelled(part.pairs[fits], part.labels[fits])


def of_pairs(
    encoder: LcPlmEncoder, store: SequenceStore, part: Labelled, resets: list[float]
) -> dict[str, Tensor]:
    """Return states of the two proteins of every pair, (n, 2, width), by where they stand."""
    nodes, ends = np.unique(part.pairs, return_inverse=True)
    texts = [(store[int(a)], store[int(b)]) for a, b in part.pairs]
    alone = encoder.embed(store.select(nodes), encoder.pool, progress=True)
    found = {ALONE: alone[torch.from_numpy(ends.reshape(-1, 2))]}
    found[BESIDE] = stream_states(encoder, texts, progress=True)
    for value in [] if encoder.model.config.marker_step_bias else resets:
        reset = copy.deepcopy(encoder)
        reset.model.add_marker_steps(value)
        found[f"{BESIDE}, reset {value:g}"] = stream_states(reset, texts, progress=True)
    return found


@torch.inference_mode()
def decoded(decoder: RelationDecoder, states: Tensor) -> np.ndarray:
    """Log-odds of pairs, of one member: (1, n)."""
    return decoder(*(decoder.embed(states[:, side]) for side in (0, 1))).numpy()[None]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("models", nargs="+", help="LC-PLM-G models or runs of stage 2, with a relation decoder")
    add("--graph", default="string_human_core")
    add("--split", default="node", help="a kind, or a saved split")
    add("--split-seed", type=int, default=1)
    add("--part", choices=("valid", "test"), default="valid")
    add("--pairs", type=int, default=150, help="positives, and negatives, of each class")
    add("--resets", nargs="*", type=float, default=[25.0], help="biases on the step size")
    add("--longest", type=int, default=4096, help="residues of a pair at most")
    add("--fit", type=int, default=0, help="training edges, and negatives, for new decoders")
    add("--steps", type=int, default=150, help="of a new decoder")
    add("--resamples", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()
