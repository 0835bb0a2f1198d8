"""Protein function: CAFA metrics per aspect beside frequency, homologues and neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.baselines import (
    naive_frequency,
    nearest_neighbour_transfer,
    standardised,
)
from lcplm_graph.evaluation.bootstrap import Interval, bootstrap_proteins
from lcplm_graph.evaluation.go_metrics import FmaxCurve, evaluate_terms, information_content
from lcplm_graph.evaluation.models import PLAIN, plain_name, shown_name
from lcplm_graph.evaluation.report import Report
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.heads.convolutions import no_edges
from lcplm_graph.heads.fit import FitOptions, fit_function
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.homologues import AnnotatedProteins, Scores, best_weight, mixed
from lcplm_graph.models.encoders import Encoder, load_encoder
from lcplm_graph.options import check_counts
from lcplm_graph.pairs import pair_graph
from lcplm_graph.process import initialised, without_autocast
from lcplm_graph.proteins.search import shown_method
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.split import Split

COLUMNS = {
    "aspect": "aspect",
    "model": "model",
    "fmax": "Fmax [95 %]",
    "coverage": "coverage",
    "smin": "Smin",
    "micro_aupr": "AUPR micro",
    "macro_aupr": "AUPR macro",
    "roc_auc": "ROC-AUC",
}
FUNCTION_FIT = FitOptions(steps=300, batch_size=1024, every=20)


@dataclass(frozen=True)
class FunctionOptions:
    """What is trained and measured.

    Attributes
    ----------
    pool : str, optional
        Pooling of the encoder; by default the one it recommends.
    conv : str
        Convolution of the row with a graph network, where the dataset has a graph.
    context : {None, "walks"}
        ``walks``: a row of proteins embedded inside walks over all edges of the graph.
    resamples : int
        Of the bootstrap of Fmax over proteins.
    seed : int
    fit : FitOptions
        Of the heads.
    """

    pool: str | None = None
    conv: str = "GraphSAGE"
    context: str | None = None
    resamples: int = 100
    seed: int = 0
    fit: FitOptions = field(default_factory=lambda: FUNCTION_FIT)

    def __post_init__(self) -> None:
        check_counts(self, "resamples", least=2)


def evaluate_function(
    dataset: Any,
    encoder: Encoder,
    aspect: str,
    options: FunctionOptions = FunctionOptions(),
) -> Report:
    """Measure every predictor on the test proteins of one aspect.

    Parameters
    ----------
    dataset : GOFunction
        Of this aspect alone, with sequences.
    encoder : Encoder
    aspect : str
        ``MF``, ``BP`` or ``CC``; for the table.
    options : FunctionOptions

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If the training or test part is empty, or walks are asked for without a graph.
    """
    data = dataset[0]
    parts = {name: data[f"{name}_mask"].numpy() for name in ("train", "val", "test")}
    for name in ("train", "test"):
        if not parts[name].any():
            raise InputError(f"the {name} part of {aspect} has no annotated protein")
    if options.context and data.edge_index is None:
        raise InputError("features in walks need a graph, and this dataset has none")
    labels = data.y.numpy()
    test = labels[parts["test"]]
    information = information_content(labels[parts["train"]], _parents(data))
    report = Report("Function prediction", COLUMNS)
    for name, scores, known in _predictions(dataset, data, parts, encoder, options):
        row: dict[str, Any] = {"aspect": aspect, "model": name, **known}
        curve = FmaxCurve(test, scores)
        row |= evaluate_terms(test, scores, information, curve)
        row["fmax"] = _fmax_interval(curve, options)
        report.rows.append(row | {"train_proteins": int(parts["train"].sum())})
    report.facts = {
        aspect: f"{parts['train'].sum():,} training, {parts['val'].sum():,} validation, "
        f"{parts['test'].sum():,} test proteins, {labels.shape[1]:,} terms"
    }
    left_out = f"roots and {', '.join(dataset.exclude)}" if dataset.exclude else "roots"
    report.notes = [
        "Fmax: protein-centred, over all distinct scores; Smin: bits, information content from "
        "training proteins only; AUPR micro: all protein-term pairs, macro: mean over terms.",
        f"Left out of labels: {left_out}, terms with fewer than {dataset.min_proteins} training "
        "proteins, and proteins whose terms are all among these.",
        "Homologues: share of the training proteins found by a sequence search (E-value at most "
        "0.001) that have the term, each with the weight of its bits. Beside a head their weight "
        "is chosen on validation proteins; a protein without any keeps what the head says.",
    ]
    return report


def _fmax_interval(curve: FmaxCurve, options: FunctionOptions) -> Interval:
    def of_rows(rows: npt.NDArray[np.int64]) -> float:
        return curve.best(np.bincount(rows, minlength=curve.proteins).astype(float)).f

    return bootstrap_proteins(
        of_rows, curve.proteins, resamples=options.resamples, seed=options.seed
    )


def _predictions(
    dataset: Any,
    data: Any,
    parts: dict[str, npt.NDArray[np.bool_]],
    encoder: Encoder,
    options: FunctionOptions,
) -> Iterator[tuple[str, Scores, dict[str, Any]]]:
    """Yield a name, scores of the test proteins, shape (test, terms), and what to know of it."""
    train, valid, test = parts["train"], parts["val"], parts["test"]
    labels = data.y.numpy()
    yield "naive (term frequency)", naive_frequency(labels[train], int(test.sum())), {}
    bar = options.fit.progress
    known = AnnotatedProteins(
        list(dataset.sequences.select(np.flatnonzero(train))), sparse.csr_array(labels[train])
    )
    held = np.flatnonzero(valid | test)
    homologues = known.transfer(dataset.sequences.select(held), progress=bar)
    is_test = test[held]
    yield f"homologues ({shown_method()})", homologues[is_test], {}
    used = train | valid | test
    own = plain_name(encoder, options.pool)
    features = {
        name: _features(load_encoder(key), dataset, used, "mean", bar)
        for name, key in PLAIN.items()
        if name != own
    }
    # Those of the encoder asked about come last, which have more rows.
    features[own or shown_name(encoder)] = _features(encoder, dataset, used, options.pool, bar)
    for name, x in features.items():
        yield f"{name}, nearest neighbour", _transfer(x, labels, train, test), {}
    for name, scores, is_asked in _heads(features, dataset, parts, encoder, options):
        yield name, scores[is_test], {}
        if is_asked:
            weight = best_weight(labels[valid], scores[~is_test], homologues[~is_test])
            both = mixed(scores, homologues, weight)[is_test]
            yield f"{name} + homologues", both, {"homologue_weight": weight}


def _heads(
    features: dict[str, Tensor],
    dataset: Any,
    parts: dict[str, npt.NDArray[np.bool_]],
    encoder: Encoder,
    options: FunctionOptions,
) -> Iterator[tuple[str, Scores, bool]]:
    """Train a head on each of `features`, and on the last in walks and with a graph network.

    Yields a name, scores as from `_head`, and whether the features are the last.
    """
    last, x = list(features.items())[-1]
    for name, own in features.items():
        yield f"{name}, head", _head(own, dataset, parts, "none", options), name == last
    if options.context:
        scores = _head(_in_walks(encoder, dataset, options), dataset, parts, "none", options)
        yield f"{last} in {options.context}, head", scores, True
    if dataset[0].edge_index is not None:
        yield f"{last} + {options.conv}", _head(x, dataset, parts, options.conv, options), True


def _features(
    encoder: Encoder, dataset: Any, used: npt.NDArray[np.bool_], pool: str | None, progress: bool
) -> Tensor:
    """Features of the proteins in any part, zero elsewhere (unless there is a graph)."""
    rows = np.flatnonzero(used)
    if dataset[0].edge_index is not None:
        rows = np.arange(len(used))
    found = cached_embeddings(encoder, dataset.sequences.select(rows), pool, progress=progress)
    x = found.new_zeros(len(used), found.shape[1])
    x[torch.from_numpy(rows)] = found
    return x


def _in_walks(encoder: Encoder, dataset: Any, options: FunctionOptions) -> Tensor:
    """Features of all proteins in walks over every edge: what is held out are annotations."""
    edges = pair_graph(dataset[0]).pairs
    none = np.empty(0, np.int8)
    split = Split("random", len(dataset.sequences), edges, edges, edges[:0], none)
    produce = AddProteinFeatures(
        encoder, options.pool, options.context, split=split, seed=options.seed,
        progress=options.fit.progress,
    )  # fmt: skip
    return produce(dataset).x


def _transfer(
    x: Tensor, labels: npt.NDArray[np.bool_], train: npt.NDArray[Any], test: npt.NDArray[Any]
) -> Scores:
    # Without the mean, which all proteins share, the cosine tells them apart.
    array = standardised(x.numpy(), train)
    return nearest_neighbour_transfer(array[train], labels[train], array[test])


def _head(
    x: Tensor,
    dataset: Any,
    parts: dict[str, npt.NDArray[np.bool_]],
    conv: str,
    options: FunctionOptions,
) -> Scores:
    """Scores of the validation and test proteins, in order of rows."""
    data = dataset[0]
    used = parts["train"] | parts["val"] | parts["test"]
    edge_index = data.edge_index
    rows = np.arange(len(used)) if conv != "none" else np.flatnonzero(used)
    if conv == "none" or edge_index is None:
        edge_index = no_edges()
    labels = data.y[torch.from_numpy(rows)]
    train, valid, test = (torch.from_numpy(parts[p][rows]) for p in ("train", "val", "test"))
    with initialised(checked_seed(options.seed)):
        model = FunctionPredictor(x.shape[1], num_terms=labels.shape[1], conv=conv)
    x = x[torch.from_numpy(rows)]
    fit_function(model, x, edge_index, labels, train, valid, options.fit)
    held = (valid | test).nonzero()[:, 0]
    with torch.inference_mode(), without_autocast():
        scores = model(x, edge_index, rows=held).sigmoid().double().numpy()
    return dataset.ontology.propagate_scores(scores, data.go_terms)


def _parents(data: Any) -> sparse.csr_array:
    child, parent = data.go_parents.numpy()
    terms = data.y.shape[1]
    return sparse.csr_array((np.ones(len(child), bool), (child, parent)), shape=(terms, terms))
