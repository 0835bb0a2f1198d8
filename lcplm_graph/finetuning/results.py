"""Answers of a trained model on a part, measured and put into a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.evaluation.report import Report, shown
from lcplm_graph.finetuning.baselines import Answers, row_logits
from lcplm_graph.finetuning.batches import count_labels
from lcplm_graph.finetuning.data import Data
from lcplm_graph.finetuning.labels import flat, of_rows
from lcplm_graph.finetuning.metrics import CHOSEN_BY, HEADINGS, METRICS, measure, with_intervals
from lcplm_graph.finetuning.model import PropertyModel
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.finetuning.target import Array


def answers_on(
    model: PropertyModel, data: Data, part: str, max_tokens: int, features: Tensor | None,
    progress: bool = False,
) -> tuple[Array | list[Array], Any]:  # fmt: skip
    """Return answers and logits on a part."""
    rows = data.partition.rows[part]
    named = data.examples.proteins.rows[rows]
    if features is not None:
        logits: Any = row_logits(model, data.examples, rows, features)
    else:
        proteins, place = np.unique(named, return_inverse=True)
        sequences = [data.examples.proteins.sequences[i] for i in proteins.tolist()]
        place = place.reshape(named.shape)
        found = model.logits(
            sequences, place if data.examples.proteins.paired else None,
            max_tokens=max_tokens, progress=progress,
        )  # fmt: skip
        if isinstance(found, list):
            logits = [found[i] for i in place[:, 0].tolist()]
        else:
            logits = found if data.examples.proteins.paired else found[place[:, 0]]
    if isinstance(logits, list):
        return [data.target.answers(rows) for rows in logits], torch.cat(logits)
    return data.target.answers(logits), logits


def valid_metrics(
    model: PropertyModel, data: Data, options: FinetuneOptions, features: Tensor | None
) -> dict[str, float]:
    """Return loss and metrics of the validation rows."""
    labels = of_rows(data.examples.labels, data.partition.rows["valid"])
    answers, logits = answers_on(model, data, "valid", options.max_tokens, features)
    learned = data.target.standardised(flat(labels))
    loss = data.target.loss(logits.float(), learned, float(max(count_labels(learned), 1)))
    values = measure(data.target, labels, answers)
    return {"valid_loss": float(loss), **{f"valid_{k}": v for k, v in values.items()}}


def report_of(
    options: FinetuneOptions,
    data: Data,
    methods: dict[str, Answers],
    tests: list[str],
    facts: dict[str, Any],
) -> Report:
    """Measure every method on the parts that are tested on, with intervals over proteins."""
    kind = data.target.kind
    headings = {name: HEADINGS[name] for name in METRICS[kind]}
    if kind == "residue":
        headings["accuracy"] = f"Q{len(data.target.names)}"
    report = Report(
        f"Fine-tuned on {Path(options.table).name}: {kind}",
        {"part": "part", "model": "model", **headings},
        facts={
            "rows": facts["rows"],
            "proteins": facts["proteins"],
            "split": ", ".join(f"{k} {shown(v)}" for k, v in data.partition.facts.items()),
            "best step": facts["best_step"],
        },
        notes=[
            f"The state kept is the best on valid by {headings[CHOSEN_BY[kind]]}; intervals: "
            f"bootstrap over proteins.",
        ],
    )
    report.facts |= {f"leakage, {name}": str(shared) for name, shared in data.shared.items()}
    if not data.partition.tests:
        report.notes.append("No part is left to test on: the model was chosen on valid too.")
    for part in tests:
        rows = data.partition.rows[part]
        labels = of_rows(data.examples.labels, rows)
        for name, answers in methods.items():
            if part in answers:
                values = with_intervals(
                    data.target, labels, answers[part], data.examples.proteins.rows[rows],
                    resamples=options.resamples, seed=options.seed,
                )  # fmt: skip
                defined = {k: None if v != v else v for k, v in values.items()}
                report.rows.append({"part": part, "model": name, "rows": len(rows), **defined})
    return report
