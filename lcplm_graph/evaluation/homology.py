"""Remote homology: whether the nearest domain, or a classifier, knows the fold."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.evaluation.baselines import standardised
from lcplm_graph.evaluation.bootstrap import Interval, bootstrap_mean
from lcplm_graph.evaluation.metrics import BoolArray
from lcplm_graph.evaluation.models import PLAIN, plain_name, shown_name
from lcplm_graph.evaluation.probe import fit_probe
from lcplm_graph.evaluation.ranking import sensitivity_to_first_false_positive, top_k_hits
from lcplm_graph.evaluation.report import Report
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.files.open import check_is_file
from lcplm_graph.files.tables import rows
from lcplm_graph.io import warn_once
from lcplm_graph.models.encoders import Encoder, load_encoder
from lcplm_graph.options import check_counts
from lcplm_graph.pairs import IntArray
from lcplm_graph.proteins.search import homologous_pairs, shown_method
from lcplm_graph.strings import one_of

Floats = npt.NDArray[np.floating]
COLUMNS = {
    "part": "held out",
    "model": "model",
    "top1": "top-1 [95 %]",
    "gain": "gain [95 %]",
    "top5": "top-5",
    "sensitivity": "to 1st FP",
}
_MOST, _NEAREST, _BEST_HIT = 5, "1-NN", "best hit"
_NO_CLASS = -1
_E_VALUE = 10
_BASELINE = "composition + dipeptides + length"


@dataclass(frozen=True)
class HomologyOptions:
    """What is trained and measured.

    Attributes
    ----------
    pool : str, optional
        Pooling of the encoder; by default the one it recommends.
    level : {"fold", "superfamily", "family"}
        What is to be found.
    resamples : int
        Of the bootstrap over superfamilies.
    seed : int
        Of the probe's choice and of the bootstrap.
    progress : bool
    """

    pool: str | None = None
    level: str = "fold"
    resamples: int = 1000
    seed: int = 0
    progress: bool = False

    def __post_init__(self) -> None:
        check_counts(self, "resamples", least=2)


@dataclass(frozen=True)
class Answer:
    """What one model says of the held-out domains.

    Attributes
    ----------
    features, kind : str
        What it rests on, and how it is asked.
    scores : mapping of str to ndarray
        By held-out set, shape (domains, references).
    references : ndarray, dtype=int64
        Class of each column.
    facts : dict
        More to know about it, for ``results.json``.
    """

    features: str
    kind: str
    scores: Mapping[str, Floats]
    references: IntArray
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.features}, {self.kind}" if self.kind else self.features

    def hits(self, part: str, truth: IntArray, k: int) -> npt.NDArray[np.float64]:
        """Whether each domain's class is among the k best."""
        return top_k_hits(self.scores[part], self.references, truth, k)


def evaluate_homology(
    dataset: Any,
    encoder: Encoder,
    known: Mapping[str, Mapping[str, float]] | None = None,
    options: HomologyOptions = HomologyOptions(),
) -> Report:
    """Measure how often the class of a domain is found, on every held-out set.

    A sequence search says what takes no model: the class of the hit with the most bits.  Two ways
    of asking an encoder: 1-NN takes the class of the nearest training domain (cosine of
    standardised features), the probe is a logistic regression (`fit_probe`) on the same features.
    All features have the logarithm of the length beside them.  Domains whose class has no training
    domain count as wrong.

    Parameters
    ----------
    dataset : RemoteHomology
    encoder : Encoder
    known : mapping, optional
        Method to held-out set to top-1 accuracy, of other programs; see `read_known`.  Sets that
        are not held out here are left out, with a warning.
    options : HomologyOptions

    Returns
    -------
    Report
        A row per held-out set and model: `top1` (an `Interval` over superfamilies), `top5`; for
        the encoder `gain`, the paired difference of `top1` from the dipeptides asked in the same
        way; for 1-NN `sensitivity` up to the first false positive.

    Raises
    ------
    InputError
        If there is no training domain, only one class, or no held-out set.
    """
    one_of(options.level, "level", ("fold", "superfamily", "family"))
    data = dataset[0]
    classes = data[options.level].numpy()
    train = data.train_mask.numpy() & (classes >= 0)
    held_out = {
        key.removesuffix("_mask").replace("val", "valid"): data[key].numpy() & (classes >= 0)
        for key in data.to_dict()
        if key.endswith("_mask") and key != "train_mask"
    }
    _check_parts(train, held_out, classes, options.level)
    given = dict.fromkeys(part for values in (known or {}).values() for part in values)
    if unknown := [part for part in given if part not in held_out]:
        warn_once(
            f"numbers are given for {', '.join(unknown)}, which is no held-out set of these data, "
            f"and left out; there are {', '.join(held_out)}"
        )
    answers = list(_answers(dataset, encoder, classes, train, held_out, options))
    report = Report("Remote homology", COLUMNS)
    for part, mask in held_out.items():
        for name, values in (known or {}).items():
            report.rows.append({"part": part, "model": f"{name} (given)", "top1": values.get(part)})
        groups = _groups(data, mask)
        for answer in answers:
            row = _measured(answer, part, classes[mask], groups, options)
            if answer.features == answers[-1].features:
                row["gain"] = _gain(answer, answers, part, classes[mask], groups, options)
            report.rows.append({"part": part, "model": answer.name, **row, **answer.facts})
    report.facts = {
        "level": options.level,
        "training domains": int(train.sum()),
        **{f"{part} domains": int(mask.sum()) for part, mask in held_out.items()},
        "classes in training": len(np.unique(classes[train])),
    }
    report.notes = _notes(answers, options, given=bool(known))
    return report


def _notes(answers: list[Answer], options: HomologyOptions, *, given: bool) -> list[str]:
    notes = [
        f"top-k: share of domains with a right {options.level} among k answers; one whose "
        f"{options.level} is not in training counts as wrong. Intervals: superfamilies drawn "
        "with replacement.",
        f"Best hit: most bits, E-value at most {_E_VALUE}; a domain without a hit counts as wrong.",
        f"gain: paired difference in top-1 from {_BASELINE} asked in the same way.",
        f"to 1st FP: mean share of the training domains of the same {options.level} that rank "
        "before the first one of another; domains without any are left out.",
        "Logistic regression: penalty chosen on a tenth of the training domains, then fitted to "
        "all: "
        + "; ".join(f"{a.name} {a.facts['strength']:g}" for a in answers if "strength" in a.facts),
        "All features have the log of the length beside them.",
    ]
    if given:
        notes.append("(given): numbers of other programs from a file, not measured here.")
    return notes


def read_known(path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Read numbers of other programs: tab-separated, ``method`` and one column per held-out set.

    Raises
    ------
    DataError
        With file and line, if a cell is not a number or the header lacks ``method``.
    """
    path = check_is_file(path)
    known: dict[str, dict[str, float]] = {}
    table = rows(path)
    line, header = next(table, (1, []))
    if "method" not in header or len(set(header)) < len(header):
        raise DataError("no header with one column 'method'", path=path, line=line)
    for line, cells in table:
        if len(cells) != len(header):
            message = f"{len(cells)} columns, the header has {len(header)}"
            raise DataError(message, path=path, line=line)
        record = dict(zip(header, cells, strict=True))
        name = record.pop("method")
        try:
            known[name] = {part: float(value) for part, value in record.items() if value}
        except ValueError:
            raise DataError("a cell is not a number", path=path, line=line, record=name) from None
        if not all(map(math.isfinite, known[name].values())):
            raise DataError("a cell is not a finite number", path=path, line=line, record=name)
    return known


def _answers(
    dataset: Any,
    encoder: Encoder,
    classes: IntArray,
    train: BoolArray,
    held_out: Mapping[str, BoolArray],
    options: HomologyOptions,
) -> Iterator[Answer]:
    frequent = np.argsort(-np.bincount(classes[train]), kind="stable")[:_MOST]
    order = np.arange(len(frequent), 0, -1.0)
    ranked = {part: np.tile(order, (int(m.sum()), 1)) for part, m in held_out.items()}
    yield Answer("most frequent classes", "", ranked, frequent)
    yield _by_search(dataset, classes, train, held_out, options.progress)
    pooling = encoder.chosen_pool(options.pool)
    encoders = {f"{name} + length": (load_encoder(key), "mean") for name, key in PLAIN.items()}
    if plain_name(encoder, options.pool) is None:
        encoders[f"{shown_name(encoder)}, {pooling} + length"] = (encoder, pooling)
    log_length = torch.from_numpy(np.log(dataset.sequences.lengths)).float()[:, None]
    for name, (used, pool) in encoders.items():
        x = cached_embeddings(used, dataset.sequences, pool, progress=options.progress)
        features = _standardised(torch.cat([x, log_length], 1), train)
        nearest = {part: _cosine(features[m], features[train]) for part, m in held_out.items()}
        yield Answer(name, _NEAREST, nearest, classes[train])
        probe = fit_probe(
            features[train], classes[train], seed=options.seed, progress=options.progress
        )
        facts = {
            "strength": probe.strength,
            "accuracy_by_strength": probe.accuracy,
            "domains_for_the_choice": probe.held_out,
        }
        scores = {part: probe.scores(features[m]) for part, m in held_out.items()}
        yield Answer(name, "logistic regression", scores, probe.model.classes_, facts)


def _by_search(
    dataset: Any,
    classes: IntArray,
    train: BoolArray,
    held_out: Mapping[str, BoolArray],
    progress: bool,
) -> Answer:
    known = dataset.sequences.select(np.flatnonzero(train))
    # Where hits end nothing is said: columns without a class come before the domains not found.
    silent = np.full(_MOST, _NO_CLASS)
    scores = {}
    for part, mask in held_out.items():
        asked = dataset.sequences.select(np.flatnonzero(mask))
        hits = homologous_pairs(
            asked, known, identity=0, coverage=0, e_value=_E_VALUE, progress=progress
        )
        bits = np.zeros((len(asked), len(known) + _MOST), np.float32)
        bits[hits.pairs[:, 0], hits.pairs[:, 1]] = hits.bits
        bits[:, len(known) :] = np.finfo(np.float32).tiny
        scores[part] = bits
    return Answer(shown_method(), _BEST_HIT, scores, np.concatenate([classes[train], silent]))


def _measured(
    answer: Answer, part: str, truth: IntArray, groups: IntArray, options: HomologyOptions
) -> dict[str, Any]:
    scores = answer.scores[part]
    row: dict[str, Any] = {"top1": _interval(answer.hits(part, truth, 1), groups, options)}
    if scores.shape[1] >= _MOST:
        row["top5"] = float(answer.hits(part, truth, _MOST).mean())
    if answer.kind in (_NEAREST, _BEST_HIT):
        found = sensitivity_to_first_false_positive(scores, answer.references, truth)
        some = ~np.isnan(found)
        row["sensitivity"] = float(found[some].mean()) if some.any() else None
        row["domains_with_relatives"] = int(some.sum())
    return row


def _gain(
    answer: Answer,
    answers: list[Answer],
    part: str,
    truth: IntArray,
    groups: IntArray,
    options: HomologyOptions,
) -> Interval:
    (baseline,) = (a for a in answers if (a.features, a.kind) == (_BASELINE, answer.kind))
    own, other = (a.hits(part, truth, 1) for a in (answer, baseline))
    return _interval(own - other, groups, options)


def _interval(
    values: npt.NDArray[np.float64], groups: IntArray, options: HomologyOptions
) -> Interval:
    return bootstrap_mean(values, groups, resamples=options.resamples, seed=options.seed)


def _groups(data: Any, mask: BoolArray) -> IntArray:
    """Superfamily of each domain; a domain without one is a group of its own."""
    superfamily = data.superfamily.numpy()
    alone = superfamily.max(initial=0) + 1 + np.arange(len(superfamily))
    return np.where(superfamily < 0, alone, superfamily)[mask]


def _standardised(x: Tensor, train: BoolArray) -> Floats:
    return standardised(x.numpy(), train).astype(np.float32)


def _cosine(a: Floats, b: Floats) -> Floats:
    a, b = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (a, b))
    return a @ b.T


def _check_parts(
    train: BoolArray,
    held_out: Mapping[str, BoolArray],
    classes: IntArray,
    level: str,
) -> None:
    if len(np.unique(classes[train])) < 2:
        raise InputError(
            f"training domains of at least two {level}s are needed, there are "
            f"{len(np.unique(classes[train]))}"
        )
    empty = [part for part, mask in held_out.items() if not mask.any()]
    if not held_out or empty:
        what = f"{empty[0]} is empty" if empty else "there is none"
        raise InputError(f"a held-out set with known {level}s is needed; {what}")
