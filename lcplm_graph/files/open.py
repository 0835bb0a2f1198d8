"""Open a text file, compressed or not, and say clearly what is wrong when it is not one."""

from __future__ import annotations

import codecs
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lcplm_graph.errors import DataError
from lcplm_graph.files.compressed import compression_of, decompressed, pull

_OTHER = {
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x9d": "a file of `compress`",
    b"\x04\x22\x4d\x18": "an lz4 archive",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x93NUMPY": "a NumPy array",
    b"%PDF": "a PDF document",
}
# What old and new files of Excel begin with; the new ones are zip archives that list their parts.
_OFFICE = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"[Content_Types].xml")
_BOM = b"\xef\xbb\xbf"
_HEAD, _WHOLE = 4096, 1 << 20
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title", b"<meta")


class TextStream(io.RawIOBase):
    """Bytes of a text in which every line ends in LF, whatever the file has: CR, LF or CRLF.

    Byte order marks are left out wherever files with them were joined, and a NUL byte, which
    no text has, is refused.

    Parameters
    ----------
    source : binary file
        What to read, decompressed.
    path : pathlib.Path
        For messages.
    compression : str or None
        For messages.
    """

    def __init__(self, source: Any, path: Path, compression: str | None) -> None:
        self._source, self._path, self._compression = source, path, compression
        self._held, self._ended, self._lines = b"", False, 0
        head = self._pull(_HEAD)
        _check_content(head, path)
        self._ready = self._clean(head)

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, fewer only at the end; all that is left by default."""
        parts, have = [self._ready], len(self._ready)
        while not self._ended and (size is None or size < 0 or have < size):
            text = self._clean(self._pull(1 << 20 if size is None or size < 0 else size - have))
            parts.append(text)
            have += len(text)
        joined = parts[0] if len(parts) == 1 else b"".join(parts)
        end = have if size is None or size < 0 else size
        self._ready = joined[end:]
        return joined[:end]

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; for `io.BufferedReader`."""
        text = self.read(len(buffer))
        buffer[: len(text)] = text
        return len(text)

    def _pull(self, size: int) -> bytes:
        data = pull(self._source, size, self._path, self._compression)
        self._ended = not data
        return data

    def _clean(self, data: bytes) -> bytes:
        text, self._held = (self._held + data).replace(_BOM, b""), b""
        if not self._ended:
            # What may be the first half of CRLF or of a mark waits for its second half.
            cut = len(text)
            cut -= 2 if text.endswith(_BOM[:2]) else text.endswith(_BOM[:1])
            cut -= text.endswith(b"\r", 0, cut)
            text, self._held = text[:cut], text[cut:]
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\0" in text:
            line = self._lines + text.count(b"\n", 0, text.index(b"\0")) + 1
            message = "a NUL byte: this is a binary or a damaged file, not text"
            raise DataError(message, path=self._path, line=line)
        self._lines += text.count(b"\n")
        return text


@contextmanager
def open_stream(path: str | os.PathLike[str]) -> Iterator[TextStream]:
    """Open a text data file for reading bytes; gzip, zstd, bz2 and xz are known by content.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    TextStream
        The decompressed bytes with LF as only line end.  A damaged or truncated archive raises
        `DataError` when the reader comes to it.

    Raises
    ------
    DataError
        If the file is missing, a pipe, empty, a web page, a Git LFS pointer, binary, or damaged.
    """
    path = check_is_file(path)
    with decompressed(path) as (source, compression):
        yield TextStream(source, path, compression)


def read_binary(path: str | os.PathLike[str]) -> bytes:
    """Return all of a file that is no text, decompressed as `open_stream` does.

    Raises
    ------
    DataError
        If the file is missing, a pipe, or damaged.
    """
    path = check_is_file(path)
    with decompressed(path) as (source, compression):
        return b"".join(iter(lambda: pull(source, _WHOLE, path, compression), b""))


def check_is_file(path: str | os.PathLike[str]) -> Path:
    """Return the path if it is one of a regular file.

    Raises
    ------
    DataError
        If nothing is there, or a folder, or a pipe: readers go through a file more than once.
    """
    if os.fspath(path) == "-":
        raise DataError("standard input is not read here; save it to a file first", path=path)
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:
        raise DataError(f"no such file; check the path ({error})", path=repr(path)) from None
    except OSError as error:
        reason = "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"
        raise DataError(f"no such file; check the path{reason}", path=path) from None
    if stat.S_ISDIR(mode):
        raise DataError("this is a folder, not a file", path=path)
    if not stat.S_ISREG(mode):
        message = "this is a pipe or a device, which cannot be read twice; save it to a file first"
        raise DataError(message, path=path)
    return Path(path)


def check_is_folder(path: str | os.PathLike[str], what: str) -> Path:
    """Return the path if it is one of a folder.

    Parameters
    ----------
    path : path-like
    what : str
        What is looked for in it, in the plural, for messages.

    Raises
    ------
    DataError
        If nothing is there, or a file.
    """
    path = Path(path)
    if not path.is_dir():
        there = "this is a file" if path.exists() else "no such folder"
        raise DataError(f"{there}; give the folder that the {what} are in", path=path)
    return path


def error_page(head: bytes) -> str:
    """Say what markup the beginning of a file is, which no data file of ours is; else nothing.

    Examples
    --------
    >>> error_page(b"<!-- x --><html>"), error_page(b">P1"), error_page(b"<Error><Code>403")
    ('a web page', '', 'an XML document')
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", "ignore").encode()
    text = head.removeprefix(_BOM).lstrip().lower()
    while text.startswith(b"<!--"):
        text = text.partition(b"-->")[2].lstrip()
    if text.startswith(_HTML):
        return "a web page"
    if not text.startswith((b"<?xml", b"<")):
        return ""
    if b"<rdf:rdf" in text or b"<ontology" in text:
        return "an ontology in OWL"
    return "a web page" if b"<html" in text or b"<!doctype html" in text else "an XML document"


def _check_content(head: bytes, path: Path) -> None:
    if not head:
        raise DataError("the file is empty; fetch it again", path=path)
    if page := error_page(head):
        advice = (
            "take the same ontology as .obo" if page.endswith("OWL") else "fetch the file again"
        )
        raise DataError(f"this is {page}, not data; {advice}", path=path, line=1)
    if head.startswith(b"version https://git-lfs"):
        raise DataError("this is a Git LFS pointer; run `git lfs pull`", path=path, line=1)
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise DataError("the text is UTF-32; convert it to UTF-8", path=path, line=1)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("the text is UTF-16; convert it to UTF-8", path=path, line=1)
    if inner := compression_of(head):
        raise DataError(f"the archive holds another {inner} archive; unpack it first", path=path)
    if head.startswith(_OFFICE[0]) or (head.startswith(b"PK") and _OFFICE[1] in head):
        message = "this is a workbook of Excel or alike, not text; save its sheet as CSV first"
        raise DataError(message, path=path)
    for magic, kind in _OTHER.items():
        if head.startswith(magic):
            message = f"this is {kind}, a binary file; unpack it or convert it to text first"
            raise DataError(message, path=path)
    if head[257:262] == b"ustar":
        raise DataError("this is a tar archive, a binary file; unpack it first", path=path)
    if b"\0" in head:
        raise DataError("this is a binary file, not text", path=path)
