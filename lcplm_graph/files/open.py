"""Open a data file, compressed or not, and say clearly what is wrong when it is not one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from lcplm_graph.errors import DataError

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml")


@contextmanager
def open_stream(path: str | os.PathLike[str]) -> Iterator[pa.NativeFile]:
    """Open a text data file for reading bytes; gzip, zstd and bz2 are known by their content.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    pyarrow.NativeFile
        The decompressed bytes.  A damaged or truncated archive raises `DataError` wherever in
        the block it shows.

    Raises
    ------
    DataError
        If the file is missing, empty, a web page, a Git LFS pointer, binary, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such file; check the path", path=path)
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        raise DataError("the file is empty; fetch it again", path=path)
    compression = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    try:
        with pa.input_stream(str(path), compression=None) as raw:
            _check_content(_beginning(path, compression), path)
            stream = pa.CompressedInputStream(raw, compression) if compression else raw
            yield stream
    except (OSError, pa.ArrowInvalid) as error:
        # The decompressors raise these very classes; errors of the system carry a number.
        if (
            not compression
            or type(error) not in (OSError, pa.ArrowInvalid)
            or getattr(error, "errno", None)
        ):
            raise
        raise DataError(
            f"the {compression} archive is truncated or damaged; fetch it again ({error})",
            path=path,
        ) from error


def _beginning(path: Path, compression: str | None) -> bytes:
    with pa.input_stream(str(path), compression=compression) as stream:
        return stream.read(4096)


def _check_content(head: bytes, path: Path) -> None:
    if not head:
        raise DataError("the file is empty; fetch it again", path=path)
    if head.lstrip().lower().startswith(_HTML):
        raise DataError("this is a web page, not data; fetch the file again", path=path, line=1)
    if head.startswith(b"version https://git-lfs"):
        raise DataError("this is a Git LFS pointer; run `git lfs pull`", path=path, line=1)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("the text is UTF-16; convert it to UTF-8", path=path, line=1)
    if b"\0" in head:
        raise DataError("this is a binary file, not text", path=path)
