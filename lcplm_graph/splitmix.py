"""SplitMix64: the finaliser that hashes of pairs, walks and sampled neighbours share.

Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.  The plain
Python form in `lcplm_graph.ops.random_walk.reference` is apart on purpose: tests compare the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Odd step of the counter: 2**64 over the golden ratio."""


def mix64(x: Any) -> Any:
    """Spread every bit, one to one.

    Parameters
    ----------
    x : ndarray of uint64, or in a Numba kernel (by ``njit(mix64)``) a uint64

    Examples
    --------
    >>> hex(mix64(np.zeros(1, np.uint64) + GOLDEN)[0])
    '0xe220a8397b1dcdaf'
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
