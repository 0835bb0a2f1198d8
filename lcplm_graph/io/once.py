"""Warnings that are said once."""

from __future__ import annotations

import warnings

from lcplm_graph.errors import LcPlmWarning

_already_said: set[str] = set()


def warn_once(message: str, *, key: str | None = None) -> None:
    """Issue an `LcPlmWarning` the first time this `key` (default: the message) is seen."""
    key = message if key is None else key
    if key not in _already_said:
        _already_said.add(key)
        warnings.warn(message, LcPlmWarning, stacklevel=3)


def forget_warnings() -> None:
    """Make `warn_once` speak again; for tests."""
    _already_said.clear()
