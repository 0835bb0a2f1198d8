"""A downloader over HTTP with resume, retries and a progress bar."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import requests
import urllib3
from tqdm import tqdm

from lcplm_graph.errors import DownloadError
from lcplm_graph.files.urls import shown_url, without_its_secrets

ATTEMPTS = 5
BACKOFF_SECONDS = 1.0
TIMEOUT_SECONDS = (10, 60)
DEADLINE_SECONDS = 24 * 3600.0
# A server that sends less than this in that time is taken for dead.
SLOW_BYTES, SLOW_SECONDS = 6000, 60.0
_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class _TryAgain(Exception):
    """A fault that may pass."""


class Before(NamedTuple):
    """What the server said of the file when the partial file was begun."""

    validator: str = ""
    total: int | None = None

    @classmethod
    def read(cls, path: Path) -> Before:
        """Read what was noted; nothing if that is damaged, as then nothing is resumed."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(found["validator"]), found["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return cls()


def _validator_of(headers: Any) -> str:
    etag = headers.get("ETag", "")
    # Weak tags may not be used to resume (RFC 9110, 13.1.5).
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


class ResumingDownloader:
    """Downloads to a partial file that survives failures, and resumes it.

    Parameters
    ----------
    partial : pathlib.Path
        Where the bytes collect.
    size : int, optional
        Expected size.
    resume_unchecked : bool
        Resume even if the server gives no validator (ETag or date) that tells whether its file
        is still the same; right only when a checksum follows.
    by_hand : str
        How to go on without this download, for messages.
    check : callable
        Called with the complete partial file; raises if the content is wrong.
    """

    def __init__(
        self,
        partial: Path,
        size: int | None,
        resume_unchecked: bool,
        by_hand: str,
        check: Callable[[Path], None],
    ) -> None:
        self.partial, self.size, self.by_hand, self.check = partial, size, by_hand, check
        self.resume_unchecked = resume_unchecked
        self._validator = partial.with_name(f"{partial.name}.etag")
        self._whole = False
        #: Whether the server told neither the size nor where the file ends.
        self.unannounced = False

    def __call__(self, url: str, output_file: str | os.PathLike[str]) -> None:
        """Download `url` to `output_file`."""
        shown, begun = shown_url(url), time.monotonic()
        last: Exception = _TryAgain("no attempt was made")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._transfer(url, begun + DEADLINE_SECONDS)
                break
            except (_TryAgain, requests.ConnectionError, requests.Timeout) as error:
                last = error
            except DownloadError:
                raise
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                raise DownloadError(
                    f"cannot fetch {shown}: {without_its_secrets(url, error)}; {self.by_hand}"
                ) from None
            except OSError as error:
                raise DownloadError(self._disk_message(error)) from error
            if time.monotonic() - begun > DEADLINE_SECONDS:
                break
            if attempt < ATTEMPTS:
                time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        if not self._whole:
            raise DownloadError(
                f"cannot fetch {shown} after {attempt} attempts "
                f"({without_its_secrets(url, last)}); check the network and run again, which "
                f"resumes from what has arrived, or {self.by_hand}"
            ) from None
        self.check(self.partial)
        # First, as nobody would look for it later.
        self._validator.unlink(missing_ok=True)
        os.replace(self.partial, output_file)

    def _transfer(self, url: str, deadline: float) -> None:
        have, before = self._resumable()
        # Not "gzip": the bytes on disk must be those of the file, to be hashed and resumed.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if before.validator:
                headers["If-Range"] = before.validator
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
            if answer.status_code == 416 and have:
                # Nothing is left to send, or the partial file is of another version.
                same = _validator_of(answer.headers) in ("", before.validator)
                if same and answer.headers.get("Content-Range") == f"bytes */{have}":
                    self._whole = True
                    return
                self._forget("the server refused to resume")
            self._refuse_status(url, answer.status_code, asked_for_part=bool(have))
            self._refuse_encoding(url, answer.headers)
            length = self._length_of(answer.headers)
            if answer.status_code == 206:
                total: int | None = self._check_part(answer.headers, have, length, before)
            else:
                have, total = 0, length
                self._remember(answer.headers, total)
            self._receive(answer, have, total if total is not None else self.size, deadline)
            self._check_length(total, framed=bool(getattr(answer.raw, "chunked", False)))
        self._whole = True

    def _check_part(self, headers: Any, have: int, length: int | None, before: Before) -> int:
        """Hold a 206 to what was asked for, and return the size of the whole file."""
        found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if not found or int(found[1]) != have or not have <= int(found[2]) < int(found[3]):
            self._forget("the server resumed at another place")
        start, end, total = (int(number) for number in found.groups())
        if length is not None and length != end - start + 1:
            self._forget("the server's part is not as long as it says")
        validator = _validator_of(headers)
        # A part must repeat the ETag that was asked for, but no date (RFC 9110, 15.3.7).
        needed = before.validator.startswith('"') and not self.resume_unchecked
        if before.validator and (validator or needed) and validator != before.validator:
            self._forget("the file changed at the source")
        if before.total is not None and total != before.total:
            self._forget("the file changed its size at the source")
        return total

    def _receive(
        self, answer: requests.Response, have: int, total: int | None, deadline: float
    ) -> None:
        bar = tqdm(
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            desc=self.partial.stem,
            disable=None,
        )
        window, since = 0, time.monotonic()
        with bar, open(self.partial, "ab" if have else "wb") as file:
            try:
                # `read1` returns what has come: `read` would wait for a whole chunk, and a
                # server that sends a byte a minute would hold it for ever.
                while data := answer.raw.read1(_CHUNK, decode_content=False):
                    file.write(data)
                    bar.update(len(data))
                    window, now = window + len(data), time.monotonic()
                    if now > deadline:
                        raise _TryAgain(f"it took longer than {DEADLINE_SECONDS / 3600:g} hours")
                    if now - since > SLOW_SECONDS:
                        if window < SLOW_BYTES:
                            raise _TryAgain(f"only {window} bytes came in {now - since:.0f} s")
                        window, since = 0, now
            except urllib3.exceptions.HTTPError as error:
                raise _TryAgain(f"the connection broke: {error}") from error

    def _check_length(self, total: int | None, framed: bool) -> None:
        arrived = self.partial.stat().st_size
        if total is not None and arrived < total:
            raise _TryAgain(f"the connection ended after {arrived} of {total} bytes")
        if total is not None and arrived > total:
            self._forget(f"{arrived} bytes came, {total} were announced")
        if total is None and not framed and not self.resume_unchecked:
            self.unannounced = True

    def _resumable(self) -> tuple[int, Before]:
        before = Before.read(self._validator)
        if not self.partial.is_file() or not (self.resume_unchecked or before.validator):
            return 0, before
        return self.partial.stat().st_size, before

    def _remember(self, headers: Any, total: int | None) -> None:
        before = Before(_validator_of(headers), total)
        if before.validator:
            self._validator.write_text(json.dumps(before._asdict()), encoding="utf-8")
        else:
            self._validator.unlink(missing_ok=True)

    def _forget(self, reason: str) -> NoReturn:
        """Give up what has arrived, which belongs to another file, and try from the start."""
        self.partial.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)
        raise _TryAgain(reason)

    def _length_of(self, headers: Any) -> int | None:
        announced = headers.get("Content-Length")
        if announced is None:
            return None
        if not announced.strip().isdecimal():
            raise _TryAgain(f"the server announced {announced[:30]!r} bytes")
        return int(announced)

    def _refuse_status(self, url: str, status: int, *, asked_for_part: bool) -> None:
        if status == 200 or (status == 206 and asked_for_part):
            return
        if status in (408, 425, 429, 416) or status >= 500:
            raise _TryAgain(f"the server answered {status}")
        if status in (404, 410):
            reason = "there is no such file"
        else:
            reason = "it refuses access" if status >= 400 else "which is not a file"
        raise DownloadError(
            f"cannot fetch {shown_url(url)}: the server answered {status}, {reason}; {self.by_hand}"
        )

    def _refuse_encoding(self, url: str, headers: Any) -> None:
        """Refuse what was packed on its way; of an archive, servers say so of the file itself."""
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        archive = self.partial.name.removesuffix(".part").endswith((".gz", ".tgz"))
        if encoding in ("", "identity") or (archive and encoding in ("gzip", "x-gzip")):
            return
        raise DownloadError(
            f"cannot fetch {shown_url(url)}: the server sent it packed ({encoding[:20]}), which it "
            f"was not asked to; {self.by_hand}"
        )

    def _disk_message(self, error: OSError) -> str:
        if error.errno == errno.ENOSPC:
            need = f" ({self.size} bytes are needed)" if self.size else ""
            return (
                f"the disk is full{need}: {self.partial}. Free some space and run again, which "
                "resumes, or set LCPLM_DATA to a directory on another disk"
            )
        return f"cannot write {self.partial}: {error}; {self.by_hand}"
