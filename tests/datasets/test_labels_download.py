"""GO annotation and remote homology by name: from a server to a dataset, with its faults."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.ogb import OGBLPPA
from lcplm_graph.errors import ChecksumError, DataError, DownloadError

HEAD = """title = "test"
kind = "{kind}"
version = "1"
organism = []
licence = "CC0-1.0"
citation = "none"
homepage = "https://example.org"
"""
FILE = """
[[files]]
role = "{role}"
url = "{url}"
sha256 = "{sha256}"
"""
OBO = "format-version: 1.2\nontology: go\n" + "".join(
    f"\n[Term]\nid: {term}\nname: {term}\nnamespace: molecular_function\n{parent}"
    for term, parent in (
        ("GO:0003674", ""),
        ("GO:0000001", "is_a: GO:0003674\n"),
        ("GO:0000002", "relationship: part_of GO:0000001\n"),
    )
)
CELLS = "UniProtKB|P{i}|S|enables|GO:0000002|PMID:1|IDA||F||x|protein|taxon:9606|20200101|U||"
GAF = "!gaf-version: 2.2\n" + "".join(
    CELLS.format(i=i).replace("|", "\t") + "\n" for i in range(400)
)


@pytest.fixture
def cards(tmp_path, monkeypatch):
    folder = tmp_path / "cards"
    monkeypatch.setattr("lcplm_graph.files.catalog.card_folder", lambda: folder)

    def write(name, kind, files):
        path = folder / name / "card.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(FILE.format(role=role, url=u, sha256=s) for role, (u, s) in files.items())
        path.write_text(HEAD.format(kind=kind) + text)

    return write


@pytest.fixture
def goa(server, cards):
    def write(sha256="pinned-on-first-download", obo=OBO):
        files = {
            "annotations": (server.put("goa.gaf.gz", gzip.compress(GAF.encode())), sha256),
            "ontology": (server.put("go.obo", obo.encode()), "pinned-on-first-download"),
        }
        cards("goa_test", "function", files)

    write()
    return write


def test_goa_interrupted_resumed_and_then_offline(goa, server, data_dir, monkeypatch):
    server.cut = [100]
    dataset = GOFunction("goa_test", valid=0, test=0)
    asked = [request for request in server.requests if request[0] == "/goa.gaf.gz"]
    assert asked == [("/goa.gaf.gz", None), ("/goa.gaf.gz", "bytes=100-")]
    assert dataset[0].go_terms == ["GO:0000001", "GO:0000002"]
    assert dataset[0].y.shape == (400, 2)
    assert dataset[0].y.all()
    assert data_dir in dataset.inputs["annotations"][0].parents
    before = len(server.requests)
    monkeypatch.setenv("LCPLM_OFFLINE", "1")
    assert GOFunction("goa_test", valid=0, test=0)[0].num_nodes == 400
    assert len(server.requests) == before


def test_goa_wrong_checksum_404_and_web_page(goa, server, data_dir):
    goa(sha256="0" * 64)
    with pytest.raises(ChecksumError, match=r"goa\.gaf\.gz.*expected"):
        GOFunction("goa_test")
    assert [path.name for path in data_dir.rglob("*.bad")] == ["goa.gaf.gz.bad"]
    goa(sha256=hashlib.sha256(gzip.compress(GAF.encode(), mtime=0)).hexdigest())
    server.files.pop("/goa.gaf.gz")
    with pytest.raises(DownloadError, match="404"):
        GOFunction("goa_test")
    server.put("goa.gaf.gz", b"<!DOCTYPE html><html>log in</html>")
    with pytest.raises(DownloadError, match="web page"):
        GOFunction("goa_test")
    assert not list(data_dir.rglob("data.pt"))


def test_goa_whose_ontology_is_faulty(goa, data_dir):
    goa(obo=OBO.replace("is_a: GO:0003674", "is_a: GO:0000002"))
    with pytest.raises(DataError, match=r"go\.obo: the terms form a cycle"):
        GOFunction("goa_test")
    assert not list(data_dir.rglob("data.pt"))


def test_remote_homology_by_name(server, cards, data_dir):
    record = {"primary": "MKT", "fold_label": 1, "superfamily_label": 2, "family_label": 3}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for part in ("train", "valid"):
            text = json.dumps([record | {"id": part, "primary": f"MKT{part[0]}"}]).encode()
            entry = tarfile.TarInfo(f"remote_homology/remote_homology_{part}.json")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        # A path that leads out of the folder is not unpacked there.
        entry = tarfile.TarInfo("../remote_homology_escape.json")
        tar.addfile(entry, io.BytesIO(b""))
    pin = "pinned-on-first-download"
    scope = server.put("scope.fa", b">d1aaaa_ a.1.1.1 (A:) x\nMKT\n")
    tape = server.put("remote_homology.tar.gz", archive.getvalue())
    cards("remote_homology", "homology", {"tape_json": (tape, pin), "scope40": (scope, pin)})
    assert RemoteHomology("scope40")[0].fold_names == ["a.1"]
    with pytest.raises(DataError, match=r"remote_homology\.tar\.gz: .*unsafe"):
        RemoteHomology("tape_json")
    assert not list(data_dir.rglob("*escape*"))


@pytest.fixture
def ogb(server, cards):
    """ogbl-ppa in small, on the server."""
    folder, buffer = {}, io.BytesIO()
    folder["mapping/nodeidx2proteinid.csv.gz"] = "node idx,protein id\n0,7.A\n1,7.B\n2,7.C\n"
    folder["raw/edge.csv.gz"], folder["raw/node-feat.csv.gz"] = "0,1\n", "1,0\n1,0\n0,1\n"
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in folder.items():
            archive.writestr(f"ppassoc/{name}", gzip.compress(text.encode()))
        for part in ("train", "valid", "test"):
            edges = {"edge": np.array([[0, 1]]), "edge_neg": np.array([[0, 2]])}
            file = io.BytesIO()
            torch.save(edges, file)
            archive.writestr(f"ppassoc/split/throughput/{part}.pt", file.getvalue())
    fasta = gzip.compress(b">7.A\nMK\n>7.B\nMV\n>7.C\nMA\n")

    def write(sha256="pinned-on-first-download"):
        archive = (server.put("ppassoc.zip", buffer.getvalue()), sha256)
        sequences = (server.put("sequences.fa.gz", fasta), "pinned-on-first-download")
        cards("ogbl_ppa", "ppi", {"archive": archive, "sequences": sequences})

    write()
    return write


def test_ogb_interrupted_resumed_and_then_offline(ogb, server, data_dir, monkeypatch):
    server.cut = [400]
    data = OGBLPPA()[0]
    assert any("bytes=400-" in str(asked) for _, asked in server.requests)
    assert data.test_edge_neg.tolist() == [[0, 2]]
    monkeypatch.setenv("LCPLM_OFFLINE", "1")
    assert list(OGBLPPA().sequences) == ["MK", "MV", "MA"]


def test_ogb_wrong_checksum_404_and_truncated_archive(ogb, server, data_dir):
    ogb(sha256="0" * 64)
    with pytest.raises(ChecksumError, match=r"\.bad"):
        OGBLPPA()
    ogb()
    whole = server.files.pop("/ppassoc.zip")
    with pytest.raises(DownloadError, match="404"):
        OGBLPPA()
    server.put("ppassoc.zip", whole[:400])
    with pytest.raises(DataError, match="not a whole zip archive"):
        OGBLPPA()
    assert not list(data_dir.rglob("data.pt"))
