"""Names and folders that one process has to itself, and what others are told meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lcplm_graph.errors import WriteError
from lcplm_graph.io.once import warn_once
from lcplm_graph.io.refusals import written

# Processes that write one file at the same time are few.
_MOST_NAMES = 200


@contextmanager
def locked_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder, and keep other processes that ask for it waiting until the block ends.

    Raises
    ------
    WriteError
        If the disk is full or the folder may not be written.
    """
    folder = Path(folder)
    with ExitStack() as held:
        with written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(waiting_lock(folder / ".lock", folder))
        yield folder


@contextmanager
def waiting_lock(
    lock: str | os.PathLike[str], what: str | os.PathLike[str], patience: float = 2
) -> Iterator[None]:
    """Hold a lock; who waits for another process longer than `patience` seconds is told.

    Parameters
    ----------
    lock : path-like
        The file of the lock; its folder exists.
    what : path-like
        What it protects, for the message.
    patience : float
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=patience)
    except Timeout:
        warn_once(f"{what}: another process works there; this one waits until it ends")
        held.acquire()
    try:
        yield
    finally:
        held.release()


@contextmanager
def claimed_name(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    """Give a name in a folder that no other process uses at the same time.

    It is the same name again and again, so that what a killed process leaves behind is written
    over by the next one instead of piling up.  A lock, which ends with the process, lies beside it.

    Parameters
    ----------
    folder : pathlib.Path
        Where it is; it exists.
    stem, suffix : str
        Of the name.

    Raises
    ------
    WriteError
        If no name can be had.
    """
    for number in range(_MOST_NAMES):
        path = folder / f"{stem}{f'-{number}' if number else ''}{suffix}"
        lock = FileLock(path.with_name(path.name + ".lock"), timeout=0)
        try:
            lock.acquire()
            break
        except Timeout:
            continue
        except NotImplementedError:  # a file system without locks
            path = folder / f"{stem}-{os.getpid()}-{threading.get_ident()}{suffix}"
            break
    else:  # what the system says of a folder that takes no files is read as a lock, too
        raise WriteError(f"cannot write into {folder}: it takes no file; choose another folder")
    try:
        yield path
    finally:
        # Before it is released: who waits for it sees that it is another file now.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@contextmanager
def one_by_one(stem: Path) -> Iterator[None]:
    """Let other processes wait here until the block ends; the lock is gone afterwards."""
    lock = FileLock(stem.with_name(f"{stem.name}.lock"))
    with lock:
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
