"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from lcplm_graph.io.claims import claimed_name, one_by_one
from lcplm_graph.io.refusals import written

Write = Callable[..., Iterator[Path]]
_one_asks = threading.Lock()


def _names_the_place(write: Write) -> Write:
    """Say in one sentence what cannot be written and why, instead of a number of the system."""

    @functools.wraps(write)
    def named(path: str | os.PathLike[str], **options: str) -> Iterator[Path]:
        with written(path):
            yield from write(path, **options)

    return named


@contextmanager
@_names_the_place
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it into place when the block succeeds.

    Parameters
    ----------
    path : path-like
        The final file.  Its parent directory is created.

    Yields
    ------
    pathlib.Path
        Write the content here.  If the block raises, the temporary file is removed and
        `path` stays as it was.

    Raises
    ------
    WriteError
        If the disk is full or the folder may not be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_path(target) as tmp:
    ...     _ = tmp.write_text("whole or not at all")
    >>> target.read_text()
    'whole or not at all'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept last, because many writers choose a format by it.
    with claimed_name(path.parent, f".{path.stem[:100]}", f".part{path.suffix}") as temporary:
        temporary.touch()
        try:
            yield temporary
            _sync(temporary)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
@_names_the_place
def staged_files(folder: str | os.PathLike[str], *, last: str = "") -> Iterator[Path]:
    """Give a temporary folder whose files are moved into `folder` when the block succeeds.

    Parameters
    ----------
    folder : path-like
        Created if need be; its other files stay.
    last : str
        Name of the file to move last: the one without which readers ignore the others.  One that
        is there goes first.

    Yields
    ------
    pathlib.Path
        Write the files here.  If the block raises, `folder` stays as it was.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _claimed_folder(folder, ".staging") as staging:
        yield staging
        for path in staging.iterdir():
            _sync(path)
            os.chmod(path, 0o666 & ~_umask())
        # Files of two writers at once belong to one of them.
        with one_by_one(folder / ".staging"):
            if last:
                (folder / last).unlink(missing_ok=True)
            for path in sorted(staging.iterdir(), key=lambda path: (path.name == last, path.name)):
                os.replace(path, folder / path.name)


@contextmanager
@_names_the_place
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `path` when the block succeeds.

    Parameters
    ----------
    path : path-like
        The final folder.  One that exists is replaced, with all that is in it; a file is not.

    Yields
    ------
    pathlib.Path
        Fill this folder.  If the block raises, it is removed and `path` stays as it was.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "model"
    >>> with whole_folder(target) as folder:
    ...     _ = (folder / "a.txt").write_text("a")
    >>> sorted(p.name for p in target.iterdir())
    ['a.txt']
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _claimed_folder(path.parent, f".{path.name}") as staging:
        old = staging.with_suffix(".old")
        if old.exists() and not path.exists():
            # Where a kill came between the two steps below.
            os.replace(old, path)
        yield staging
        for file in staging.rglob("*"):
            if file.is_file():
                _sync(file)
        os.chmod(staging, 0o777 & ~_umask())
        # A folder cannot be replaced by one call; the old one steps aside first.
        # Not the name of `locks.sole_writer`, which the caller may hold.
        with one_by_one(path.with_name(f".{path.name}.move")):
            shutil.rmtree(old, ignore_errors=True)
            if path.exists():
                os.replace(path, old)
            os.replace(staging, path)
        shutil.rmtree(old, ignore_errors=True)


def copy_folder(old: Path, new: Path, without: Sequence[str] = ()) -> None:
    """Copy a folder into one that may exist, but for names that match one of some patterns.

    The first file that cannot be written is an `OSError` of its own, which `written` puts into
    words; `shutil.copytree` makes a list of all.
    """
    new.mkdir(exist_ok=True)
    for path in sorted(old.iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in without):
            continue
        if path.is_dir():
            copy_folder(path, new / path.name, without)
        else:
            shutil.copy2(path, new / path.name)


@contextmanager
def _claimed_folder(parent: Path, stem: str) -> Iterator[Path]:
    """Give a new, empty folder that goes when the block ends."""
    with claimed_name(parent, stem, ".part") as folder:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    # The system tells it only by setting another one, which is that of all threads.
    with _one_asks:
        mask = os.umask(0)
        os.umask(mask)
    return mask
