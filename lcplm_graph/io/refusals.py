"""What cannot be written, and why, in one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lcplm_graph.errors import ConfigError, LcPlmError, WriteError

#: What it means that nothing more can be written, by the system's number.
FULL = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "your quota on this disk is used up; free some space or choose another folder",
    errno.EFBIG: "the file is too large for this disk; choose another folder",
}
_REASONS = FULL | {
    errno.EROFS: "the disk can only be read; choose another folder",
    errno.EACCES: "the folder may not be written; choose another one",
    errno.EPERM: "the folder may not be written; choose another one",
    errno.ENOTDIR: "a part of the path is a file and no folder; choose another path",
    errno.EEXIST: "a part of the path is a file and no folder; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EISDIR: "a folder has this name; choose another one",
    errno.ELOOP: "its links lead round in a circle; choose another path",
    errno.EIO: "the disk answers with an error; choose another one",
}


def checked_suffix(path: str | os.PathLike[str], known: Sequence[str]) -> str:
    """Return the suffix of a file to write, in lower case; commands ask before they begin.

    Raises
    ------
    ConfigError
        If it is not one of `known`.

    Examples
    --------
    >>> checked_suffix("a/b.TSV", (".tsv", ".csv"))
    '.tsv'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        one_of = "one of " if len(known) > 1 else ""
        raise ConfigError(f"the output {path} should end in {one_of}{', '.join(known)}")
    return suffix


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say in one sentence that `path` cannot be written and why, where the system gives a number.

    Raises
    ------
    WriteError
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, LcPlmError) or error.errno not in _REASONS:
            raise
        raise WriteError(f"cannot write {path}: {_REASONS[error.errno]}") from error


def raise_if_full(error: Exception, path: str | os.PathLike[str]) -> None:
    """Raise `WriteError` if `error` says that the disk is full; what was read has no part in that.

    For readers that unpack: a name that is too long, say, is a fault of the archive.

    Raises
    ------
    WriteError
        If the disk is full or a quota is used up.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise WriteError(f"cannot write {path}: {_REASONS[error.errno]}") from error
