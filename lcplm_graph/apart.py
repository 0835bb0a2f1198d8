"""Modules of this package run in a process of their own, without what they do not need."""

from __future__ import annotations

import os
import sys


def another_process(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return command and environment that run a module in another process.

    For what libraries in C read: a damaged file ends the process that reads it, or holds it up.

    Examples
    --------
    >>> another_process("lcplm_graph.datasets.lmdb_values", "x.lmdb")[0][1:]
    ['-m', 'lcplm_graph.datasets.lmdb_values', 'x.lmdb']
    """
    where = os.pathsep.join(part for part in sys.path if part)
    return [sys.executable, "-m", module, *arguments], {**os.environ, "PYTHONPATH": where}
