"""Compressed files: known by their content, unpacked while they are read."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from lcplm_graph.errors import DataError

_COMPRESSED = {
    b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\0": "xz",
}  # fmt: skip
#: What names of files end in that are compressed so; their content decides.
COMPRESSED_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
# A file of zstd may begin with one of sixteen frames to skip; pzstd writes such files.
_ZSTD_SKIP = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_PACKED = 1 << 16


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix that says the format, without that of a compression, in lower case.

    Examples
    --------
    >>> suffix_of("a.tsv.gz")
    '.tsv'
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    while suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def compression_of(head: bytes) -> str | None:
    """Return what a file that begins so is compressed by: gzip, zstd, bz2 or xz; None for plain."""
    if _ZSTD_SKIP.match(head):
        return "zstd"
    return next((kind for magic, kind in _COMPRESSED.items() if head.startswith(magic)), None)


@contextmanager
def decompressed(path: Path) -> Iterator[tuple[Any, str | None]]:
    """Open a file for reading its bytes unpacked, by `pull`; also give its compression.

    Raises
    ------
    DataError
        If it cannot be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror})", path=path) from error
    with file:
        compression = compression_of(file.read(8))
        file.seek(0)
        with _unpacked(file, path, compression) as source:
            yield source, compression


def pull(source: Any, size: int, path: Path, compression: str | None) -> bytes:
    """Read up to `size` bytes of what `decompressed` gave; none at the end.

    Raises
    ------
    DataError
        If the archive is damaged or truncated there.
    """
    try:
        data: bytes = source.read(size)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowInvalid) as error:
        if compression is None:
            raise DataError(f"cannot be read ({error})", path=path) from error
        raise DataError(
            f"the {compression} archive is truncated or damaged; fetch it again ({error})",
            path=path,
        ) from error
    return data


@contextmanager
def _unpacked(file: IO[bytes], path: Path, compression: str | None) -> Iterator[Any]:
    if compression is None:
        yield file
    elif compression == "gzip":
        # Python's reader accepts what tapes and disks pad archives with: zeros at the end.
        with gzip.GzipFile(fileobj=file) as stream:
            yield stream
    elif compression == "xz":
        yield _XzStream(file)
    else:
        with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, compression) as stream:
            yield stream


class _XzStream:
    """Bytes of an xz archive, of which `lzma.LZMAFile` takes one with any rubbish behind it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder: lzma.LZMADecompressor | None = None

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none at the end."""
        while True:
            packed = b""
            if self._decoder is None or self._decoder.eof:
                packed = self._next_stream(self._decoder)
                if not packed:
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
            elif self._decoder.needs_input:
                packed = self._file.read(_PACKED)
                if not packed:
                    raise EOFError("the end is missing")
            if data := self._decoder.decompress(packed, size):
                return data

    def _next_stream(self, ended: lzma.LZMADecompressor | None) -> bytes:
        """Return the begin of the next of joined archives; zeros may stand between them."""
        rest = ended.unused_data.lstrip(b"\0") if ended else b""
        while not rest and (packed := self._file.read(_PACKED)):
            rest = packed.lstrip(b"\0")
        return rest
