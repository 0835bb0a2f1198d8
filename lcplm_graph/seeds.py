"""One rule for seeds, and for those that are made of another one."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcplm_graph.errors import ConfigError

_LIMIT = 2**63


def checked_seed(seed: Any) -> int:
    """Return a seed as int; it is a whole number from 0 to 2**63 - 1.

    Raises
    ------
    ConfigError
        If it is not.

    Examples
    --------
    >>> checked_seed(7)
    7
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < _LIMIT:
        raise ConfigError(f"a seed is a whole number from 0 to 2**63 - 1, not {seed!r}")
    return int(seed)


def derived_seed(seed: int, parts: int, number: int) -> int:
    """Return seed * parts + number, for that part of what a seed decides about, modulo 2**63.

    New code takes a generator of the list ``[seed, number]``; published numbers rest on this one.

    Parameters
    ----------
    seed : int
    parts : int
        How many numbers there are for each seed; beyond, they are those of the next seed.
    number : int
        From 0.

    Raises
    ------
    ConfigError
        If `seed` is none.

    Examples
    --------
    >>> derived_seed(2, 1000, 7), derived_seed(2**62, 4, 1)
    (2007, 1)
    """
    return (checked_seed(seed) * parts + number) % _LIMIT
