"""Answers of a model as tables in the names of its labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lcplm_graph.finetuning.labels import SEPARATOR, UNKNOWN
from lcplm_graph.finetuning.target import Array, Target
from lcplm_graph.tokens.masking import IGNORE

PREDICTION = "prediction"
_HALF = 0.5


def as_frame(target: Target, answers: Array | list[Array]) -> pd.DataFrame:
    """Return a row of answers for each protein or pair.

    Parameters
    ----------
    target : Target
    answers : ndarray, or list of ndarray
        Of `PropertyModel.answers`.

    Examples
    --------
    >>> target = Target("multiclass", ("membrane", "nucleus"))
    >>> as_frame(target, np.array([[0.2, 0.8]])).to_dict("records")
    [{'prediction': 'nucleus', 'p(membrane)': 0.2, 'p(nucleus)': 0.8}]
    """
    if target.kind == "regression":
        return pd.DataFrame({target.names[0]: answers})
    chosen = predicted(target, answers)
    if isinstance(answers, list):
        sure = [float(rows.max(1).mean()) for rows in answers]
        return pd.DataFrame({PREDICTION: chosen, "mean p(prediction)": sure})
    if target.kind == "binary":
        return pd.DataFrame({PREDICTION: chosen, f"p({target.names[1]})": answers})
    columns = {f"p({name})": answers[:, i] for i, name in enumerate(target.names)}
    return pd.DataFrame({PREDICTION: chosen, **columns})


def residue_frame(
    target: Target, names: Sequence[str], sequences: Sequence[str], answers: Sequence[Array]
) -> pd.DataFrame:
    """Return a row for each residue: protein, position from 1, residue, class, probabilities."""
    parts = []
    for name, sequence, rows in zip(names, sequences, answers, strict=True):
        best = rows.argmax(1)
        parts.append(
            pd.DataFrame(
                {
                    "protein": name,
                    "position": np.arange(1, len(sequence) + 1),
                    "residue": list(sequence),
                    PREDICTION: [target.names[i] for i in best.tolist()],
                    **{f"p({c})": rows[:, i] for i, c in enumerate(target.names)},
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def predicted(target: Target, answers: Array | list[Array]) -> list[str]:
    """Return what is predicted, in the names of the labels."""
    if isinstance(answers, list):
        return [residue_text(target, rows.argmax(1)) for rows in answers]
    if target.kind == "binary":
        return [target.names[int(p >= _HALF)] for p in answers.tolist()]
    if target.kind == "multilabel":
        return [
            SEPARATOR.join(n for n, is_in in zip(target.names, row, strict=True) if is_in)
            for row in (answers >= _HALF).tolist()
        ]
    return [target.names[i] for i in answers.argmax(1).tolist()]


def residue_text(target: Target, classes: Array) -> str:
    """Return the classes of a protein's residues as text: letters, or words with blanks between."""
    between = "" if all(len(name) == 1 for name in target.names) else " "
    return between.join(UNKNOWN if i == IGNORE else target.names[i] for i in classes.tolist())
