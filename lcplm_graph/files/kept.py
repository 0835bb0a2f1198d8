"""What commands keep under the data root: how much there is, and how it is cleared away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lcplm_graph.errors import ConfigError
from lcplm_graph.files.download import data_root
from lcplm_graph.io import written

# Folders below the data root, as patterns.  All but `fetched` can be made again from the rest.
KINDS = {
    "features": (("features",), "embeddings of proteins"),
    "heads": (("heads",), "heads that `lcplm predict` trained"),
    "graphs": (("processed", "*/*/processed", "string-union"), "datasets, read and checked"),
    "walks": (("walks",), "graphs laid out for stage 2"),
    "corpora": (("corpora",), "sequences laid out for stage 1"),
    "relatives": (("relatives",), "homologues that a search found"),
    "fetched": (("*/*/raw",), "files that were downloaded, or that you put there"),
}
_CLEARED = ".cleared"


def kinds_of(words: Sequence[str]) -> list[str]:
    """Return the kinds that some words name, each once; ``made`` is all but what was fetched.

    Raises
    ------
    ConfigError
        If a word is none of them.

    Examples
    --------
    >>> kinds_of(["heads", "walks", "heads"])
    ['heads', 'walks']
    """
    for word in words:
        if word not in KINDS and word != "made":
            raise ConfigError(f"{word!r} is not kept; known: made, {', '.join(KINDS)}")
    made = [kind for kind in KINDS if kind != "fetched"]
    named = [kind for word in words for kind in (made if word == "made" else [word])]
    return list(dict.fromkeys(named))


def kept_folders(kind: str) -> list[Path]:
    """Return the folders of one of `KINDS` that are there; first what a killed `clear` left."""
    root, there = data_root(), []
    for pattern in KINDS[kind][0]:
        above, slash, name = pattern.rpartition("/")
        there += [*root.glob(f"{above}{slash}.{name}{_CLEARED}"), *root.glob(pattern)]
    return sorted(there)


def size_of(folders: Sequence[Path]) -> tuple[int, int]:
    """Count files and their bytes, locks left out; others may write and remove some meanwhile."""
    sizes = []
    for folder in folders:
        for above, _, names in os.walk(folder):
            for name in names:
                if not name.endswith(".lock"):
                    with suppress(FileNotFoundError):
                        sizes.append(os.path.getsize(os.path.join(above, name)))
    return len(sizes), sum(sizes)


def clear(kind: str) -> int:
    """Remove all of one of `KINDS`, and return how many bytes that were.

    A folder first gets another name, so that nobody finds it half removed.  A command that is at
    work on it fails.

    Raises
    ------
    WriteError
        If a folder may not be removed.
    """
    freed = 0
    for folder in map(Path.resolve, kept_folders(kind)):  # a link stays a link
        freed += size_of([folder])[1]
        with written(folder), suppress(FileNotFoundError):  # who clears at the same time was first
            aside = folder
            if not folder.name.endswith(_CLEARED):
                aside = folder.rename(folder.with_name(f".{folder.name}{_CLEARED}"))
                folder.mkdir()
            shutil.rmtree(aside)
    return freed
