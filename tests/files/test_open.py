"""The one opener of text files: line ends, marks, archives, and what is refused by its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile

import pyarrow as pa
import pyarrow.csv
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lcplm_graph.errors import DataError
from lcplm_graph.files.open import TextStream, error_page, open_stream

TEXT = b"first\nsecond\n\nlast\n"


def read(path) -> bytes:
    with open_stream(path) as stream:
        return stream.read()


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, zstandard.compress, lzma.compress]
)
def test_line_ends_and_marks_of_any_system(tmp_path, end, mark, pack):
    path = tmp_path / "x"
    path.write_bytes(pack(mark + TEXT.replace(b"\n", end)))
    assert read(path) == TEXT


def test_joined_files_of_several_systems(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"a\rb\r" + b"\xef\xbb\xbfc\r\nd\r\n" + b"e\nf")
    assert read(path) == b"a\nb\nc\nd\ne\nf"


@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xef", b"\xbb"])),
    st.integers(1, 5),
)
@settings(deadline=None, max_examples=300)
def test_the_size_of_the_reads_does_not_matter(pieces, size):
    data = b"".join(pieces)
    plain = data.replace(b"\xef\xbb\xbf", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data:
        return
    stream = TextStream(_Small(data), "x", None)
    read = list(iter(lambda: stream.read(size), b""))
    assert b"".join(read) == plain
    assert all(len(part) == size for part in read[:-1])


class _Small(io.BytesIO):
    """Gives one byte at a time, as a slow pipe may."""

    def read(self, size=-1):
        return super().read(1)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT) + b"\0" * 512,
        gzip.compress(TEXT[:6]) + gzip.compress(TEXT[6:]),
        bz2.compress(TEXT[:6]) + bz2.compress(TEXT[6:]),
        zstandard.compress(TEXT[:6]) + zstandard.compress(TEXT[6:]),
        b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.compress(TEXT),
        lzma.compress(TEXT[:6]) + lzma.compress(TEXT[6:]) + b"\0" * 8,
    ],
    ids=["zeros after gzip", "two gzip", "two bz2", "two zstd", "zstd with a frame to skip", "xz"],
)
def test_archives_that_tools_write(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert read(path) == TEXT


def zipped(content: bytes, name: str = "x") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, content)
    return target.getvalue()


OWL = b'<?xml version="1.0"?>\n<rdf:RDF xmlns="http://purl.obolibrary.org/obo/go.owl#"'
REFUSED = {
    "web page": (b"<!-- x -->\n <HTML>", "web page"),
    "web page after a mark": (b"\xef\xbb\xbf<!DOCTYPE html>", "web page"),
    "error of a store": (b'<?xml version="1.0"?><Error><Code>AccessDenied', "an XML document"),
    "OWL": (OWL, "OWL.*as .obo"),
    "zip": (zipped(TEXT), "zip archive.*unpack"),
    "cut xz": (lzma.compress(TEXT)[:-3], "xz archive is truncated or damaged"),
    "damaged xz": (lzma.compress(TEXT)[:30] + b"x" * 40, "xz archive is truncated or damaged"),
    "garbage after xz": (lzma.compress(TEXT) + b"junk", "xz archive is truncated or damaged"),
    "7z": (b"7z\xbc\xaf", "7z archive.*unpack"),
    "xlsx": (zipped(TEXT, "[Content_Types].xml"), "a workbook of Excel or alike.*as CSV"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "a workbook of Excel or alike.*as CSV"),
    "gzip twice": (gzip.compress(gzip.compress(TEXT)), "another gzip archive"),
    "Parquet": (b"PAR1\x15\4\x15", "Parquet"),
    "Arrow": (b"ARROW1\0\0", "Arrow"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "UTF-16": ("text".encode("utf-16"), "UTF-16"),
    "empty": (b"", "empty"),
    "garbage after gzip": (gzip.compress(TEXT) + b"junk", "gzip archive is truncated or damaged"),
    "cut gzip": (gzip.compress(TEXT)[:-3], "gzip archive is truncated or damaged"),
    "zeros where the disk was full": (TEXT * 1000 + b"\0" * 100, "line 4001: a NUL byte"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_text_is_called_by_its_name(tmp_path, content, message):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_pipes_folders_and_impossible_paths(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="a pipe or a device.*save it to a file"):
        read(tmp_path / "pipe")
    with pytest.raises(DataError, match="this is a folder"):
        read(tmp_path)
    for path in (tmp_path / "none", "a\0b", "x" * 5000, tmp_path / "none" / "x"):
        with pytest.raises(DataError, match="no such file"):
            read(path)


def test_errors_pass_through_arrow(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"1,2\n" * 100_000)[:-9])
    with pytest.raises(DataError, match="truncated or damaged"), open_stream(path) as stream:
        pa.csv.read_csv(stream)


def test_data_is_no_error_page():
    assert error_page(b">P1 <html>\nMK") == ""
    assert error_page(b"a\t<b>\n") == ""
