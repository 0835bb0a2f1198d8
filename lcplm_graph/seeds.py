"""One rule for seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcplm_graph.errors import ConfigError


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
    if not whole or not 0 <= seed < 2**63:
        raise ConfigError(f"a seed is a whole number from 0 to 2**63 - 1, not {seed!r}")
    return int(seed)
