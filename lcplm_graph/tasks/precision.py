"""How many of the best-scored pairs of residues touch: P@L and its kin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lcplm_graph.numeric import Float32Array
from lcplm_graph.strings import one_of

RANGES = {"short": (6, 12), "medium": (12, 24), "long": (24, None)}
"""Separations along the chain, from and up to, as in CASP."""


def precision_at(
    scores: npt.NDArray[np.floating], known: Float32Array, count: int, part: str = "long"
) -> float:
    """Return the share of contacts among the `count` best-scored pairs of a range.

    Parameters
    ----------
    scores : ndarray, shape=(L, L)
    known : ndarray, shape=(L, L)
        1, 0, or NaN for pairs that are not known and do not count.
    count : int
        L for P@L; all pairs if there are fewer.
    part : {"short", "medium", "long"}

    Returns
    -------
    float
        Among equal scores at the border the share that chance would give; NaN without a pair.

    Raises
    ------
    UnknownNameError
        If there is no such part.

    Examples
    --------
    >>> scores = np.triu(np.arange(900.0).reshape(30, 30))
    >>> precision_at(scores, np.ones((30, 30), np.float32), 5)
    1.0
    """
    values, truth = _pairs(scores, known, part)
    if not len(values):
        return float("nan")
    count = min(max(count, 1), len(values))
    border = -np.partition(-values, count - 1)[count - 1]
    above, level = values > border, values == border
    left = count - int(above.sum())
    return float((truth[above].sum() + left * truth[level].mean()) / count)


def density(known: Float32Array, part: str = "long") -> float:
    """Return the share of contacts among all pairs of a range: what chance reaches."""
    _, truth = _pairs(known, known, part)
    return float(truth.mean()) if len(truth) else float("nan")


def nearness(length: int) -> Float32Array:
    """Return the score that knows the separation only: minus ``|i - j|``."""
    index = np.arange(length, dtype=np.float32)
    return -np.abs(index[:, None] - index[None])


def long_range_line(scores: Float32Array, known: Float32Array) -> str:
    """Return one line with long-range P@L beside its baselines."""
    length = len(scores)
    own = precision_at(scores, known, length)
    near = precision_at(nearness(length), known, length)
    return (
        f"long-range P@L {own:.3f} (L = {length}; by chance {density(known):.3f}, "
        f"by nearness along the chain {near:.3f})"
    )


def _pairs(
    scores: npt.NDArray[np.floating], known: Float32Array, part: str
) -> tuple[npt.NDArray[np.floating], Float32Array]:
    low, high = RANGES[one_of(part, "range of separations", RANGES)]
    rows, columns = np.triu_indices(len(known), low)
    inside = np.isfinite(known[rows, columns])
    if high is not None:
        inside &= columns - rows < high
    rows, columns = rows[inside], columns[inside]
    return scores[rows, columns], known[rows, columns]
