"""What made a result: the command, the versions of packages, the content of files."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from lcplm_graph import __version__
from lcplm_graph.strings import without_secrets

_PACKAGES = ("torch", "lightning", "transformers", "numba", "numpy", "pyarrow")


def package_versions() -> dict[str, str]:
    """Versions of what a result may depend on."""
    found = {"python": python_version(), "lcplm-graph": __version__}
    for package in _PACKAGES:
        found[package] = version(package)
    return found


def command_line(words: Sequence[str] | None = None) -> str:
    """Return the command that repeats this process, or these words, without secrets.

    Parameters
    ----------
    words : sequence of str, optional
    """
    if words is None:
        name = Path(sys.argv[0]).stem
        own = [] if name in ("lcplm", "__main__") else [name]
        words = ["lcplm", *own, *map(without_secrets, sys.argv[1:])]
    return shlex.join(words)


def file_checksums(paths: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """Return the sha256 of files by their names; what is no file is left out.

    Files of one name are told apart by their folders.
    """
    files = [Path(path) for path in dict.fromkeys(map(str, paths)) if os.path.isfile(path)]
    names = [path.name for path in files]
    found = {}
    for path in files:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        found[path.name if names.count(path.name) == 1 else str(path)] = digest
    return found
