"""Remote homology: whether the nearest domain, or a classifier, knows the fold."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.evaluation.models import shown_name
from lcplm_graph.evaluation.ranking import top_k_accuracy
from lcplm_graph.evaluation.report import Report
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.models.encoders import Encoder, load_encoder

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HomologyOptions:
    """What is trained and measured.

    Attributes
    ----------
    pool : str
        Pooling of the encoder.
    level : {"fold", "superfamily", "family"}
        What is to be found.
    top_k : tuple of int
    progress : bool
    """

    pool: str = "mean"
    level: str = "fold"
    top_k: tuple[int, ...] = (1, 5)
    progress: bool = False


def evaluate_homology(
    dataset: Any,
    encoder: Encoder,
    known: Mapping[str, Mapping[str, float]] | None = None,
    options: HomologyOptions = HomologyOptions(),
) -> Report:
    """Measure top-1 and top-5 accuracy on every held-out set.

    Two ways of asking: 1-NN takes the class of the nearest training domain (cosine of standardised
    features), logistic regression is trained on the training domains.  Domains whose class has no
    training domain count as wrong.

    Parameters
    ----------
    dataset : RemoteHomology
    encoder : Encoder
    known : mapping, optional
        Method to held-out set to top-1 accuracy, of other programs; see `read_known`.
    options : HomologyOptions

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If there is no training domain, only one class, or no held-out set.
    """
    data = dataset[0]
    classes = data[options.level].numpy()
    train = data.train_mask.numpy() & (classes >= 0)
    held_out = {
        key.removesuffix("_mask").replace("val", "valid"): data[key].numpy() & (classes >= 0)
        for key in data.to_dict()
        if key.endswith("_mask") and key != "train_mask"
    }
    _check_parts(train, held_out, classes, options.level)
    report = Report("Remote homology", {"model": "model", **_headings(held_out, options)})
    for name, values in (known or {}).items():
        given = {f"{part}_top1": values.get(part) for part in held_out}
        report.rows.append({"model": f"{name} (given)", **given})
    for name, scores, references in _answers(dataset, encoder, classes, train, held_out, options):
        row: dict[str, Any] = {"model": name}
        for part, mask in held_out.items():
            for k in options.top_k:
                row[f"{part}_top{k}"] = top_k_accuracy(scores[part], references, classes[mask], k)
        report.rows.append(row)
    report.facts = {
        "level": options.level,
        "training domains": int(train.sum()),
        **{f"{part} domains": int(mask.sum()) for part, mask in held_out.items()},
        "classes in training": len(np.unique(classes[train])),
    }
    report.notes = [
        f"Share of domains whose {options.level} is right; of k answers one must be.",
        "Rows marked (given) are numbers of other programs from a file, not measured here.",
    ]
    return report


def read_known(path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Read numbers of other programs: tab-separated, ``method`` and one column per held-out set.

    Raises
    ------
    DataError
        With file and line, if a cell is no number or the header lacks ``method``.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such file", path=path)
    known: dict[str, dict[str, float]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t")
        if "method" not in (reader.fieldnames or ()):
            raise DataError("no column 'method' in the header", path=path, line=1)
        for record in reader:
            name = record.pop("method")
            try:
                known[name] = {part: float(value) for part, value in record.items() if value}
            except (TypeError, ValueError):
                raise DataError(
                    "a cell is no number", path=path, line=reader.line_num, record=name
                ) from None
    return known


def _answers(
    dataset: Any,
    encoder: Encoder,
    classes: Ints,
    train: npt.NDArray[np.bool_],
    held_out: Mapping[str, npt.NDArray[np.bool_]],
    options: HomologyOptions,
) -> Iterator[tuple[str, dict[str, Floats], Ints]]:
    """Yield a name, scores by held-out set (q, r), and the class of each column."""
    frequent = np.argsort(-np.bincount(classes[train]), kind="stable")[: max(options.top_k)]
    order = np.arange(len(frequent), 0, -1.0)
    ranked = {part: np.tile(order, (int(mask.sum()), 1)) for part, mask in held_out.items()}
    yield "most frequent classes", ranked, frequent
    encoders = {
        "composition + length": load_encoder("composition"),
        "composition + dipeptides": load_encoder("dipeptide"),
        shown_name(encoder): encoder,
    }
    for name, used in encoders.items():
        pool = options.pool if used is encoder else "mean"
        x = cached_embeddings(used, dataset.sequences, pool, progress=options.progress)
        if name == "composition + length":
            x = torch.cat([x, torch.from_numpy(np.log(dataset.sequences.lengths))[:, None]], 1)
        features = _standardised(x, train)
        nearest = {part: _cosine(features[m], features[train]) for part, m in held_out.items()}
        yield f"{name}, 1-NN", nearest, classes[train]
        model = LogisticRegression(C=1.0, max_iter=300).fit(features[train], classes[train])
        logits = {part: model.decision_function(features[m]) for part, m in held_out.items()}
        if len(model.classes_) == 2:
            logits = {part: np.stack([-s, s], axis=1) for part, s in logits.items()}
        yield f"{name}, logistic regression", logits, model.classes_


def _standardised(x: Tensor, train: npt.NDArray[np.bool_]) -> Floats:
    array = x.double().numpy()
    return (array - array[train].mean(0)) / np.maximum(array[train].std(0), 1e-9)


def _cosine(a: Floats, b: Floats) -> Floats:
    a, b = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (a, b))
    return a @ b.T


def _check_parts(
    train: npt.NDArray[np.bool_],
    held_out: Mapping[str, npt.NDArray[np.bool_]],
    classes: Ints,
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


def _headings(held_out: Mapping[str, Any], options: HomologyOptions) -> dict[str, str]:
    return {f"{part}_top{k}": f"{part} top-{k}" for part in held_out for k in options.top_k}
