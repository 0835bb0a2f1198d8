"""Link prediction: the table of C1, C2, C3 by model, with baselines, intervals and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import matthews_corrcoef

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.evaluation.bootstrap import Interval, bootstrap_mean, bootstrap_pairs
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
from lcplm_graph.heads.fit_link import FEWEST, large_classes, validation
from lcplm_graph.pairs import IntArray
from lcplm_graph.process import in_threads
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.published import PublishedSplit
from lcplm_graph.splits.split import Labelled, Split

HITS = (20, 50, 100)


@dataclass(frozen=True)
class LinkOptions:
    """What is measured.

    Attributes
    ----------
    negatives : {"stub_matched", "uniform", "hard", "published"}
        Kind drawn, or those that come with a file of pairs.
    ratio : float
        Negatives drawn per positive; published ones are taken as they are.
    ap_ratios : tuple of float
        Negatives per positive that average precision is stated for, by re-weighting; the first
        one is, for a published split, that of its test file.
    ranked : int
        Held-out pairs per class whose partners are ranked among all proteins; 0 for none.
    resamples : int
        Of the bootstrap over proteins.
    seed : int
        Of negatives, bootstrap and the choice of ranked pairs.
    """

    negatives: str = "stub_matched"
    ratio: float = 1.0
    ap_ratios: tuple[float, ...] = (1, 10, 100)
    ranked: int = 100
    resamples: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.ratio < math.inf:
            raise ConfigError(f"ratio must be a number above 0, not {self.ratio}")
        if self.ranked < 0:
            raise ConfigError(f"ranked must be 0 or more, not {self.ranked}")
        if self.resamples < 2:
            raise ConfigError(f"resamples must be at least 2, not {self.resamples}")


class ClassPairs(NamedTuple):
    """Labelled pairs of one class."""

    name: str
    pairs: IntArray
    labels: npt.NDArray[np.bool_]

    @property
    def positives(self) -> IntArray:
        """The pairs that interact."""
        return self.pairs[self.labels]

    @property
    def ratio(self) -> float:
        """Negatives per positive."""
        return float((~self.labels).sum() / self.labels.sum())

    @property
    def facts(self) -> dict[str, Any]:
        """Counts, for every row."""
        return {
            "positives": int(self.labels.sum()),
            "negatives_count": int((~self.labels).sum()),
            "proteins": len(np.unique(self.pairs)),
        }


def labelled_pairs(
    split: Split, options: LinkOptions, published: IntArray | None = None
) -> list[ClassPairs]:
    """Draw the negatives of the test part and divide all pairs by class.

    Parameters
    ----------
    split : Split
    options : LinkOptions
    published : ndarray, dtype=int64, shape=(k, 2), optional
        Negatives that come with the data; the test part gets its share of them.

    Raises
    ------
    InputError
        If there is no test pair, or no class has enough pairs to be measured.
    """
    if isinstance(split, PublishedSplit):
        return _published_classes(split)
    positives = split.positives("test")
    if not len(positives):
        raise InputError(f"this {split.kind} split holds no test pair out; make it with test > 0")
    if options.negatives == "published":
        negatives = _share_of(published, len(positives) / len(split.known), options.seed)
    else:
        negatives = split.negatives("test", options.negatives, options.ratio, options.seed)
    pairs = np.concatenate([positives, negatives])
    labels = np.arange(len(pairs)) < len(positives)
    # What others report for published pairs is one number over all of them.
    classes = [ClassPairs("all", pairs, labels)] if options.negatives == "published" else []
    classes += _by_class(split, Labelled(pairs, labels))
    if not classes:
        raise InputError(
            f"no class of test pairs has {FEWEST} positives and {FEWEST} negatives (there are "
            f"{len(positives)} and {len(negatives)} in all); hold out more, or use a larger graph"
        )
    return classes


def _published_classes(split: PublishedSplit) -> list[ClassPairs]:
    part = split.labelled("test")
    found = _by_class(split, part)
    every = ClassPairs("all", part.pairs, part.labels)
    # One class that is the whole file would be the same row twice.
    return [every] if any(len(one.pairs) == len(part.pairs) for one in found) else [every, *found]


def _by_class(split: Split, part: Labelled) -> list[ClassPairs]:
    return [ClassPairs(f"C{n}", *own) for n, own in large_classes(split, part).items()]


def _share_of(published: IntArray | None, share: float, seed: int) -> IntArray:
    if published is None or not len(published):
        raise InputError(
            "this graph comes without published negatives; draw stub_matched, uniform or hard ones"
        )
    order = np.random.default_rng([checked_seed(seed), 23]).permutation(len(published))
    return published[order[: round(share * len(published))]]


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
    valid = _calibration_pairs(split, classes, options)
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


def _calibration_pairs(
    split: Split, classes: list[ClassPairs], options: LinkOptions
) -> Labelled | None:
    """Return validation pairs with negatives like those of the test part; None without any."""
    kind, ratio = options.negatives, options.ratio
    if kind == "published":  # with the pairs of a graph: there are none of the validation part
        kind, ratio = "stub_matched", classes[0].ratio
    parts = validation(split, options.seed, kind, ratio)
    return Labelled(*map(np.concatenate, zip(*parts, strict=True))) if parts else None


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
    row |= _decided(part, scores, split, sure)
    row["mrr"] = _mrr(scorer, part, split, options)
    return scores, row


def _decided(
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
