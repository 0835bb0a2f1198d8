"""Which classes of pairs (C1, C2, C3) have enough of both labels to be measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: A class of pairs counts if it has at least this many positives and negatives.
FEWEST = 20


def large_classes(
    labels: npt.NDArray[np.bool_], classes: npt.NDArray[np.integer]
) -> dict[int, npt.NDArray[np.bool_]]:
    """Return which pairs are of each class (1, 2, 3 for C1, C2, C3) that is large enough.

    Parameters
    ----------
    labels : ndarray, dtype=bool, shape=(n,)
    classes : ndarray, dtype=int8, shape=(n,)
        From `Split.classify`.

    Examples
    --------
    >>> labels = np.arange(60) % 2 == 0
    >>> sorted(large_classes(labels, np.where(np.arange(60) < 40, 1, 3)))
    [1]
    """
    masks = {number: classes == number for number in (1, 2, 3)}
    return {
        number: own
        for number, own in masks.items()
        if np.bincount(labels[own], minlength=2).min() >= FEWEST
    }
