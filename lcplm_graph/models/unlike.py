"""Proteins unlike those that a model learned from: the one warning that names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.io import warn_once

FARTHEST = 4.0
"""Mean squared standardised feature of a protein; training proteins have at most 1 in the mean."""
_SHOWN = 3


def warn_of_unlike(
    distance: Any,
    names: Sequence[str],
    farthest: float | None = None,
    what: str = "probabilities",
) -> npt.NDArray[np.bool_]:
    """Tell which proteins are unlike anything seen in training, and say so if there are some.

    Parameters
    ----------
    distance : array_like, shape=(n,)
        Mean squared feature of each, standardised as in training.
    names : sequence of str
    farthest : float, optional
        Default: `FARTHEST`.
    what : str
        What means little for them.
    """
    unlike = np.asarray(distance) > (FARTHEST if farthest is None else farthest)
    if unlike.any():
        odd = ", ".join(names[i][:20] for i in np.flatnonzero(unlike)[:_SHOWN].tolist())
        warn_once(
            f"{int(unlike.sum()):,} of {len(unlike):,} proteins are unlike anything seen in "
            f"training, for example {odd}; their {what} mean little"
        )
    return unlike
