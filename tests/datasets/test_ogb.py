"""OGB's graphs from files in OGB's layout."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lcplm_graph.datasets.ogb import OGBLPPA, OGBNProteins
from lcplm_graph.errors import ConfigError, DataError, LcPlmWarning
from lcplm_graph.io import forget_warnings

IDS = ["9606.P1", "9606.P2", "4932.Y1", "4932.Y2"]
EDGES = "0,1\n2,3\n1,2\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "source" / "graph"
    mapping = "".join(f"{i},{name}\n" for i, name in enumerate(IDS))
    write(home / "mapping" / "nodeidx2proteinid.csv.gz", "node idx,protein id\n" + mapping)
    write(home / "raw" / "edge.csv.gz", EDGES)
    for taxon in ("9606", "4932"):
        own = [name for name in IDS if name.startswith(taxon)]
        text = "".join(f">{name}\nMK{'A' * (1 + own.index(name))}\n" for name in own)
        write(tmp_path / f"{taxon}.fa.gz", text + f">{taxon}.other\nMKT\n")
    return home


def zipped(home):
    return shutil.make_archive(str(home.parent.parent / "archive"), "zip", home.parent)


def proteins(home):
    write(home / "raw" / "edge-feat.csv.gz", "0.1,0.2\n0.3,0.4\n0.5,0.6\n")
    write(home / "raw" / "node-label.csv.gz", "1,0\n0,0\n1,1\n0,1\n")
    write(home / "raw" / "node_species.csv.gz", "9606\n9606\n4932\n4932\n")
    for part, rows in (("train", "0\n1\n"), ("valid", "2\n"), ("test", "3\n")):
        write(home / "split" / "species" / f"{part}.csv.gz", rows)
    return home


def test_proteins(home, tmp_path):
    fasta = [tmp_path / "9606.fa.gz", tmp_path / "4932.fa.gz"]
    dataset = OGBNProteins(zipped(proteins(home)), fasta, root=tmp_path)
    data = dataset[0]
    assert data.edge_index.tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
    expected = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])[[0, 0, 2, 2, 1, 1]]
    assert torch.allclose(data.edge_attr, expected)
    assert data.y.tolist() == [[True, False], [False, False], [True, True], [False, True]]
    assert data.species.tolist() == [9606, 9606, 4932, 4932]
    masks = [data[f"{part}_mask"].nonzero().ravel().tolist() for part in ("train", "val", "test")]
    assert masks == [[0, 1], [2], [3]]
    assert list(dataset.sequences) == ["MKA", "MKAA", "MKA", "MKAA"]
    assert data.has_sequence.all()


def test_missing_sequences_are_counted(home, tmp_path):
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="2 of 4 proteins have no sequence"):
        dataset = OGBNProteins(proteins(home), tmp_path / "9606.fa.gz", root=tmp_path)
    assert dataset.report == {"proteins": 4, "proteins_without_sequence": 2}
    assert dataset[0].has_sequence.tolist() == [True, True, False, False]


def links(home):
    write(home / "raw" / "node-feat.csv.gz", "1,0\n1,0\n0,1\n0,1\n")
    folder = home / "split" / "throughput"
    folder.mkdir(parents=True)
    pairs = np.array([[0, 2], [1, 3]])
    torch.save({"edge": np.array([[0, 1], [2, 3], [1, 2]])}, folder / "train.pt")
    torch.save({"edge": pairs, "edge_neg": pairs[:, ::-1].copy()}, folder / "valid.pt")
    torch.save({"edge": torch.from_numpy(pairs), "edge_neg": pairs}, folder / "test.pt")
    return home


def test_links(home, tmp_path):
    fasta = [tmp_path / "9606.fa.gz", tmp_path / "4932.fa.gz"]
    data = OGBLPPA(zipped(links(home)), fasta, root=tmp_path)[0]
    assert data.edge_index.shape == (2, 6)
    assert data.valid_edge.tolist() == data.test_edge.tolist() == [[0, 2], [1, 3]]
    assert data.valid_edge_neg.tolist() == [[2, 0], [3, 1]]
    assert data.x.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_proteins_are_of_the_node_that_their_line_names(home, tmp_path):
    rows = "".join(f"{i},{IDS[i]}\n" for i in (2, 0, 3, 1))
    write(home / "mapping" / "nodeidx2proteinid.csv.gz", "node idx,protein id\n" + rows)
    dataset = OGBNProteins(proteins(home), tmp_path / "9606.fa.gz", root=tmp_path)
    assert dataset.sequences.ids == IDS


@pytest.mark.parametrize(
    "pairs", [[[0, 4]], [[-1, 0]], [[0.5, 1]], [0, 1], [[0, 1, 2]], "0 1", None, [["a", "b"]]]
)
def test_held_out_pairs_that_are_none(home, tmp_path, pairs):
    folder = links(home) / "split" / "throughput"
    torch.save({"edge": pairs, "edge_neg": pairs}, folder / "test.pt")
    with pytest.raises(DataError, match=r"test\.pt: 'edge' of the split is not pairs of nodes in"):
        OGBLPPA(home, tmp_path / "9606.fa.gz", root=tmp_path / "root")


class _Harm:
    def __reduce__(self):
        return print, ("harm",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("raw/edge.csv.gz", "0,1\n2,9\n1,2\n", r"edge.csv.gz, line 2: an edge is two nodes"),
        ("raw/edge.csv.gz", "0,1\n2\n", "comma-separated"),
        ("raw/node-label.csv.gz", "1,0\n", "1 rows where the other files have 4"),
        ("raw/node-label.csv.gz", "1,0\nx,0\n1,1\n0,1\n", "no whole number"),
        ("raw/node-label.csv.gz", "1,0\n,0\n1,1\n0,1\n", "no whole number"),
        ("raw/node-label.csv.gz", "1,0\n2,0\n1,1\n0,1\n", "line 2: a label is neither 0 nor 1"),
        ("raw/edge-feat.csv.gz", "1e999,0\n2,0\n1,1\n", "too large"),
        ("mapping/nodeidx2proteinid.csv.gz", "protein id\nx\n", "a node's number and"),
        ("mapping/nodeidx2proteinid.csv.gz", "n,id\n0,a\n0,b\n2,c\n3,d\n", "not numbered 0, 1"),
        ("mapping/nodeidx2proteinid.csv.gz", "n,id\nx,a\n1,b\n2,c\n3,d\n", "not numbered 0, 1"),
        ("split/species/test.csv.gz", "4\n", "outside 0..3"),
    ],
)
def test_files_that_do_not_fit(home, tmp_path, name, content, message):
    write(proteins(home) / name, content)
    with pytest.raises(DataError, match=message):
        OGBNProteins(home, tmp_path / "9606.fa.gz", root=tmp_path / "root")
    assert not list((tmp_path / "root").rglob("*.pt"))


def test_a_split_that_would_run_code_is_refused(home, tmp_path):
    torch.save({"edge": _Harm()}, links(home) / "split" / "throughput" / "train.pt")
    with pytest.raises(DataError, match=r"train\.pt: cannot be read as a split"):
        OGBLPPA(home, tmp_path / "9606.fa.gz", root=tmp_path / "root")


@pytest.mark.skipif(importlib.util.find_spec("ogb") is not None, reason="ogb is installed")
def test_the_evaluator_says_how_to_install_it(home, tmp_path):
    fasta = [tmp_path / "9606.fa.gz", tmp_path / "4932.fa.gz"]
    dataset = OGBNProteins(proteins(home), fasta, root=tmp_path)
    with pytest.raises(ConfigError, match=r"pip install 'lcplm-graph\[ogb\]'"):
        dataset.evaluator()


def test_a_damaged_archive_is_one_short_sentence(home, tmp_path):
    archive = Path(zipped(proteins(home)))
    damaged = bytearray(archive.read_bytes())
    at = damaged.find(b"PK\x03\x04")
    while at >= 0:
        # Names as long as can be: they are read to the end of the file.
        damaged[at + 26 : at + 28] = b"\xff\xff"
        at = damaged.find(b"PK\x03\x04", at + 1)
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match="not a whole zip archive") as raised:
        OGBNProteins(archive, [tmp_path / "9606.fa.gz"], root=tmp_path)[0]
    assert len(str(raised.value)) < 600


def test_an_entry_without_a_name_is_no_traceback(home, tmp_path):
    archive = tmp_path / "nameless.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("a", b"")
    damaged = bytearray(archive.read_bytes())
    # The letter of the name becomes one of the extra field, in both headers.
    for signature, at in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        lengths = damaged.find(signature) + at
        damaged[lengths : lengths + 4] = b"\0\0\1\0"
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match="not a whole zip archive"):
        OGBNProteins(archive, [tmp_path / "9606.fa.gz"], root=tmp_path)[0]
