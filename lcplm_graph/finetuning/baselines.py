"""What a fine-tuned model must beat: a guess, and a head on amino-acid composition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.evaluation.baselines import naive_frequency
from lcplm_graph.finetuning.batches import StepSource
from lcplm_graph.finetuning.examples import Examples
from lcplm_graph.finetuning.labels import of_rows
from lcplm_graph.finetuning.metrics import CHOSEN_BY, measure
from lcplm_graph.finetuning.model import HeadOptions, PropertyModel
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.finetuning.partition import Partition
from lcplm_graph.finetuning.target import Array, Target
from lcplm_graph.heads.fit import FitOptions, finite_logits, fit_head
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.process import initialised
from lcplm_graph.tokens.masking import IGNORE

GUESS, COMPOSITION, OWN_RESIDUE = "guess", "composition, head", "amino acid alone"
# A baseline is to be as good as it can be: such heads are cheap, and take more than a run may give.
_LEAST_STEPS, _RATE = 1000, 5e-3

# By the part they are of.
Answers = dict[str, Array | list[Array]]


def baseline_answers(
    examples: Examples, partition: Partition, target: Target, options: FinetuneOptions
) -> Iterator[tuple[str, Answers]]:
    """Yield the name of a baseline, and its answers on all parts but the training part."""
    parts = [name for name in partition.rows if name != "train"]
    train = of_rows(examples.labels, partition.rows["train"])
    if target.kind == "residue":
        yield OWN_RESIDUE, _of_residues(examples, partition, target, train, parts)
        return
    yield GUESS, {name: _guess(target, train, len(partition.rows[name])) for name in parts}
    yield COMPOSITION, _of_composition(examples, partition, target, options, parts)


def _guess(target: Target, train: Any, count: int) -> Array:
    """Mean of the training labels, shares of classes, or frequencies of labels."""
    if target.kind == "multilabel":
        return naive_frequency(train, count)
    if target.kind == "multiclass":
        shares = np.bincount(train, minlength=len(target.names)) / len(train)
        return np.tile(shares, (count, 1))
    return np.full(count, float(np.mean(train)))


def _of_residues(
    examples: Examples, partition: Partition, target: Target, train: Any, parts: list[str]
) -> Answers:
    """Shares of the classes among training residues of the same letter."""
    counts = np.ones((256, len(target.names)))
    sequences, rows = examples.proteins.sequences, examples.proteins.rows[:, 0]

    def letters(row: int) -> Array:
        return np.frombuffer(sequences[rows[row]].encode(), np.uint8)

    for row, classes in zip(partition.rows["train"].tolist(), train, strict=True):
        known = classes != IGNORE
        np.add.at(counts, (letters(row)[known], classes[known]), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return {name: [shares[letters(r)] for r in partition.rows[name].tolist()] for name in parts}


def _of_composition(
    examples: Examples,
    partition: Partition,
    target: Target,
    options: FinetuneOptions,
    parts: list[str],
) -> Answers:
    proteins = examples.proteins
    with initialised(options.seed):
        model = PropertyModel(
            CompositionEncoder(), target, paired=proteins.paired,
            head=HeadOptions(options.channels, options.dropout),
        )  # fmt: skip
    features = model.encoder.embed(proteins.sequences)
    rows = partition.rows["train"]
    model.head.scale.fit(features[torch.from_numpy(np.unique(proteins.rows[rows]))])
    source = StepSource(
        proteins, examples.labels, target, rows, features=features,
        batch_size=options.batch_size, max_tokens=options.max_tokens, seed=options.seed,
    )  # fmt: skip

    def answers(name: str) -> Array:
        found = row_logits(model, examples, partition.rows[name], features)
        return target.answers(finite_logits(found))

    valid = of_rows(examples.labels, partition.rows["valid"])

    def score() -> float:
        return measure(target, valid, answers("valid"))[CHOSEN_BY[target.kind]]

    def loss(step: int) -> Tensor:
        batch = source.batch(step)
        (piece,) = batch.pieces
        assert piece.features is not None
        return target.loss(model.head(piece.features, piece.pairs), piece.labels, batch.labelled)

    fit = FitOptions(
        steps=max(options.steps(source.per_epoch), _LEAST_STEPS), lr=_RATE,
        weight_decay=options.weight_decay, seed=options.seed,
    )  # fmt: skip
    fit_head(model.head, loss, score, fit, CHOSEN_BY[target.kind])
    return {name: answers(name) for name in parts}


def row_logits(model: PropertyModel, examples: Examples, rows: Array, features: Tensor) -> Tensor:
    """Return the logits of some rows from the features of all proteins."""
    named = examples.proteins.rows[rows]
    if examples.proteins.paired:
        return model.logits_of(features, named)
    return model.logits_of(features[torch.from_numpy(named[:, 0])])
