"""Fetch data files once, whole, checked, and resumable.

A file arrives as ``NAME.part`` (kept when the network breaks, so the next try resumes), is
checked, and only then gets its name.  Beside it ``NAME.json`` records URL, sha256 and size: for
a file whose sha256 was not known beforehand, that is the pin that `verify` holds it to.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from lcplm_graph.errors import ChecksumError, ConfigError, DataError, DownloadError
from lcplm_graph.files.catalog import Card
from lcplm_graph.files.content import is_whole, other_format, rubbish
from lcplm_graph.files.urls import shown_url
from lcplm_graph.io import file_state, sha256_of, waiting_lock, warn_once, write_json


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Directory of all data: `root`, else ``LCPLM_DATA``, else the platform's cache directory.

    Raises
    ------
    ConfigError
        If it is below a home, and the system does not know that.
    """
    chosen = root or os.environ.get("LCPLM_DATA")
    try:
        return Path(chosen or platformdirs.user_cache_dir("lcplm-graph")).expanduser()
    except RuntimeError as error:
        which = f"the home of {chosen}" if chosen else "your home"
        raise ConfigError(
            f"the system does not know {which}; set LCPLM_DATA to the full path of a folder"
        ) from error


def cache_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Directory of what is made and can be made again.

    It is that of `data_root`, or, where `root` was not given and cannot be written, a
    temporary one that goes when the process ends, with one warning.
    """
    chosen = data_root(root)
    if root is not None or _can_write(chosen):
        return chosen
    temporary = Path(_temporary_root().name)
    warn_once(
        f"{chosen} cannot be written, so what is made is kept in {temporary} until the process "
        "ends; set LCPLM_DATA to a folder that can be written to keep it"
    )
    return temporary


@functools.cache
def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@functools.cache
def _temporary_root() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lcplm-graph-")


def is_offline(offline: bool | None = None) -> bool:
    """Whether the network must not be used: `offline`, else ``LCPLM_OFFLINE=1``."""
    if offline is not None:
        return offline
    return os.environ.get("LCPLM_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def fetch(
    url: str,
    *,
    name: str,
    subdir: str = "",
    sha256: str | None = None,
    bytes: int | None = None,
    root: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    alternative: str = "",
) -> Path:
    """Return the local copy of a file, downloading it if it is not there yet.

    Two processes that ask for the same file share one download.

    Parameters
    ----------
    url : str
        Address, http or https.
    name, subdir : str
        The file is ``<root>/<subdir>/<name>``.
    sha256 : str, optional
        Expected checksum; without it the first download is pinned in ``NAME.json``.
    bytes : int, optional
        Expected size.
    root : path-like, optional
        See `data_root`.
    offline : bool, optional
        See `is_offline`.
    alternative : str
        Dataset that needs no network, for the message.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DownloadError
        If it cannot be fetched; the message names the URL and where to put the file by hand.
    ChecksumError
        If the content is not what was expected; the file is kept aside as ``NAME.bad``.
    """
    path = data_root(root) / subdir / name
    expected = Expected(url, sha256, bytes)
    by_hand = f"fetch {shown_url(url)} by hand and put it at {path}"
    if alternative:
        by_hand += f", or use the embedded dataset {alternative!r}, which needs no network"
    try:
        if _is_ready(path, expected):
            return path
        if is_offline(offline):
            raise DownloadError(f"{path} is not there and offline mode is on; {by_hand}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with waiting_lock(path.with_name(f".{name}.lock"), path):
            if not _is_ready(path, expected):
                _download(path, expected, by_hand)
    except (DownloadError, DataError):
        raise
    except OSError as error:
        raise DownloadError(
            f"cannot write {path}: {error}; set LCPLM_DATA to a folder that can be written, or "
            f"{by_hand}"
        ) from error
    return path


def fetch_card_file(
    card: Card,
    role: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
) -> Path:
    """Return the local path of one file of a dataset, downloading it if need be.

    Parameters
    ----------
    card : Card
        From `catalog.load_card`.
    role : str
        Which file, as ``links``.
    folder : path-like, optional
        Where to keep it; by default ``<data root>/<name>/<version>/raw``.
    offline : bool, optional
        See `is_offline`.

    Raises
    ------
    UnknownNameError
        If the card has no such role.
    DownloadError, ChecksumError
        As `fetch`.
    """
    file = card.file(role)
    if file.path is not None:
        if not file.path.is_file():
            raise DataError(
                "the embedded file is missing; install the package again", path=file.path
            )
        return file.path
    return fetch(
        str(file.url),
        name=file.name,
        subdir="" if folder is not None else f"{card.folder}/raw",
        root=folder,
        sha256=file.pinned,
        bytes=file.bytes,
        offline=offline,
        alternative=card.embedded_alternative,
    )


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand."""

    url: str
    sha256: str | None
    bytes: int | None


def read_record(path: Path) -> dict[str, object] | None:
    """Return what was noted when the file was fetched, `None` if nothing was."""
    try:
        record = json.loads(_record_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise DataError(f"unreadable ({error}); delete it", path=_record_path(path)) from error
    if not isinstance(record, dict) or not {"sha256", "bytes"} <= record.keys():
        raise DataError("not a download record; delete it", path=_record_path(path))
    return record


def check_file(path: Path, sha256: str | None, size: int | None) -> str:
    """Hash a file and compare.

    Returns
    -------
    str
        Its sha256.

    Raises
    ------
    ChecksumError
        If size or sha256 differ from what is expected.
    """
    if size is not None and path.stat().st_size != size:
        raise ChecksumError(f"{path} has {path.stat().st_size} bytes, {size} expected")
    found = sha256_of(path)
    if sha256 is not None and found != sha256:
        raise ChecksumError(f"{path} has sha256 {found}, {sha256} expected")
    return found


def _is_ready(path: Path, expected: Expected) -> bool:
    if not path.is_file():
        return False
    record = read_record(path)
    unchanged = record is not None and _is_unchanged(path, record)
    if record is not None and unchanged and expected.sha256 in (None, record["sha256"]):
        _refuse(path, path, expected, rubbish(path, path.name))
        return True
    # Put there by hand, or changed since: looked at once in full.
    pin = record["sha256"] if record is not None else None
    sha256 = _checked_or_aside(path, path, expected, pin=str(pin) if pin else None)
    # A folder that can only be read serves too; the file is then hashed each time.
    with contextlib.suppress(PermissionError):
        _write_record(path, expected.url, sha256)
    return True


def _is_unchanged(path: Path, record: dict[str, object]) -> bool:
    """Whether a file is as it was when the record was written; those of before know no times."""
    state = file_state(path)
    return record["bytes"] == state[0] and record.get("state", state) == state


def _download(path: Path, expected: Expected, by_hand: str) -> None:
    # Here, because requests takes a while to import, and few processes download.
    from lcplm_graph.files.transport import ResumingDownloader

    digests: list[str] = []

    def check(part: Path) -> None:
        if expected.sha256 is None:
            _refuse(part, path, expected, other_format(part, path.name))
            if downloader.unannounced:
                _refuse(part, path, expected, _cut(part, path))
        digests.append(_checked_or_aside(part, path, expected))

    downloader = ResumingDownloader(
        partial=path.with_name(f"{path.name}.part"),
        size=expected.bytes,
        resume_unchecked=expected.sha256 is not None,
        by_hand=by_hand,
        check=check,
    )
    downloader(expected.url, path)
    path.chmod(0o644)
    _write_record(path, expected.url, digests[-1])


def _cut(part: Path, path: Path) -> str:
    """Look at a file of which the server did not say how long it is."""
    whole = is_whole(part, path.name)
    if whole is None:
        warn_once(
            f"{path}: the server did not say how long the file is; check that its end is there"
        )
    return "a file that is cut off or damaged" if whole is False else ""


def _checked_or_aside(found: Path, path: Path, expected: Expected, pin: str | None = None) -> str:
    """Check `found`; a wrong one is renamed to ``NAME.bad`` so that it can be looked at."""
    _refuse(found, path, expected, rubbish(found, path.name))
    try:
        return check_file(found, expected.sha256 or pin, expected.bytes)
    except ChecksumError as error:
        aside = _put_aside(found, path)
        raise ChecksumError(
            f"{error}; it came from {shown_url(expected.url)} and is kept as {aside}; run again "
            "to fetch it anew, and if this repeats the file at the source has changed"
        ) from None


def _refuse(found: Path, path: Path, expected: Expected, fault: str) -> None:
    if fault:
        raise DownloadError(
            f"{shown_url(expected.url)} gave {fault}, instead of data (kept as "
            f"{_put_aside(found, path)}); a login or proxy page may be in the way; run again, or "
            f"fetch the file by hand and put it at {path}"
        )


def _put_aside(found: Path, path: Path) -> Path:
    aside = path.with_name(f"{path.name}.bad")
    os.replace(found, aside)
    _record_path(path).unlink(missing_ok=True)
    return aside


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_record(path: Path, url: str, sha256: str) -> None:
    state = file_state(path)
    record = {"url": shown_url(url), "sha256": sha256, "bytes": state[0], "state": state}
    write_json(_record_path(path), record)
