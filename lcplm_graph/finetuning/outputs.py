"""Tables that a fine-tuning run leaves: who was in which part, and what was predicted."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from lcplm_graph.finetuning.answers import as_frame, residue_text
from lcplm_graph.finetuning.examples import Examples
from lcplm_graph.finetuning.labels import SEPARATOR, of_rows
from lcplm_graph.finetuning.partition import Partition
from lcplm_graph.finetuning.target import Array, Target
from lcplm_graph.io import atomic_path

SUFFIXES = (".tsv", ".csv", ".parquet")


def write_parts(path: str | os.PathLike[str], examples: Examples, partition: Partition) -> None:
    """Write the part of each row; empty for rows in none."""
    frame = pd.DataFrame({"row": examples.proteins.names, "part": partition.names(len(examples))})
    write_frame(path, frame)


def write_predictions(
    path: str | os.PathLike[str],
    examples: Examples,
    partition: Partition,
    target: Target,
    answers: dict[str, Array | list[Array]],
) -> None:
    """Write truth and answers of all rows that were tested on."""
    frames = []
    for part, found in answers.items():
        rows = partition.rows[part]
        frame = as_frame(target, found)
        if target.kind == "regression":
            frame = frame.rename(columns={target.names[0]: "prediction"})
        frame.insert(0, "true", _texts(target, of_rows(examples.labels, rows)))
        frame.insert(0, "part", part)
        frame.insert(0, "row", [examples.proteins.names[i] for i in rows.tolist()])
        frames.append(frame)
    write_frame(path, pd.concat(frames, ignore_index=True))


def write_frame(path: str | os.PathLike[str], frame: pd.DataFrame, suffix: str = ".tsv") -> None:
    """Write a table as TSV, CSV or Parquet, whole or not at all."""
    with atomic_path(path) as temporary:
        if suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            separator = "," if suffix == ".csv" else "\t"
            frame.to_csv(
                temporary, sep=separator, index=False, float_format="%.6g", lineterminator="\n"
            )


def _texts(target: Target, labels: Any) -> list[Any]:
    if target.kind == "regression":
        return list(labels)
    if target.kind == "multilabel":
        return [SEPARATOR.join(target.names[i] for i in np.flatnonzero(row)) for row in labels]
    if target.kind == "residue":
        return [residue_text(target, row) for row in labels]
    return [target.names[int(i)] for i in labels]
