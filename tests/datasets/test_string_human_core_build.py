"""The pure functions of the build script of the embedded dataset."""

from __future__ import annotations

import gzip
import importlib.util
import struct
import zlib
from pathlib import Path

import obonet
import pytest

from lcplm_graph.files.catalog import load_card

CARD = load_card("string_human_core")
FOLDER = CARD.file("links").path.parent


@pytest.fixture(scope="module")
def build():
    path = FOLDER / "build.py"
    spec = importlib.util.spec_from_file_location("string_human_core_build", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blast_database(folder: Path, records: list[tuple[str, str]]) -> Path:
    """Write a BLAST v4 database as makeblastdb lays it out."""
    alphabet = "-ABCDEFGHIKLMNPQRSTVWXYZU*OJ"
    headers, residues, header_at, residue_at = b"", b"\0", [0], [1]
    for title, sequence in records:
        text = title.encode()
        size = len(text)
        length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
        headers += b"\x30\x80\x30\x80\xa0\x80\x1a" + length + text + b"\0" * 6
        header_at.append(len(headers))
        residues += bytes(alphabet.index(letter) for letter in sequence) + b"\0"
        residue_at.append(len(residues))
    n, total = len(records), sum(len(sequence) for _, sequence in records)
    index = struct.pack(">iii", 4, 1, 5) + b"title" + struct.pack(">i", 8) + b"a date\0\0"
    index += struct.pack(">i", n) + struct.pack("<q", total) + struct.pack(">i", 99)
    index += struct.pack(f">{n + 1}i", *header_at) + struct.pack(f">{n + 1}i", *residue_at)
    for end, content in ((".pin", index), (".phr", headers), (".psq", residues)):
        (folder / f"db.fasta{end}").write_bytes(content)
    return folder / "db.fasta"


def test_blast_database_round_trip(build, tmp_path):
    records = [
        ("P1|GO:1", "MKTUXOJ"),
        ("P2|" + "GO:0000001," * 40, "ACDEFGHIKLMNPQRSTVWYBZ"),
        ("P3", "M"),
    ]
    base = blast_database(tmp_path, records)
    assert list(build.read_blast_database(base)) == records
    (tmp_path / "db.fasta.psq").write_bytes((tmp_path / "db.fasta.psq").read_bytes()[:-4])
    with pytest.raises(SystemExit, match="residues"):
        list(build.read_blast_database(base))
    (tmp_path / "db.fasta.pin").write_bytes(struct.pack(">iii", 5, 1, 0) + bytes(60))
    with pytest.raises(SystemExit, match="version 5"):
        list(build.read_blast_database(base))


def test_mapping_choices(build):
    mapped = build.map_proteins(
        ["s1", "s2", "s3", "s4", "s5", "s6"],
        {"s1": "A", "s2": "OLD", "s3": "BOTH", "s4": "NEW", "s5": "A"},
        {"A": {1}, "NEW": {4}},
        {"A": {9}, "OLD": {2}, "BOTH": {2, 3}},
        {1: {"Q2", "P1", "Z9"}, 2: {"P2"}, 3: {"P3"}, 4: {"P4"}},
        {"P1": "M", "Q2": "M", "P2": "M", "P3": "M"},
    )
    # Official symbol before alias; first known accession; no ambiguous alias; copies stay.
    assert mapped == {"s1": (1, "P1"), "s2": (2, "P2"), "s5": (1, "P1")}


PARENTS = {
    "GO:3": {("GO:2", "isa"), ("GO:1", "part of")},
    "GO:2": {("GO:1", "isa")},
    "GO:9": {("GO:1", "isa")},
}


def test_ancestors(build):
    assert build.with_ancestors(["GO:3"], PARENTS) == {"GO:3", "GO:2", "GO:1"}
    assert build.with_ancestors([], PARENTS) == set()


def test_obo_is_read_by_obonet(build, tmp_path):
    terms = {f"GO:{i}": (f"term {i}", "BP") for i in (1, 2, 3, 9)}
    text = build.write_obo(terms, PARENTS, {"GO:2": {"GO:7"}}, {"GO:1", "GO:2", "GO:3"})
    (tmp_path / "x.obo").write_text(text)
    graph = obonet.read_obo(tmp_path / "x.obo")
    assert set(graph.edges(keys=True)) == {
        ("GO:3", "GO:2", "is_a"),
        ("GO:3", "GO:1", "part_of"),
        ("GO:2", "GO:1", "is_a"),
    }
    assert graph.nodes["GO:2"]["alt_id"] == ["GO:7"]
    assert graph.nodes["GO:1"]["namespace"] == "biological_process"


def test_equal_text_gives_equal_bytes_without_name_and_time(build):
    packed = build.gzip_bytes("text\n" * 100)
    assert packed == build.gzip_bytes("text\n" * 100)
    assert gzip.decompress(packed) == b"text\n" * 100
    assert packed[3:8] == bytes(5)


def test_tables_do_not_depend_on_order(build):
    rows = [("b", 2), ("a", 1)]
    assert build.table("x y", rows) == build.table("x y", reversed(rows)) == "x\ty\na\t1\nb\t2\n"


@pytest.mark.skipif(
    zlib.ZLIB_RUNTIME_VERSION != "1.2.13", reason="the card's bytes are of zlib 1.2.13"
)
@pytest.mark.parametrize("role", ["links", "info", "annotations", "families"])
def test_the_embedded_files_are_what_the_script_writes(build, role):
    path = CARD.file(role).path
    header, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    text = build.table(header.replace("\t", " "), (row.split("\t") for row in reversed(rows)))
    assert build.gzip_bytes(text) == path.read_bytes()


def test_no_kegg_and_no_omim(build):
    source = (FOLDER / "build.py").read_text().split('"""', 2)[2].lower()
    assert "kegg" not in source
    assert "omim" not in source
