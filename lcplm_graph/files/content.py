"""What no data file is, whatever its name: empty, a page that tells an error, another format."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import zipfile
import zlib
from pathlib import Path

from lcplm_graph.files.open import error_page

_MARKUP = (".html", ".htm", ".xml", ".owl", ".rdf")
_MAGIC = {
    (".gz", ".tgz"): (b"\x1f\x8b", "gzip"),
    (".bz2",): (b"BZh", "bz2"),
    (".zst",): (b"\x28\xb5\x2f\xfd", "zstd"),
    (".xz",): (b"\xfd7zXZ", "xz"),
    (".zip",): (b"PK", "zip"),
    (".h5", ".hdf5"): (b"\x89HDF", "HDF5"),
    (".parquet",): (b"PAR1", "Parquet"),
}
_ERROR_KEYS = {"error", "errors", "message", "detail", "details", "status", "code", "title"}
_LARGEST_ERROR = 1 << 16
_LFS = b"version https://git-lfs.github.com/"
# An object, or a list of objects.
_JSON = re.compile(rb"(\xef\xbb\xbf)?\s*(\[\s*)?\{")


def rubbish(path: Path, name: str) -> str:
    """Say what a file is if it is certainly no data; nothing if it may be.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    name : str
        What it is meant to be called.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"\x1f\x8b"):
        # What is damaged is for the check of the whole, or for the reader.
        with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(path) as stream:
            head = stream.read(4096)
    if not head.strip():
        return "an empty file"
    if head.startswith(_LFS):
        return "a pointer of Git LFS"
    page = error_page(head)
    if page and not name.endswith(_MARKUP):
        return page
    return "an error message in JSON" if _is_json_error(head, path, name) else ""


def other_format(path: Path, name: str) -> str:
    """Say that a file is not in the format that its name promises, or nothing."""
    with path.open("rb") as file:
        head = file.read(8)
    for suffixes, (magic, kind) in _MAGIC.items():
        if name.endswith(suffixes) and not head.startswith(magic):
            return f"no {kind} file, which its name promises"
    return ""


def is_whole(path: Path, name: str) -> bool | None:
    """Whether an archive is whole, by reading all of it; `None` if its format does not tell."""
    try:
        if name.endswith((".gz", ".tgz")):
            with gzip.open(path) as stream:
                while stream.read(1 << 20):
                    pass
            return True
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile):
        return False
    return None


def _is_json_error(head: bytes, path: Path, name: str) -> bool:
    if not _JSON.match(head):
        return False
    if not name.endswith((".json", ".json.gz")):
        return True
    if path.stat().st_size > _LARGEST_ERROR:
        return False
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and bool(_ERROR_KEYS & {key.lower() for key in content})
