"""Link prediction: do two proteins interact, by heads on features and by the model's own word."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from lcplm_graph import StringPPI
from lcplm_graph.evaluation.comparison import Comparison, over_members, over_pairs
from lcplm_graph.evaluation.guard import check_encoder
from lcplm_graph.evaluation.link_pairs import ClassPairs, LinkOptions, labelled_pairs
from lcplm_graph.evaluation.metrics import auroc, average_precision
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.heads.fit_link import LINK_FIT, message_graph
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.members import fit_link_members
from lcplm_graph.splits.split import Split
from lcplm_graph.training.fit_decoder import fit_decoder, new_decoder
from quality_parts.models import COMPOSITION, Model, kept

GRAPH, KIND = "string_human_core", "node"
_RATIO = 10
_NOTE = "C1, C2, C3: both, one, none of a pair's proteins were in training. Resampled by protein."


def measure(models: list[Model], options: argparse.Namespace) -> Comparison:
    """Compare heads of equal shape and seeds on each kind of feature."""
    dataset, split, classes = _pairs(models, options)
    scores = {model.name: _head_scores(model, dataset, split, classes, options) for model in models}
    comparison = _compared("Link prediction", options, split, classes, scores)
    comparison.facts["head"] = "no convolution, stopped by validation AP"
    comparison.notes.append(
        f"Mean over heads of {options.members} seeds, which are resampled, too."
    )
    return comparison


def measure_relation(models: list[Model], options: argparse.Namespace) -> Comparison:
    """Compare the model's own word on pairs with decoders of equal shape and steps.

    A model without a decoder, and composition, get one that is fitted on their frozen states for
    as many steps: the control of what stage 2 taught.
    """
    dataset, split, classes = _pairs(models, options)
    named = (COMPOSITION, options.control, options.name)
    rows = [model for model in models if model.name in named]
    scores = {model.name: _decoded(model, dataset, split, classes, options) for model in rows}
    comparison = _compared("The model's own word on pairs", options, split, classes, scores)
    comparison.facts["decoders"] = (
        f"this model's is its own; the others' were fitted on frozen states for "
        f"{options.decoder_steps} steps of 2,048 training pairs"
    )
    return comparison


def _decoded(
    model: Model, dataset, split: Split, classes: list[ClassPairs], options: argparse.Namespace
) -> dict[str, np.ndarray]:
    def compute() -> dict[str, np.ndarray]:
        x = cached_embeddings(model.encoder, dataset.sequences, model.pool, progress=True)
        decoder = getattr(model.encoder, "relation", None)
        if decoder is None:
            decoder = new_decoder(x.shape[1], options.seed)
            fit_decoder(decoder, x, split, steps=options.decoder_steps, seed=options.seed)
        with torch.inference_mode():
            h = decoder.embed(x)
            return {
                part.name: decoder(h[:, part.pairs[:, 0]], h[:, part.pairs[:, 1]]).numpy()[None]
                for part in classes
            }

    what = f"relation {model.encoder.fingerprint()} {split.fingerprint} {options.decoder_steps} "
    return kept(f"{what}{options.seed}", compute)


def _pairs(models: list[Model], options: argparse.Namespace):
    dataset = StringPPI(GRAPH)
    split = dataset.split(kind=KIND, seed=options.split_seed)
    for model in models:
        check_encoder(model.encoder, dataset.sequences, split)
    return dataset, split, labelled_pairs(split, LinkOptions(seed=options.seed))


def _head_scores(
    model: Model, dataset, split: Split, classes: list[ClassPairs], options: argparse.Namespace
) -> dict[str, np.ndarray]:
    def compute() -> dict[str, np.ndarray]:
        x = cached_embeddings(model.encoder, dataset.sequences, model.pool, progress=True)
        fit = replace(LINK_FIT, steps=options.steps, progress=True)
        heads = fit_link_members(x, split, range(options.members), fit)
        members = [_scores(head, x, split, classes) for head in heads]
        return {part.name: np.stack([m[part.name] for m in members]) for part in classes}

    what = f"link {model.encoder.fingerprint()} {model.pool} {split.fingerprint} "
    return kept(f"{what}{options.seed} {options.members} {options.steps}", compute)


def _scores(
    head: LinkPredictor, x: torch.Tensor, split: Split, classes: list[ClassPairs]
) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        states = head.embed(x, *message_graph(split))
        return {p.name: head.decode(states, torch.from_numpy(p.pairs)).numpy() for p in classes}


def _compared(
    title: str,
    options: argparse.Namespace,
    split: Split,
    classes: list[ClassPairs],
    scores: dict[str, dict[str, np.ndarray]],
) -> Comparison:
    comparison = Comparison(title, options.name, notes=[_NOTE])
    precision = partial(average_precision, ratio=_RATIO)
    for name, metric in (("AUROC", auroc), (f"AP 1:{_RATIO}", precision)):
        for part in classes:
            comparison.add(
                f"{part.name} {name}",
                {model: found[part.name] for model, found in scores.items()},
                over_members(partial(_of_drawn, metric)),
                over_pairs(part.labels, part.pairs, resamples=options.resamples),
            )
    comparison.facts = {
        "data": GRAPH,
        "split": f"{KIND}, seed {options.split_seed}, fingerprint {split.fingerprint[:16]}",
        "negatives": "stub-matched, 1 per positive",
        "pairs": ", ".join(f"{p.name} {len(p.labels):,}" for p in classes),
    }
    return comparison


def _of_drawn(metric, scores, labels, numbers, weights) -> float:
    return metric(labels, scores[numbers], weights=weights)
