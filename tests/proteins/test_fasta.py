"""FASTA reading: what is right, what is repaired and counted, what is refused and where."""

from __future__ import annotations

import bz2
import gzip
import random
import warnings
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lcplm_graph.errors import DataError, InputError, LcPlmWarning
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins import fasta
from lcplm_graph.proteins.fasta import line_of_record, read_fasta, write_fasta
from lcplm_graph.proteins.store import SequenceStore

RANDOM = random.Random(0)
MANY = "".join(
    f">p{i} protein {i}\n{''.join(RANDOM.choices('ACDEFGHIKLMNPQRSTVWY', k=90))}\n"
    for i in range(3000)
).encode()


def write(folder: Path, content: bytes, name: str = "x.fa") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path) -> dict[str, str]:
    store = SequenceStore.from_fasta(path)
    return dict(zip(store.ids, store, strict=True))


def test_headers_and_wrapped_lines(tmp_path):
    store = SequenceStore.from_fasta(
        write(tmp_path, b">sp|P1|A_B Name of it OS=x \nMKT\nLLV\n>b\nM")
    )
    assert store.ids == ["sp|P1|A_B", "b"]
    assert list(store) == ["MKTLLV", "M"]
    assert store.table["description"].to_pylist() == ["Name of it OS=x", ""]


@pytest.mark.parametrize(
    "content",
    [
        b">a\r\nMK\r\nT\r\n>b\r\nMV\r\n",
        b"\n\n>a\nMKT\n\n\n>b\nM V\n\n",
        b"\xef\xbb\xbf>a\nMKT\n>b\nMV",
        b"> a\nmkt\n>b\tx\nmv*\n",
        b">a x > y\nM\tKT\n>b\nMV*\n\n",
    ],
    ids=["crlf", "blank lines", "byte order mark", "lower case and stop", "tabs"],
)
def test_everyday_variants(tmp_path, content):
    assert read(write(tmp_path, content)) == {"a": "MKT", "b": "MV"}


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, zstandard.compress, bz2.compress],
    ids=["plain", "gz", "zst", "bz2"],
)
def test_compression_is_known_by_content(tmp_path, pack):
    found = read(write(tmp_path, pack(MANY)))
    assert len(found) == 3000
    assert "".join(f">{k}\n{v}\n" for k, v in found.items()).count("\n") == 6000


def test_joined_gzip_files_are_read_to_the_end(tmp_path):
    content = gzip.compress(b">a\nMK\n") + gzip.compress(b">b\nMV\n")
    assert read(write(tmp_path, content)) == {"a": "MK", "b": "MV"}


def test_other_letters_become_x_and_are_counted_once_per_file(tmp_path):
    forget_warnings()
    path = write(tmp_path, b">a\nMJjT\n>b\nJBZUOX-.\n")
    with pytest.warns(LcPlmWarning, match="read as X: 3 J") as said:
        assert read(path) == {"a": "MXXT", "b": "XBZUOX-."}
    assert len(said) == 1


BAD = {
    "duplicate id": (b">a\nMK\n>b\nMM\n>a x\nMV\n", r"line 5, record 'a'.*line 1"),
    "empty record": (b">a\nMK\n>b\n>c\nMM\n", r"line 3, record 'b'.*no residues"),
    "empty last record": (b">a\nMK\n>b\n\n\n", r"line 3, record 'b'.*no residues"),
    "only a stop": (b">a\n*\n", r"line 1, record 'a'.*no residues"),
    "no header first": (b"MKT\n>a\nMK\n", r"line 1: .*starts with '>'"),
    "no header after blanks": (b"\n\nMKT\n", r"line 3: .*starts with '>'"),
    "a table": (b"id\tsequence\na\tMKT\n", r"line 1: .*'id"),
    "no id": (b">a\nMK\n>\nMM\n", r"line 3: .*no id"),
    "blank id": (b">a\nMK\n>   \nMM\n", r"line 3: .*no id"),
    "digit": (b">a\nMK\nM1K\n", r"line 3, record 'a': '1' at position 4"),
    "stop inside": (b">a\nMK*\nMK\n", r"line 2, record 'a': '\*' at position 3"),
    "two stops": (b">a\nMK**\n", r"line 2, record 'a': '\*' at position 3"),
    "sign": (b">a\nMK\n\n>b\nMM\nM?M\n", r"line 6, record 'b': '\?' at position 4"),
    "nucleotide quality file": (b">a\n40 40 30\n", r"record 'a': '4' at position 1"),
    "latin-1 header": (b">a\nMK\n>b caf\xe9\nMM\n", r"line 3: .*not UTF-8"),
    "latin-1 residue": (b">a\nMK\xe9\n", r"line 2, record 'a'"),
    "utf-8 residue": (">a\nMKé\n".encode(), r"line 2, record 'a': 'é' at position 3"),
    "utf-16": (">a\nMKT\n".encode("utf-16"), "UTF-16"),
    "empty": (b"", "empty"),
    "empty gzip": (gzip.compress(b""), "empty"),
    "blank": (b"\n\n  \n", "starts with '>'"),
    "binary": (b">a\n\x00\x01\x02\x03\xff", "binary"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "html in gzip": (gzip.compress(b"\n<HTML><head>"), "web page"),
    "git lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid x\n", "LFS"),
    "truncated gzip": (gzip.compress(MANY)[:-20], "gzip archive is truncated"),
    "half a gzip": (gzip.compress(MANY)[:40_000], "gzip archive is truncated"),
    "truncated zstd": (zstandard.compress(MANY)[:-20], "zstd archive is truncated"),
    "truncated bz2": (bz2.compress(MANY)[:-20], "bz2 archive is truncated"),
    "damaged gzip": (
        gzip.compress(MANY)[:9000] + b"xxxxxxxx" + gzip.compress(MANY)[9008:],
        "gzip archive is truncated or damaged",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_with_file_and_line(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        SequenceStore.from_fasta(path)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError):
        SequenceStore.from_fasta(path, tmp_path / "out.arrow")
    assert [p.name for p in tmp_path.iterdir()] == ["x.fa"]


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        SequenceStore.from_fasta(tmp_path / "none.fa")


@pytest.mark.parametrize("fault", [b">x\nM4\n", b">p1\nMK\n", b">x\n"])
def test_lines_are_right_beyond_the_first_block(tmp_path, monkeypatch, fault):
    monkeypatch.setattr(fasta, "_BLOCK", 1000)
    path = write(tmp_path, MANY + fault)
    with pytest.raises(DataError) as caught:
        SequenceStore.from_fasta(path)
    assert caught.value.line == MANY.count(b"\n") + (2 if b"4" in fault else 1)


def test_line_of_record(tmp_path, monkeypatch):
    monkeypatch.setattr(fasta, "_BLOCK", 64)
    path = write(tmp_path, b"\n" + MANY)
    assert [line_of_record(path, f"p{i}") for i in (0, 1, 2999)] == [2, 4, 6000]
    assert line_of_record(path, "p1", occurrence=2) is None


NAMES = st.text("abcXYZ019|_.é", min_size=1, max_size=8)
RESIDUES = st.text("ACDEFGHIKLMNPQRSTVWYXBZUO", min_size=1, max_size=70)


@settings(max_examples=60, deadline=None)
@given(
    records=st.dictionaries(NAMES, RESIDUES, min_size=1, max_size=12),
    width=st.integers(1, 80),
    newline=st.sampled_from(["\n", "\r\n"]),
    block=st.integers(2, 200),
)
def test_any_layout_reads_the_same(tmp_path_factory, records, width, newline, block):
    path = tmp_path_factory.mktemp("fasta") / "x.fa"
    write_fasta(path, records.keys(), records.values(), width)
    path.write_bytes(path.read_bytes().replace(b"\n", newline.encode()))
    before, fasta._BLOCK = fasta._BLOCK, block
    try:
        assert read(path) == records
    finally:
        fasta._BLOCK = before


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=120) | st.text(">aMK*1 \n\r\t", max_size=60).map(str.encode))
def test_no_bytes_give_anything_but_records_or_a_data_error(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("fuzz"), content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            batches = list(read_fasta(path))
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            assert sum(batch.num_rows for batch in batches) > 0
            assert all(min(map(len, batch["sequence"].to_pylist())) > 0 for batch in batches)


@pytest.mark.parametrize(
    ("name", "proteins"),
    [
        ("swissprot_go_2014_rep50.fasta", (8, 129_163)),
        ("scope40/scope40.fasta", (9, 12_937)),
        ("dscript_yeast/yeast.fasta", (6, 5_664)),
        ("string_shs27k/proteins.fasta", (4, 1_690)),
    ],
)
@pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")
def test_files_of_benchmarks(benchmarks, name, proteins):
    path = benchmarks.file(name)
    store = SequenceStore.from_fasta(path)
    assert len(store) == proteins[benchmarks.whole]
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as lines:
        residues = sum(len(line.strip()) for line in lines if not line.startswith(">"))
    assert int(store.lengths.sum()) == residues
    assert store.lengths.min() > 0


@pytest.mark.parametrize(
    "content",
    [
        b">a first\rMKT\r\n>b second\nMV\n",
        b">a\rMKT\r>b\rMV\r",
        b">a\rMKT\r\xef\xbb\xbf>b\r\nMV",
        b"\xef\xbb\xbf>a\nM\rKT\r\n>b\r\r\nMV\n",
    ],
    ids=["old Mac and Unix joined", "old Mac", "joined with a mark", "mixed in one record"],
)
@pytest.mark.parametrize("block", [1 << 20, 3])
def test_line_ends_of_any_system_alone_and_mixed(tmp_path, monkeypatch, content, block):
    monkeypatch.setattr(fasta, "_BLOCK", block)
    assert read(write(tmp_path, content)) == {"a": "MKT", "b": "MV"}


@pytest.mark.parametrize("gaps", [b"---", b"..", b"-\n.", b"-*"])
def test_a_record_of_gaps_only_is_refused(tmp_path, gaps):
    with pytest.raises(DataError, match=r"line 3, record 'b': the record has gaps only"):
        read(write(tmp_path, b">a\nMK-T\n>b\n" + gaps + b"\n>c\n-M\n"))
    assert read(write(tmp_path, b">a\nMK-T\n>c\n.M\n")) == {"a": "MK-T", "c": ".M"}


def test_a_file_of_genes_is_warned_about_once(tmp_path):
    forget_warnings()
    path = tmp_path / "genes.fa"
    path.write_text(">g1\n" + "ATGGCCACGT" * 9 + "\n>g2\nacgtnnacgt\n")
    with pytest.warns(LcPlmWarning, match="100% of the letters are A, C, G, T, U or N") as said:
        SequenceStore.from_fasta(path)
        SequenceStore.from_fasta(path)
    assert len(said) == 1
    path.write_text(
        ">p1\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQ\n>p2\nACGT\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SequenceStore.from_fasta(path)


@pytest.mark.parametrize("width", [0, -1, 2.5, "60", None])
def test_a_width_that_leaves_no_residues_is_refused(tmp_path, width):
    # Below 0 every sequence was left out.
    with pytest.raises(InputError, match="width must be a whole number from 1"):
        write_fasta(tmp_path / "a.fasta", ["a"], ["MKT"], width)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a\nb", "a\r", ""])
def test_ids_that_break_a_file_are_not_written(tmp_path, name):
    with pytest.raises(InputError, match="is empty or holds a line break"):
        write_fasta(tmp_path / "a.fasta", [name], ["MKT"])
