"""How well scores of pairs agree with labels that somebody measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.bootstrap import bootstrap_pairs
from lcplm_graph.evaluation.metrics import auroc, average_precision
from lcplm_graph.heads.scored_pairs import ScoredPairs


def agreement(labels: Mapping[tuple[str, str], bool], answers: Iterable[ScoredPairs]) -> str:
    """Say AUROC and average precision of labelled pairs, with intervals over their proteins.

    Pairs that the scorer was trained on say nothing about it, and are left out and counted.

    Parameters
    ----------
    labels : mapping of (str, str) to bool
    answers : iterable of ScoredPairs
        For these pairs.
    """
    names: list[tuple[str, str]] = []
    scores: list[float] = []
    trained = 0
    for answer in answers:
        seen = answer.known & (answer.nearest_training_identity == 1)
        trained += int(seen.sum())
        for pair, score, left_out in zip(answer.names, answer.probability, seen, strict=True):
            if not left_out:
                names.append(pair)
                scores.append(float(score))
    truth = np.array([labels[pair] for pair in names], bool)
    counts = f"{len(names):,} labelled pairs, {int(truth.sum()):,} of which interact"
    counts += f" (left out: {trained:,} that the scorer was trained on)" if trained else ""
    if truth.all() or not truth.any():
        return f"{counts}: of one class alone nothing can be measured"
    _, ends = np.unique(np.array(names).ravel(), return_inverse=True)
    pairs, score = ends.reshape(-1, 2).astype(np.int64), np.array(scores)
    try:
        area = str(bootstrap_pairs(auroc, truth, score, pairs))
        precise = str(bootstrap_pairs(_precision, truth, score, pairs))
    except InputError:  # too few proteins for an interval
        area, precise = f"{auroc(truth, score):.3f}", f"{average_precision(truth, score):.3f}"
    return f"{counts}: AUROC {area}, average precision {precise} (by chance {truth.mean():.3f})"


def _precision(labels: object, scores: object, weights: object) -> float:
    return average_precision(labels, scores, weights=weights)
