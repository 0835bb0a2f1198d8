"""GO molecular function of proteins without homologues in training: Fmax."""

from __future__ import annotations

import argparse

import numpy as np
import torch

from lcplm_graph import GOFunction, StringPPI
from lcplm_graph.evaluation.baselines import naive_frequency, nearest_neighbour_transfer
from lcplm_graph.evaluation.comparison import Comparison, over_items
from lcplm_graph.evaluation.function import propagate
from lcplm_graph.evaluation.go_metrics import fmax
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.heads.fit import FitOptions, fit_function
from lcplm_graph.heads.function import FunctionPredictor
from quality_parts.models import Model, kept

GRAPH, ASPECT, FEWEST = "string_human_core", "MF", 10


def measure(models: list[Model], options: argparse.Namespace) -> Comparison:
    """Compare nearest-neighbour transfer and a head on each kind of feature."""
    dataset = StringPPI(GRAPH)
    parts = _cluster_parts(dataset, options.split_seed)
    data = GOFunction(GRAPH, aspect=ASPECT)[0]
    annotated = data.y.numpy().any(1)
    train, valid, test = (annotated & (parts == number) for number in range(3))
    known = np.flatnonzero(data.y.numpy()[train].sum(0) >= FEWEST)
    labels = data.y.numpy()[:, known]
    test &= labels.any(1)
    parents = _kept_parents(data.go_parents.numpy(), known)
    naive = naive_frequency(labels[train], int(test.sum()))
    answers = {"naive (term frequency)": {"neighbour": naive, "head": naive}}
    used = train | valid | test
    for model in models:

        def compute(model=model) -> dict[str, np.ndarray]:
            store = dataset.sequences.select(np.flatnonzero(used))
            x = cached_embeddings(model.encoder, store, model.pool, progress=True)
            masks = [torch.from_numpy(m[used]) for m in (train, valid, test)]
            return _predictions(x, torch.from_numpy(labels[used]), masks, parents, options)

        what = f"function {model.encoder.fingerprint()} {model.pool} {options.split_seed} "
        answers[model.name] = kept(f"{what}{ASPECT} {options.steps} {options.members}", compute)
    comparison = Comparison("GO molecular function", options.name)
    truth = labels[test]
    for kind, column in (("neighbour", "Fmax, nearest neighbour"), ("head", "Fmax, head")):
        comparison.add(
            column,
            {name: found[kind] for name, found in answers.items()},
            lambda scores, rows, _: fmax(truth[rows], scores[rows]).f,
            over_items(len(truth), resamples=options.resamples),
        )
    comparison.facts = {
        "data": f"{GRAPH}, experimental evidence without IPI and GO:0005515",
        "split": f"clusters at 30 % identity, no homologue across, seed {options.split_seed}",
        "proteins": f"{train.sum():,} training, {valid.sum():,} validation, {test.sum():,} test",
        "terms": f"{len(known):,} with at least {FEWEST} training proteins",
        "head": f"one hidden layer, no convolution, the mean of {options.members} training seeds",
    }
    comparison.notes = ["Resampled by protein."]
    return comparison


def _cluster_parts(dataset: StringPPI, seed: int) -> np.ndarray:
    """Part of each protein: 0 training, 1 validation, 2 test, others left out."""

    def compute() -> dict[str, np.ndarray]:
        return {"part": dataset.split(kind="cluster", seed=seed).node_part}

    return kept(f"cluster split {GRAPH} {seed}", compute)["part"]


def _kept_parents(parents: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Relations of the terms that are left, by their new numbers."""
    inside = np.isin(parents, known).all(0)
    return np.searchsorted(known, parents[:, inside])


def _predictions(
    x: torch.Tensor, labels: torch.Tensor, masks: list, parents: np.ndarray, options
) -> dict[str, np.ndarray]:
    train, valid, test = masks
    array = x.numpy()
    array = (array - array[train].mean(0)) / np.maximum(array[train].std(0), 1e-6)
    near = nearest_neighbour_transfer(array[train], labels[train].numpy(), array[test])
    none = torch.empty((2, 0), dtype=torch.int64)
    scores = []
    for seed in range(options.members):
        torch.manual_seed(seed)
        head = FunctionPredictor(x.shape[1], num_terms=labels.shape[1], conv="none")
        fit = FitOptions(steps=options.steps, seed=seed, progress=True)
        fit_function(head, x, none, labels, train, valid, fit)
        with torch.inference_mode():
            scores.append(head(x, none)[test].sigmoid().double().numpy())
    return {"neighbour": near, "head": propagate(np.mean(scores, axis=0), parents)}
