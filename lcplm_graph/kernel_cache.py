"""Where Numba keeps compiled kernels when it can write neither to the package nor to a home."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

from lcplm_graph.errors import LcPlmWarning

_VARIABLE = "NUMBA_CACHE_DIR"
_temporary: list[tempfile.TemporaryDirectory[str]] = []


def find_kernel_cache() -> None:
    """Give Numba a temporary folder, which processes started from here share, if it has none.

    Without any it refuses to define a kernel.  Called before the first one is.
    """
    if os.environ.get(_VARIABLE) or any(map(can_write, _usual_places())):
        return
    # Not a folder known by its name: Numba runs what it finds there.
    folder = tempfile.TemporaryDirectory(prefix="lcplm-graph-numba-")
    _temporary.append(folder)
    os.environ[_VARIABLE] = folder.name
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = folder.name
    # It comes with the import, before a command can say how warnings look: no line of code in it.
    warnings.warn_explicit(
        "neither the package nor your home can be written, so compiled kernels are kept in "
        f"{folder.name} until the process ends; set {_VARIABLE} to a folder to keep them",
        LcPlmWarning,
        "lcplm_graph",
        0,
    )


def _usual_places() -> list[Path]:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [Path(__file__).parent, Path(home) / "numba"]


def can_write(folder: Path) -> bool:
    """Whether a folder can be written, or made and then written."""
    # Path.exists raises where a folder may not be looked into, as another user's home.
    there = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))
    return os.access(there, os.W_OK | os.X_OK)
