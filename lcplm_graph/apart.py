"""Modules of this package run in a process of their own, without what they do not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lcplm_graph.errors import DataError

_SECONDS, _BYTES_PER_SECOND = 20.0, 2e7


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


def try_elsewhere(module: str, path: Path, *arguments: str) -> None:
    """Let a module read a file in another process first: HDF5 may be held up by it for ever.

    Parameters
    ----------
    module : str
        Reads the file that its first argument names.
    path : Path
    *arguments : str
        What it takes besides.

    Raises
    ------
    DataError
        If that process hangs, or is ended by a signal; it does not matter whether it can read.
    """
    command, environment = another_process(module, str(path), *arguments)
    limit = _SECONDS + path.stat().st_size / _BYTES_PER_SECOND
    try:
        ended = subprocess.run(
            command, env=environment, timeout=limit, check=False, capture_output=True
        ).returncode
    except subprocess.TimeoutExpired:
        raise DataError(
            f"damaged: it cannot be read within {limit:.0f} s; on a very slow disk, copy it to "
            "a faster one",
            path=path,
        ) from None
    if ended < 0:
        raise DataError("damaged: what it says ends the process that reads it", path=path)
