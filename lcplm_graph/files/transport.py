"""A pooch downloader over HTTP with resume, retries and a progress bar."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import urllib3
from tqdm import tqdm

from lcplm_graph.errors import DownloadError

ATTEMPTS = 5
BACKOFF_SECONDS = 1.0
TIMEOUT_SECONDS = (10, 60)
_CHUNK = 1 << 18
_HTML = (b"<!doctype html", b"<html")


class _TryAgain(Exception):
    """A fault that may pass."""


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

    def __call__(self, url: str, output_file: str | os.PathLike[str], pooch: Any) -> None:
        """Download `url` to `output_file`; the protocol of pooch."""
        for attempt in range(ATTEMPTS):
            try:
                self._transfer(url)
                break
            except (_TryAgain, requests.ConnectionError, requests.Timeout) as error:
                last: Exception = error
            except requests.RequestException as error:
                raise DownloadError(f"cannot fetch {url}: {error}. {self.by_hand}.") from error
            except OSError as error:
                raise DownloadError(self._disk_message(error)) from error
            if attempt + 1 < ATTEMPTS:
                time.sleep(BACKOFF_SECONDS * 2**attempt)
        else:
            raise DownloadError(
                f"cannot fetch {url} after {ATTEMPTS} attempts ({last}). Check the network and "
                f"run again: what has arrived is kept and resumed. {self.by_hand}."
            ) from last
        self._refuse_web_page(url)
        self.check(self.partial)
        os.replace(self.partial, output_file)
        self._validator.unlink(missing_ok=True)

    def _transfer(self, url: str) -> None:
        have = self._resumable_bytes()
        # Not "gzip": the bytes on disk must be those of the file, to be hashed and resumed.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._validator.is_file():
                headers["If-Range"] = self._validator.read_text()
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
            if answer.status_code == 416:
                # Nothing is left to send, or the partial file is of another version.
                if answer.headers.get("Content-Range") == f"bytes */{have}":
                    return
                self.partial.unlink()
                raise _TryAgain("the server refused to resume")
            self._refuse_status(url, answer.status_code)
            if answer.status_code != 206:
                have = 0
                self._remember_validator(answer.headers)
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                self.partial.unlink()
                raise _TryAgain("the server resumed at another place")
            self._receive(answer, have)

    def _receive(self, answer: requests.Response, have: int) -> None:
        announced = answer.headers.get("Content-Length")
        total = have + int(announced) if announced else self.size
        bar = tqdm(
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            desc=self.partial.stem,
            disable=None,
        )
        with bar, open(self.partial, "ab" if have else "wb") as file:
            try:
                while data := answer.raw.read(_CHUNK, decode_content=False):
                    file.write(data)
                    bar.update(len(data))
            except urllib3.exceptions.HTTPError as error:
                raise _TryAgain(f"the connection broke: {error}") from error
        arrived = self.partial.stat().st_size
        if announced and arrived < have + int(announced):
            raise _TryAgain(f"the connection ended after {arrived} of {total} bytes")

    def _resumable_bytes(self) -> int:
        if not self.partial.is_file():
            return 0
        if not self.resume_unchecked and not self._validator.is_file():
            return 0
        return self.partial.stat().st_size

    def _remember_validator(self, headers: Any) -> None:
        etag = headers.get("ETag", "")
        # Weak tags may not be used to resume (RFC 9110, 13.1.5).
        validator = etag if etag.startswith('"') else headers.get("Last-Modified")
        if validator:
            self._validator.write_text(validator)
        else:
            self._validator.unlink(missing_ok=True)

    def _refuse_status(self, url: str, status: int) -> None:
        if status == 429 or status >= 500:
            raise _TryAgain(f"the server answered {status}")
        if status >= 400:
            reason = "there is no such file" if status in (404, 410) else "it refuses access"
            raise DownloadError(
                f"cannot fetch {url}: the server answered {status}, {reason}. {self.by_hand}."
            )

    def _refuse_web_page(self, url: str) -> None:
        with open(self.partial, "rb") as file:
            if file.read(512).lstrip().lower().startswith(_HTML):
                aside = self.partial.with_suffix(".bad")
                os.replace(self.partial, aside)
                raise DownloadError(
                    f"{url} gave a web page instead of data (kept as {aside}); a login or proxy "
                    f"page may be in the way. {self.by_hand}."
                )

    def _disk_message(self, error: OSError) -> str:
        if error.errno == errno.ENOSPC:
            need = f" ({self.size} bytes are needed)" if self.size else ""
            return (
                f"the disk is full{need}: {self.partial}. Free some space and run again, which "
                "resumes, or set LCPLM_DATA to a directory on another disk"
            )
        return f"cannot write {self.partial}: {error}. {self.by_hand}."
