"""A ``-`` in the place of an input file: what is sent to the process, kept while it is read."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lcplm_graph.errors import ConfigError

#: How a command line names it.
MARK = "-"
# Errors name the file that it is read from.
_NAME = "standard-input"


def received(values: Mapping[str, Any], held: ExitStack) -> dict[str, Any]:
    """Return the options that were ``-``, or lists with one, with the path of a file instead.

    Readers go through a file more than once, so it is written to a temporary folder first.

    Parameters
    ----------
    values : mapping of str to str, list of str or None
        Options that may be input files.
    held : ExitStack
        Removes the file at its end.

    Raises
    ------
    ConfigError
        If it is asked for twice, or is a terminal or closed.
    """
    lists = {name: [x] if isinstance(x, str) else list(x or ()) for name, x in values.items()}
    count = sum(texts.count(MARK) for texts in lists.values())
    if not count:
        return {}
    if count > 1:
        raise ConfigError(f"{MARK} is given {count} times, and standard input can be read once")
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise ConfigError(
            f"{MARK} is standard input, and nothing is sent to it; write FILE | lcplm"
        )
    folder = held.enter_context(tempfile.TemporaryDirectory(prefix="lcplm-"))
    path = Path(folder) / _NAME
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    there = {name: texts for name, texts in lists.items() if MARK in texts}
    return {
        name: str(path)
        if isinstance(values[name], str)
        else [str(path) if text == MARK else text for text in texts]
        for name, texts in there.items()
    }
