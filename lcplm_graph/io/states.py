"""Numbers that tell one state of a file from another."""

from __future__ import annotations

import hashlib
import os


def file_state(path: str | os.PathLike[str]) -> list[int]:
    """Return numbers that change whenever a file does: its size, and two times of change.

    Reading all of a large file to know it would take minutes.  The first time is copied and set by
    many tools, the second is not, and tells that an edited file was given its old time again.
    """
    state = os.stat(path)
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
