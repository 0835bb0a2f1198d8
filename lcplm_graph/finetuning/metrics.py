"""Metrics of each kind of label, and their intervals over proteins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

from lcplm_graph.errors import InputError
from lcplm_graph.evaluation.bootstrap import Interval, bootstrap_proteins, times_drawn
from lcplm_graph.evaluation.go_metrics import fmax, macro_aupr, micro_aupr
from lcplm_graph.evaluation.metrics import auroc, average_precision
from lcplm_graph.finetuning.labels import flat, of_rows
from lcplm_graph.finetuning.target import Array, Kind, Target
from lcplm_graph.pairs import IntArray
from lcplm_graph.tokens.masking import IGNORE

CHOSEN_BY: dict[Kind, str] = {
    "regression": "spearman",
    "binary": "aupr",
    "multiclass": "mcc",
    "multilabel": "aupr_micro",
    "residue": "accuracy",
}
"""The metric on validation rows that the best state is chosen by; higher is better."""

HEADINGS = {
    "spearman": "Spearman", "pearson": "Pearson", "rmse": "RMSE", "mae": "MAE", "auroc": "AUROC",
    "aupr": "AUPR", "mcc": "MCC", "accuracy": "accuracy", "f1": "F1", "f1_macro": "macro F1",
    "fmax": "Fmax", "aupr_micro": "AUPR micro", "aupr_macro": "AUPR macro",
}  # fmt: skip
METRICS: dict[Kind, tuple[str, ...]] = {
    "regression": ("spearman", "pearson", "rmse", "mae"),
    "binary": ("auroc", "aupr", "mcc", "accuracy", "f1"),
    "multiclass": ("accuracy", "f1_macro", "mcc"),
    "multilabel": ("fmax", "aupr_micro", "aupr_macro"),
    "residue": ("accuracy", "f1_macro", "mcc"),
}
_RESAMPLES = {"multilabel": 50}


def measure(target: Target, labels: Any, answers: Array | list[Array]) -> dict[str, float]:
    """Return the metrics of some rows; NaN where one is not defined.

    Parameters
    ----------
    target : Target
    labels : ndarray, or list of ndarray
        See `lcplm_graph.finetuning.labels.Labels`.
    answers : ndarray, or list of ndarray
        Of `Target.answers`.

    Examples
    --------
    >>> target = Target("binary", ("0", "1"))
    >>> measure(target, np.array([0, 1, 1]), np.array([0.2, 0.6, 0.4]))["mcc"]
    0.5
    """
    labels, answers = known_only(labels, answers)
    made = {
        "regression": _numbers,
        "binary": _two,
        "multiclass": _classes,
        "residue": _classes,
        "multilabel": _many,
    }[target.kind]
    return {name: _value(metric, labels, answers) for name, metric in made().items()}


def known_only(labels: Any, answers: Array | list[Array]) -> tuple[Array, Array]:
    """Return labels and answers one after the other, without residues whose class is not known."""
    labels, flat_answers = flat(labels), flat(answers)
    if not isinstance(answers, list):
        return labels, flat_answers
    return labels[labels != IGNORE], flat_answers[labels != IGNORE]


Metric = Callable[[Any, Any], float]


def _value(metric: Metric, labels: Any, answers: Any) -> float:
    try:
        return float(metric(labels, answers))
    except (InputError, ValueError):
        return float("nan")


def _numbers() -> dict[str, Metric]:
    return {
        "spearman": lambda y, s: _correlation(spearmanr, y, s),
        "pearson": lambda y, s: _correlation(pearsonr, y, s),
        "rmse": lambda y, s: float(np.sqrt(np.mean((y - s) ** 2))),
        "mae": lambda y, s: float(np.abs(y - s).mean()),
    }


def _correlation(of: Callable[..., Any], labels: Array, answers: Array) -> float:
    if len(labels) < 3 or np.ptp(labels) == 0 or np.ptp(answers) == 0:
        return float("nan")
    return float(of(labels, answers)[0])


def _two() -> dict[str, Metric]:
    return {
        "auroc": auroc,
        "aupr": average_precision,
        "mcc": lambda y, s: float(matthews_corrcoef(y, s >= 0.5)),
        "accuracy": lambda y, s: float(((s >= 0.5) == (y == 1)).mean()),
        "f1": lambda y, s: float(f1_score(y, s >= 0.5, zero_division=0)),
    }


def _classes() -> dict[str, Metric]:
    return {
        "accuracy": lambda y, s: float((s.argmax(1) == y).mean()),
        "f1_macro": lambda y, s: float(f1_score(y, s.argmax(1), average="macro", zero_division=0)),
        "mcc": lambda y, s: float(matthews_corrcoef(y, s.argmax(1))),
    }


def _many() -> dict[str, Metric]:
    return {
        "fmax": lambda y, s: fmax(y, s).f,
        "aupr_micro": micro_aupr,
        "aupr_macro": lambda y, s: macro_aupr(y, s).mean,
    }


def with_intervals(
    target: Target,
    labels: Any,
    answers: Array | list[Array],
    rows: IntArray,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, float | Interval]:
    """Return metrics with percentile intervals of a bootstrap over proteins.

    Parameters
    ----------
    target, labels, answers
        As in `measure`.
    rows : ndarray, dtype=int64, shape=(n, 1 or 2)
        Proteins of each row, which counts as `times_drawn` says.
    resamples, seed : int
        At most 50 resamples for many labels, whose metrics take long.
    """
    values = measure(target, labels, answers)
    proteins, ends = np.unique(rows, return_inverse=True)
    ends = ends.reshape(rows.shape)
    count = min(resamples, _RESAMPLES.get(target.kind, resamples))
    if len(proteins) < 5 or count < 2:
        return dict(values)
    draws: dict[bytes, dict[str, float]] = {}

    def metric(name: str, drawn: npt.NDArray[np.int64]) -> float:
        key = drawn.tobytes()
        if key not in draws:
            times = times_drawn(np.bincount(drawn, minlength=len(proteins)), ends)
            chosen = np.repeat(np.arange(len(ends)), times)
            draws[key] = measure(target, of_rows(labels, chosen), of_rows(answers, chosen))
        return draws[key][name]

    return {
        name: _interval(name, value, metric, len(proteins), count, seed)
        for name, value in values.items()
    }


def _interval(
    name: str,
    value: float,
    metric: Callable[[str, npt.NDArray[np.int64]], float],
    proteins: int,
    count: int,
    seed: int,
) -> float | Interval:
    found = bootstrap_proteins(
        lambda drawn: metric(name, drawn), proteins, resamples=count, seed=seed
    )
    if value != value or found.low != found.low:
        return value
    return found
