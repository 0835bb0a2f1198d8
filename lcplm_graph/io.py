"""Small file helpers: nothing is ever written half, and warnings are said once."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lcplm_graph.errors import (
    ConfigError,
    DataError,
    InputError,
    LcPlmError,
    LcPlmWarning,
    WriteError,
)

_already_said: set[str] = set()
_one_asks = threading.Lock()
# Processes that write one file at the same time are few.
_MOST_NAMES = 200


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
Write = Callable[..., Iterator[Path]]


def _names_the_place(write: Write) -> Write:
    """Say in one sentence what cannot be written and why, instead of a number of the system."""

    @functools.wraps(write)
    def named(path: str | os.PathLike[str], **options: str) -> Iterator[Path]:
        with written(path):
            yield from write(path, **options)

    return named


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
        with _one_by_one(folder / ".staging"):
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
        with _one_by_one(path.with_name(f".{path.name}.move")):
            shutil.rmtree(old, ignore_errors=True)
            if path.exists():
                os.replace(path, old)
            os.replace(staging, path)
        shutil.rmtree(old, ignore_errors=True)


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
def _one_by_one(stem: Path) -> Iterator[None]:
    """Let other processes wait here until the block ends; the lock is gone afterwards."""
    lock = FileLock(stem.with_name(f"{stem.name}.lock"))
    with lock:
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)


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


def _plain_number(value: Any) -> Any:
    # Known by what it has: this module loads without NumPy.
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{value!r:.60} is of type {type(value).__name__}")


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


def warn_once(message: str, *, key: str | None = None) -> None:
    """Issue an `LcPlmWarning` the first time this `key` (default: the message) is seen."""
    key = message if key is None else key
    if key not in _already_said:
        _already_said.add(key)
        warnings.warn(message, LcPlmWarning, stacklevel=3)


def forget_warnings() -> None:
    """Make `warn_once` speak again; for tests."""
    _already_said.clear()


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    # The system tells it only by setting another one, which is that of all threads.
    with _one_asks:
        mask = os.umask(0)
        os.umask(mask)
    return mask
