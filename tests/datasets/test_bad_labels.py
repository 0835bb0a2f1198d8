"""A corpus of broken files: each is refused by name and line, and leaves no cache behind."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.errors import DataError

FASTA = b">a\nMKT\n>b\nMV\n>c\nMA\n"
OBO = (
    b"format-version: 1.2\nontology: go\n\n[Term]\nid: GO:0003674\nname: root\n"
    b"namespace: molecular_function\n\n[Term]\nid: GO:0000001\nname: one\n"
    b"namespace: molecular_function\nis_a: GO:0003674\n"
)
TABLE = (
    b"protein\tgo_id\tevidence\taspect\n"
    b"a\tGO:0000001\tIDA\tMF\nb\tGO:0000001\tIDA\tMF\nc\tGO:0000001\tIDA\tMF\n"
)
GAF_CELLS = b"UniProtKB|a|S|enables|GO:0000001|PMID:1|IDA||F||x|protein|taxon:9606|20200101|U||"
GAF = b"!gaf-version: 2.2\n" + GAF_CELLS.replace(b"|", b"\t") + b"\n"
PAIRS = b"a\tb\t1\nb\tc\t0\n"
SCOPE = b">d1aaaa_ a.1.1.1 (A:) x\nMKT\n>d1bbbb_ a.1.2.1 (B:) y\nMKV\n"
LABELS = b"domain\tfamily\tsplit\nd1aaaa_\ta.1.1.1\ttrain\nd1bbbb_\ta.1.2.1\tvalid\n"
TAPE = [{"primary": "MKT", "id": "x", "fold_label": 1, "superfamily_label": 2, "family_label": 3}]
HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
LATIN = "Müller".encode("latin-1")
CUT = gzip.compress(b"x" * 10 + bytes(range(33, 127)) * 3000, mtime=0)[:-200]


def cut(content: bytes) -> bytes:
    """Truncate an archive of the content repeated, so that its beginning is sound."""
    return gzip.compress(content * 400, mtime=0)[:-12]


# what, file that is broken, content, expected in the message
CORPUS = [
    ("go", "go.obo", b"", "empty"),
    ("go", "go.obo", HTML, "web page"),
    ("go", "go.obo", bytes(range(256)) * 20, "binary"),
    ("go", "go.obo", OBO.replace(b"one", LATIN), "line 11: not UTF-8"),
    ("go", "go.obo", OBO.decode().encode("utf-16"), "UTF-16"),
    ("go", "go.obo", b"version https://git-lfs.github.com/spec/v1\n", "LFS pointer"),
    ("go", "go.obo", b"format-version: 1.2\n", "no \\[Term\\]"),
    ("go", "go.obo", OBO.replace(b"is_a: GO:0003674", b"is_a: GO:0000009"), "line 13.*GO:0000009"),
    ("go", "go.obo", OBO.replace(b"is_a: GO:0003674", b"is_a: GO:0000001"), "its own parent"),
    ("go", "go.obo", OBO.replace(b"root\n", b"root\nis_a: GO:0000001\n"), "form a cycle"),
    ("go", "go.obo", OBO.replace(b"molecular_function\n\n", b"magic\n\n"), "line 7.*'magic'"),
    ("go", "go.obo", OBO.replace(b"name: one", b"name one"), "line 11: cannot be read as OBO"),
    ("go", "go.obo.gz", cut(OBO), "truncated"),
    ("go", "labels.tsv", b"", "empty"),
    ("go", "labels.tsv", HTML, "web page"),
    ("go", "labels.tsv", b"\x00\x01\x02\x03" * 99, "binary"),
    ("go", "labels.tsv", b"! only\n! comments\n", "comments only"),
    ("go", "labels.tsv", b"who\twhat\na\tGO:0000001\n", "line 1: neither GAF"),
    ("go", "labels.tsv", TABLE + b"a\tGO:0000001\n", "line 5: 2 columns"),
    ("go", "labels.tsv", TABLE + b"a\tGO:1\tIDA\tMF\n", "line 5, record 'a'.*'GO:1'"),
    ("go", "labels.tsv", TABLE + b"a\tGO:0000001\tQQQ\tMF\n", "line 5.*'QQQ'"),
    ("go", "labels.tsv", TABLE + b"a\tGO:0000001\tIDA\tXX\n", "line 5.*'XX'"),
    ("go", "labels.tsv", TABLE + b"\tGO:0000001\tIDA\tMF\n", "line 5.*no protein id"),
    ("go", "labels.tsv", TABLE + LATIN + b"\tGO:0000001\tIDA\tMF\n", "line 5: not UTF-8"),
    ("go", "labels.tsv", TABLE.replace(b"GO:0000001", b"GO:0000099"), "no term of MF"),
    (
        "go",
        "labels.tsv",
        b"q\tGO:0000001\n",
        "check that proteins and annotations use the same ids",
    ),
    ("go", "labels.tsv.gz", cut(TABLE.replace(b"protein\tgo_id", b"! p\tgo")), "truncated"),
    ("go", "a.gaf", GAF.replace(b"20200101", b"01/01/20"), "line 2.*yyyymmdd.*'01/01/20'"),
    ("go", "a.gaf", GAF.replace(b"\tF\t", b"\tQ\t"), "line 2.*'Q'"),
    ("go", "a.gaf", GAF + b"one\ttwo\n", "line 3: 2 columns"),
    ("go", "a.gaf.gz", gzip.compress(GAF + b"!x\n\none\ttwo\n", mtime=0), "line 5: 2 columns"),
    ("go", "all.fasta", b"MKT\n", "starts with '>'"),
    ("go", "all.fasta", FASTA + b">a\nMM\n", "line 7, record 'a'.*before, at line 1"),
    ("pairs", "pairs.tsv", b"", "empty"),
    ("pairs", "pairs.tsv", HTML, "web page"),
    ("pairs", "pairs.tsv", b"\x89PNG\x00\x00" * 9, "binary"),
    ("pairs", "pairs.tsv", b"\n\n", "no line"),
    ("pairs", "pairs.tsv", b"a\n", "line 1: one column"),
    ("pairs", "pairs.tsv", b"a\tb\t1\t2\n", "line 1.*this line has 4"),
    ("pairs", "pairs.tsv", PAIRS + b"a\tc\n", "line 3: 2 columns"),
    ("pairs", "pairs.tsv", PAIRS + b"a\tc\tyes\n", "line 3: 'yes' is not a label"),
    ("pairs", "pairs.tsv", PAIRS + b"a\tc\t\n", "line 3: '' is not a label"),
    ("pairs", "pairs.tsv", PAIRS + b"a\tc\t2\n", "line 3.*here it is 2"),
    ("pairs", "pairs.tsv", PAIRS + b"a\tc\t-0.5\n", "line 3.*here it is -0.5"),
    ("pairs", "pairs.tsv", PAIRS + b"a\tc\tnan\n", "line 3.*here it is nan"),
    ("pairs", "pairs.tsv", PAIRS + b"\tc\t1\n", "line 3: an id is empty"),
    ("pairs", "pairs.tsv", PAIRS + LATIN + b"\tc\t1\n", "line 3: not UTF-8"),
    ("pairs", "pairs.tsv", b"x\ty\t1\n", "no pair is left"),
    ("pairs", "pairs.tsv.gz", cut(PAIRS), "truncated"),
    ("pairs", "pairs.tsv.gz", gzip.compress(PAIRS + b"a\tc\n", mtime=0), "line 3: 2 columns"),
    ("pairs", "all.fasta", b">a\nMK1\n", "line 2, record 'a'"),
    ("scope", "scope.fa", SCOPE.replace(b"a.1.2.1", b"nothing"), "record 'd1bbbb_'.*'nothing'"),
    ("scope", "scope.fa", b">d1aaaa_\nMKT\n", "record 'd1aaaa_'.*class.fold"),
    ("scope", "scope.fa", HTML, "web page"),
    ("labels", "labels.tsv", b"name\tpart\n", "line 1: no column domain and split"),
    ("labels", "labels.tsv", LABELS + b"d1\n", "line 4: 1 columns"),
    ("labels", "labels.tsv", LABELS.replace(b"valid", b"dev"), "line 3.*not one of.*'dev'"),
    ("labels", "labels.tsv", LABELS + b"d1aaaa_\ta.1.1.1\ttrain\n", "line 4.*there before"),
    ("labels", "labels.tsv", LABELS.replace(b"a.1.2.1", b"a.1"), "record 'd1bbbb_'.*'a.1'"),
    ("tape", "remote_homology_train.json", b"[{", "line 1|not JSON"),
    ("tape", "remote_homology_train.json", b"{}", "not a list"),
    ("tape", "remote_homology_train.json", b"[]", "no record"),
    ("tape", "remote_homology_train.json", b'[{"id": "x"}]', "record '0'.*no sequence"),
    ("tape", "remote_homology_train.json", b'[{"primary": "MK1"}]', "not letters"),
    ("tape", "remote_homology_train.json", b'[{"primary": "MKT"}]', "labels"),
    ("tape", "remote_homology_train.json", HTML, "web page"),
    ("tape", "remote_homology_train.lmdb", b"not a database" * 999, "LMDB"),
    ("tar", "remote_homology.tar.gz", CUT, "truncated, damaged or unsafe"),
    ("tar", "remote_homology.tar.gz", HTML, "truncated, damaged or unsafe"),
]


def load(what: str, folder: Path, path: Path) -> None:
    root = folder / "root"
    if what == "go":
        annotations = path if "labels" in path.name or "gaf" in path.name else folder / "good.tsv"
        GOFunction(
            annotations=annotations,
            ontology=path if ".obo" in path.name else folder / "good.obo",
            sequences=path if "fasta" in path.name else folder / "good.fasta",
            min_proteins=1,
            root=root,
        )
    elif what == "pairs":
        pairs = path if "pairs" in path.name else folder / "pairs_good.tsv"
        PairPPI(pairs, path if "fasta" in path.name else folder / "good.fasta", root=root)
    elif what == "labels":
        RemoteHomology(folder / "good.fa", path, root=root)
    else:
        RemoteHomology(folder if what == "tape" else path, root=root)


@pytest.fixture
def folder(tmp_path):
    good = {
        "good.obo": OBO,
        "good.tsv": TABLE,
        "good.fasta": FASTA,
        "pairs_good.tsv": PAIRS,
        "good.fa": SCOPE,
    }
    for name, content in good.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(("what", "name", "content", "message"), CORPUS)
def test_broken_files_are_refused(folder, what, name, content, message):
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"(?s){message}") as caught:
        load(what, folder, path)
    assert str(folder) in str(caught.value)
    left = [file.name for file in (folder / "root").rglob("*") if file.is_file()]
    assert set(left) <= {".lock"}, left


@pytest.mark.parametrize(
    ("what", "name", "content"),
    [
        ("go", "go.obo", OBO),
        ("go", "labels.tsv", TABLE),
        ("go", "a.gaf", GAF * 3),
        ("pairs", "pairs.tsv", PAIRS),
        ("scope", "scope.fa", SCOPE),
        ("labels", "labels.tsv", LABELS),
        ("tape", "remote_homology_train.json", json.dumps(TAPE).encode()),
    ],
)
def test_the_sound_originals_load(folder, what, name, content):
    """Each broken file is one change away from a file that loads."""
    (folder / name).write_bytes(content)
    load(what, folder, folder / name)


def test_a_missing_file_is_named(folder):
    with pytest.raises(DataError, match=r"nowhere\.tsv: no such file"):
        load("pairs", folder, folder / "pairs_nowhere.tsv")
