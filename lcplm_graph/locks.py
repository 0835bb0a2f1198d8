"""One process at a time writes an output: the lock beside it, and what it leaves behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lcplm_graph.errors import ConfigError
from lcplm_graph.io import written

_LONGEST = 200


@contextmanager
def sole_writer(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes away from a file or folder that this one writes.

    The lock lies outside of what it protects, ends with the process, and is gone afterwards, with
    the folders that were made for it if nothing else is in them.

    Raises
    ------
    filelock.Timeout
        If another process holds it.
    OSError
        If the folder above cannot be made or written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> out = pathlib.Path(tempfile.mkdtemp()) / "new" / "out.tsv"
    >>> with sole_writer(out):
    ...     print([lock.name for lock in out.parent.iterdir()])
    ['.out.tsv.lock']
    >>> out.parent.exists()
    False
    """
    # Two spellings of one place are one place.
    path = _real(path)
    made = _make_parents(path)
    # A folder that was mounted may be written where the one above may not.
    inside = path.is_dir() and not os.access(path.parent, os.W_OK)
    folder = path if inside else path.parent
    lock = FileLock(folder / f".{path.name[:_LONGEST]}.lock", timeout=0)
    try:
        lock.acquire()
        try:
            yield
        finally:
            # Before it is released: who opened it in the meantime sees that it is gone.
            with suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def claimed_output(path: str | os.PathLike[str], other: str) -> Iterator[None]:
    """Hold the output of a command, as `sole_writer`, and say in a sentence why it cannot be held.

    Parameters
    ----------
    path : path-like
    other : str
        Who writes there, if somebody else does.

    Raises
    ------
    ConfigError
        If another process holds it.
    WriteError
        If the folder above cannot be made or written.
    """
    with ExitStack() as held:
        try:
            with written(path):
                held.enter_context(sole_writer(path))
        except Timeout as error:
            raise ConfigError(
                f"{path}: {other} there now; wait for it, or choose another --out"
            ) from error
        yield


def _real(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is relative to the current folder, which is gone; change to another one"
        ) from error


def _make_parents(path: Path) -> list[Path]:
    """Make the folders above a path; return those that were not there, the lowest first."""
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
    missing = [folder for folder in path.parents if not folder.exists()]
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
    return missing
