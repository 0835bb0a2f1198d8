"""JSON files that the toolkit writes and reads again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.io.whole import atomic_path


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    Raises
    ------
    InputError
        As `json_bytes`.
    """
    written_out = json_bytes(content, path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(written_out)


def json_bytes(content: Mapping[str, Any], path: str | os.PathLike[str]) -> bytes:
    """Return what a JSON file is to hold; numbers of NumPy become plain ones.

    Parameters
    ----------
    content : mapping
    path : path-like
        The file, for messages.

    Raises
    ------
    InputError
        If something in it has no form in JSON.
    """
    try:
        text = json.dumps(content, indent=1, ensure_ascii=False, default=_plain_number) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path} cannot hold all that it should ({error}); give texts, numbers, and lists and "
            "dictionaries of them"
        ) from error
    # A file's name may hold bytes that are no UTF-8; those become JSON's own escapes.
    return text.encode("utf-8", "backslashreplace")


def read_json(path: str | os.PathLike[str], advice: str) -> dict[str, Any]:
    """Read a JSON file that the toolkit wrote.

    Parameters
    ----------
    path : path-like
    advice : str
        What to do where it is damaged.

    Raises
    ------
    DataError
        If it is missing, damaged, or holds something else than an object.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not readable as JSON ({error}); {advice}", path=path) from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise DataError(f"expected a JSON object, found {kind}; {advice}", path=path)
    return content


def _plain_number(value: Any) -> Any:
    # Known by what it has: this module loads without NumPy.
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{value!r:.60} is of type {type(value).__name__}")
