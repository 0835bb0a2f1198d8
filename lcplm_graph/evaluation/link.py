"""Link prediction: the table of C1, C2, C3 by model, with baselines, intervals and ranks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import matthews_corrcoef

from lcplm_graph.evaluation.bootstrap import Interval, bootstrap_mean, bootstrap_pairs
from lcplm_graph.evaluation.link_pairs import (
    ClassPairs,
    LinkOptions,
    calibration_pairs,
)
from lcplm_graph.evaluation.metrics import (
    auroc,
    average_precision,
    calibration_error,
    hits_at_k,
    precision_at_recall,
    reliability_bins,
)
from lcplm_graph.evaluation.ranking import rank_partners
from lcplm_graph.evaluation.report import Report
from lcplm_graph.evaluation.scorers import Scorer
from lcplm_graph.heads.calibration import Calibration
from lcplm_graph.process import in_threads
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.published import PublishedSplit
from lcplm_graph.splits.split import Labelled, Split

HITS = (20, 50, 100)


def evaluate_link(
    scorers: Iterable[Scorer],
    classes: list[ClassPairs],
    split: Split,
    *,
    options: LinkOptions = LinkOptions(),
    leaked: str = "",
    every_row: bool = False,
) -> tuple[Report, dict[str, dict[str, tuple[Any, Any]]]]:
    """Measure every model on every class.

    Candidates of the ranks are all proteins but the known partners of the one asked for; ties
    have their mean rank; MRR is the mean over proteins.  Intervals are 95 % of resamples of the
    proteins, and of the seeds where a row is the mean of heads of several; MRR's of proteins only.
    Accuracy, MCC and calibration are of probabilities: every row's score is calibrated in the
    same way on the validation pairs, class by class, with as many negatives per positive.

    Parameters
    ----------
    scorers : iterable of Scorer
    classes : list of ClassPairs
    split : Split
        Of the pairs; its known positives are left out of ranks.
    options : LinkOptions
    leaked : str
        Mark of rows that rest on an encoder that saw test edges.
    every_row : bool
        Mark all rows: the test pairs of a published split are training pairs.

    Returns
    -------
    report : Report
    curves : dict
        Class to model to (labels, scores), for `draw_roc_pr`.
    """
    report = Report("Link prediction", _columns(split, options))
    curves: dict[str, dict[str, tuple[Any, Any]]] = {part.name: {} for part in classes}
    degree: dict[str, float] = {}
    rows: dict[str, list[dict[str, Any]]] = {part.name: [] for part in classes}
    published = _kind(split, options) == "published"
    valid = calibration_pairs(split, classes, options)
    for scorer in scorers:
        mark = f"  {leaked}" if leaked and (scorer.encoder or every_row) else ""
        sure = _calibration(scorer, valid, split)
        found = in_threads(
            partial(_measured, scorer, split=split, sure=sure, options=options), classes
        )
        for part, (scores, measured) in zip(classes, found, strict=True):
            curves[part.name][scorer.name + mark] = (part.labels, scores)
            degree.setdefault(part.name, measured["auroc"].value)
            row = {
                "class": part.name,
                "model": scorer.name + mark,
                **measured,
                "split": split.kind,
                "negatives": _kind(split, options),
                "ratio": part.ratio if published else options.ratio,
                "leaked": bool(mark),
                "degree_auroc": degree[part.name],
                **part.facts,
            }
            rows[part.name].append(row)
    report.rows = [row for part in classes for row in rows[part.name]]
    report.facts = {
        "split": split.kind,
        "negatives": _said(split, options),
        **{part.name: _counts(part) for part in classes},
    }
    report.notes = _notes(split, options)
    return report, curves


def _calibration(scorer: Scorer, valid: Labelled | None, split: Split) -> Calibration | None:
    if valid is None:
        return None
    scores = np.atleast_2d(scorer.score(valid.pairs)).mean(axis=0)
    return Calibration.fit(scores, valid.labels, split.classify(valid.pairs))


def _measured(
    scorer: Scorer, part: ClassPairs, split: Split, sure: Calibration | None, options: LinkOptions
) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """Return a model's scores on a class, the mean of its heads, and what they are worth."""
    each = np.atleast_2d(scorer.score(part.pairs))
    scores = each.mean(axis=0)
    bootstrap = partial(
        bootstrap_pairs,
        labels=part.labels,
        scores=each,
        pairs=part.pairs,
        resamples=options.resamples,
        seed=options.seed,
    )
    row: dict[str, Any] = {"auroc": bootstrap(lambda y, s, w: auroc(y, s, w))}
    first = options.ap_ratios[0]
    stated = None if isinstance(split, PublishedSplit) else first
    row[f"ap_{first:g}"] = bootstrap(lambda y, s, w: average_precision(y, s, stated, w))
    for ratio in options.ap_ratios[1:]:
        row[f"ap_{ratio:g}"] = average_precision(part.labels, scores, ratio)
    row["precision_at_recall_0.5_ratio_10"] = precision_at_recall(part.labels, scores, 0.5, 10)
    negative = scores[~part.labels]
    for k in HITS:
        row[f"hits_{k}"] = (
            hits_at_k(scores[part.labels], negative, k) if len(negative) >= k else None
        )
    row["auroc_by_seed"] = [auroc(part.labels, own) for own in each] if len(each) > 1 else None
    row |= probability_metrics(part, scores, split, sure)
    row["mrr"] = _mrr(scorer, part, split, options)
    return scores, row


def probability_metrics(
    part: ClassPairs, scores: npt.NDArray[np.float64], split: Split, sure: Calibration | None
) -> dict[str, Any]:
    """Measure probabilities: how often right at one half, and whether they mean what they say."""
    if sure is None:
        return dict.fromkeys(("accuracy", "mcc", "ece", "reliability"))
    probability = sure.probability(scores, split.classify(part.pairs))
    decided = probability >= 0.5
    return {
        "accuracy": float((decided == part.labels).mean()),
        "mcc": float(matthews_corrcoef(part.labels, decided)),
        "ece": calibration_error(part.labels, probability),
        "reliability": reliability_bins(part.labels, probability),
    }


def _mrr(scorer: Scorer, part: ClassPairs, split: Split, options: LinkOptions) -> Interval | None:
    if not options.ranked:
        return None
    rng = np.random.default_rng([checked_seed(options.seed), 17])
    chosen = rng.permutation(len(part.positives))[: options.ranked]
    ranks = rank_partners(
        scorer.rows, part.positives[np.sort(chosen)], split.known, split.num_nodes
    )
    return bootstrap_mean(
        ranks.per_protein(1 / ranks.realistic)[1], resamples=options.resamples, seed=options.seed
    )


def _columns(split: Split, options: LinkOptions) -> dict[str, str]:
    columns = {"class": "class", "model": "model", "auroc": "AUROC [95 %]"}
    if isinstance(split, PublishedSplit):
        columns[f"ap_{options.ap_ratios[0]:g}"] = "AUPR [95 %]"
        return columns | {"accuracy": "accuracy", "mcc": "MCC", "ece": "ECE"}
    for number, ratio in enumerate(options.ap_ratios):
        columns[f"ap_{ratio:g}"] = f"AP 1:{ratio:g}" + ("" if number else " [95 %]")
    columns |= {"hits_50": "Hits@50", "ece": "ECE"}
    if options.ranked:
        columns["mrr"] = "MRR [95 %]"
    return columns


def _kind(split: Split, options: LinkOptions) -> str:
    return "published" if isinstance(split, PublishedSplit) else options.negatives


def _said(split: Split, options: LinkOptions) -> str:
    if isinstance(split, PublishedSplit):
        return "published, all of them"
    if options.negatives == "published":
        return "published with the pairs, the test part's share of them"
    return f"{options.negatives}, {options.ratio:g} per positive"


def _counts(part: ClassPairs) -> str:
    facts = part.facts
    return (
        f"{facts['positives']:,} positives, {facts['negatives_count']:,} negatives, "
        f"{facts['proteins']:,} proteins"
    )


def _notes(split: Split, options: LinkOptions) -> list[str]:
    notes = [
        "C1, C2, C3: both, one, none of a test pair's proteins were in training.",
        "Rows with a head: the mean of heads of several seeds. Intervals: 95 % of resamples of the "
        "proteins and those seeds.",
        "ECE: distance of probabilities from shares of positives, every row calibrated on the "
        "validation pairs.",
    ]
    if isinstance(split, PublishedSplit):
        return [*notes, "AUPR: average precision at the test file's own share of positives."]
    notes += [
        "AP is re-weighted to the stated positives : negatives. "
        "Hits@50: share of positives above the 50th best negative of the class's own pool.",
    ]
    if options.negatives == "stub_matched":
        notes.append(
            "Negatives have the positives' degrees, so the row 'degree' should be near 0.5."
        )
    if options.ranked:
        notes.append(
            f"MRR: partners of up to {options.ranked} test pairs a class among all proteins, known "
            "partners left out, ties at their mean rank."
        )
    return notes
