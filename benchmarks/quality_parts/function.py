"""GO molecular function of proteins without homologues in training: Fmax."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from lcplm_graph import GOFunction
from lcplm_graph.evaluation.baselines import naive_frequency, nearest_neighbour_transfer
from lcplm_graph.evaluation.comparison import Comparison, over_items, over_members
from lcplm_graph.evaluation.function import FUNCTION_FIT
from lcplm_graph.evaluation.go_metrics import FmaxCurve
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.heads.fit import fit_function
from lcplm_graph.heads.function import FunctionPredictor
from quality_parts.models import Model, kept

DATA, ASPECT = "string_human_core", "MF"
_PARTS = ("train", "val", "test")
_COLUMNS = {"neighbour": "Fmax, nearest neighbour", "head": "Fmax, head"}


def measure(models: list[Model], options: argparse.Namespace) -> Comparison:
    """Compare nearest-neighbour transfer and a head on each kind of feature."""
    dataset = GOFunction(DATA, aspect=ASPECT, split="cluster", seed=options.split_seed)
    data = dataset[0]
    labels = data.y.numpy()
    train, valid, test = (data[f"{part}_mask"].numpy() for part in _PARTS)
    naive = naive_frequency(labels[train], int(test.sum()))[None]
    answers = {"naive (term frequency)": dict.fromkeys(_COLUMNS, naive)}
    for model in models:
        compute = partial(_answers, model, dataset, options)
        what = f"function {model.encoder.fingerprint()} {model.pool} {options.split_seed} "
        answers[model.name] = kept(f"{what}{ASPECT} {options.steps} {options.members}", compute)
    comparison = Comparison("GO molecular function", options.name)
    for kind, column in _COLUMNS.items():
        curves = {
            name: [FmaxCurve(labels[test], scores) for scores in found[kind]]
            for name, found in answers.items()
        }
        number = curves[options.name][0].proteins
        comparison.add(
            column, curves, over_members(_fmax), over_items(number, resamples=options.resamples)
        )
    comparison.facts = {
        "data": f"{DATA}, experimental evidence without IPI and {', '.join(dataset.exclude)}",
        "split": f"clusters, no homologue in an earlier part, seed {options.split_seed}",
        "proteins": f"{train.sum():,} training, {valid.sum():,} validation, {test.sum():,} test",
        "terms": f"{labels.shape[1]:,} with at least {dataset.min_proteins} training proteins",
    }
    comparison.notes = [
        f"Resampled by protein. Mean over heads of {options.members} seeds, which are resampled, "
        "too; no convolution."
    ]
    return comparison


def _fmax(curve: FmaxCurve, rows: NDArray[np.int64]) -> float:
    return curve.best(np.bincount(rows, minlength=curve.proteins).astype(float)).f


def _answers(model: Model, dataset: GOFunction, options: argparse.Namespace) -> dict[str, NDArray]:
    data = dataset[0]
    masks = [data[f"{part}_mask"] for part in _PARTS]
    used = torch.stack(masks).any(0)
    store = dataset.sequences.select(np.flatnonzero(used.numpy()))
    x = cached_embeddings(model.encoder, store, model.pool, progress=True)
    raised = partial(dataset.ontology.propagate_scores, terms=data.go_terms)
    return _predictions(x, data.y[used], [mask[used] for mask in masks], raised, options)


def _predictions(
    x: torch.Tensor,
    labels: torch.Tensor,
    masks: list[torch.Tensor],
    raised: Callable[[NDArray], NDArray],
    options: argparse.Namespace,
) -> dict[str, NDArray]:
    """Scores of the test proteins, shape (members, n, terms)."""
    train, _, test = masks
    array = x.numpy()
    array = (array - array[train].mean(0)) / np.maximum(array[train].std(0), 1e-6)
    near = nearest_neighbour_transfer(array[train], labels[train].numpy(), array[test])
    none = torch.empty((2, 0), dtype=torch.int64)
    return {
        "neighbour": near[None],
        "head": head_scores(x, none, labels, masks, raised, options, conv="none"),
    }


def head_scores(
    x: torch.Tensor,
    edge_index: torch.Tensor,
    labels: torch.Tensor,
    masks: list[torch.Tensor],
    raised: Callable[[NDArray], NDArray],
    options: argparse.Namespace,
    *,
    conv: str,
) -> NDArray:
    """Scores of the test proteins by heads of several seeds, shape (members, n, terms)."""
    train, valid, test = masks
    scores = []
    for seed in range(options.members):
        torch.manual_seed(seed)
        head = FunctionPredictor(x.shape[1], num_terms=labels.shape[1], conv=conv)
        fit = replace(FUNCTION_FIT, steps=options.steps, seed=seed, progress=True)
        fit_function(head, x, edge_index, labels, train, valid, fit)
        with torch.inference_mode():
            scores.append(raised(head(x, edge_index)[test].sigmoid().double().numpy()))
    return np.stack(scores)
