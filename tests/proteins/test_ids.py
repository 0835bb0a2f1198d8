"""Ids of one protein in several spellings: matched where that is clear, never where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.memory import from_dataframe, from_networkx
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.datasets.published import PublishedPairs
from lcplm_graph.errors import LcPlmWarning, LeakageError
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins.graphs import graph_and_sequences
from lcplm_graph.proteins.ids import accession_of, match_by_accession
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.clusters import read_clusters

pytestmark = pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")


def match(known: list[str], wanted: list[str]) -> list[int]:
    return SequenceStore.from_records(known, ["M"] * len(known)).match(wanted).tolist()


@pytest.mark.parametrize(
    "name",
    [
        "P12345",
        "P12345.3",
        "sp|P12345|AATM_RABIT",
        "sp|P12345",
        "sp|P12345.2|AATM_RABIT",
        "tr|P12345|X",
        "UniRef50_P12345",
        "UniRef90_P12345",
        "UniRef100_P12345",
        "UniProtKB:P12345",
        "uniprot|P12345",
        "AF-P12345-F1",
        "AF-P12345-F1-model_v4",
        "gi|1|ref|P12345|x",
    ],
)
def test_spellings_of_one_accession(name):
    assert accession_of(name).core == "P12345"
    assert match(["Q1", "sp|P12345|AATM_RABIT"], [name]) == [1]
    assert match(["Q1", name], ["P12345"]) == [1]


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("9606.ENSP00000269305", "ENSP00000269305"),
        ("9606.ENSP00000269305.9", "ENSP00000269305"),
        ("ENSMUSP00000104298.2", "ENSMUSP00000104298"),
        ("NP_000537.3", "NP_000537"),
        ("ref|NP_000537.3|", "NP_000537"),
        ("AAA12345.1", "AAA12345"),
        ("511145.b0001", "b0001"),
        ("UniRef50_UPI000002ED67", "UPI000002ED67"),
        # These numbers and bars are part of the names.
        ("P12345-2", "P12345-2"),
        ("gene.1", "gene.1"),
        ("1.2", "1.2"),
        ("YAL001C", "YAL001C"),
        ("pdb|1ABC|A", "pdb|1ABC|A"),
        ("sp|", "sp|"),
    ],
)
def test_what_of_an_id_names_the_protein(name, core):
    assert accession_of(name).core == core


def test_a_full_id_goes_before_an_accession():
    assert match(["sp|P12345|A_B", "P12345"], ["P12345"]) == [1]
    assert match(["P12345.1", "P12345.2"], ["P12345.2"]) == [1]


def test_what_is_ambiguous_is_not_matched():
    # Several proteins have the accession.
    assert match(["sp|P12345|A_B", "UniRef50_P12345"], ["P12345"]) == [-1]
    assert match(["P12345.1", "P12345.2"], ["P12345"]) == [-1]
    # The same locus of two strains: neither is known to be the one that is there.
    assert match(["b0001"], ["511145.b0001", "83333.b0001"]) == [-1, -1]
    assert match(["83333.b0001"], ["511145.b0001"]) == [-1]
    assert match(["P12345"], ["P12345.1", "P12345.2"]) == [-1, -1]
    # An isoform is another protein.
    assert match(["sp|P12345|A_B"], ["P12345-2"]) == [-1]


def test_another_version_is_the_same_protein():
    assert match(["NP_000537.3"], ["NP_000537.2"]) == [0]
    assert match(["b0001"], ["511145.b0001"]) == [0]


def test_it_is_said_once_with_counts():
    forget_warnings()
    known = ["sp|P12345|A_B", "tr|Q67890|C_D", "P11111.1", "P11111.2"]
    rows = np.full(4, -1)
    with pytest.warns(LcPlmWarning) as said:
        match_by_accession(known, ["P12345", "Q67890", "P11111", "x"], rows, "here")
        match_by_accession(known, ["P12345", "Q67890", "P11111", "x"], rows, "here")
    assert [str(w.message) for w in said] == [
        "here: 2 ids matched by accession, as 'P12345' and 'sp|P12345|A_B'; "
        "1 ids left out, because several proteins share their accession"
    ]


FASTA = ">sp|P12345|A_B x\nMKT\n>tr|Q67890|C_D\nMVV\n>9606.ENSP00000000001\nMAA\n"
IDS = ["sp|P12345|A_B", "tr|Q67890|C_D", "9606.ENSP00000000001"]
SHORT = ["P12345", "Q67890", "ENSP00000000001"]


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "p.fasta"
    path.write_text(FASTA)
    return path


def test_the_door_of_pairs(tmp_path, fasta):
    table = tmp_path / "p.tsv"
    table.write_text("P12345\tQ67890\t1\nQ67890\tENSP00000000001.3\t0\nP12345\tsp|P12345|A_B\t1\n")
    dataset = PairPPI(table, fasta, root=tmp_path / "root")
    assert dataset[0].protein_id == IDS
    # The same protein under two spellings is a pair of one with itself.
    assert dataset.report["self_pairs"] == 1
    assert dataset[0].edge_index.tolist() == [[0, 1], [1, 0]]
    assert dataset[0].neg_edge_index.tolist() == [[1], [2]]


def test_the_doors_of_frames_graphs_and_features(fasta):
    nx, pd = pytest.importorskip("networkx"), pytest.importorskip("pandas")
    store = SequenceStore.from_fasta(fasta)
    frame = pd.DataFrame({"protein1": SHORT[:2], "protein2": SHORT[1:]})
    dataset = from_dataframe(frame, store)
    assert dataset[0].protein_id == IDS
    assert from_networkx(nx.Graph([SHORT[:2]]), store)[0].protein_id == IDS[:2]
    graph = dataset[0].clone()
    graph.protein_id = SHORT
    assert list(graph_and_sequences(graph, store)[1]) == ["MKT", "MVV", "MAA"]


def test_the_door_of_clusters(tmp_path):
    # MMseqs2 writes accessions of UniProt's headers.
    path = tmp_path / "c.tsv"
    path.write_text("P12345\tP12345\nP12345\tQ67890\nENSP00000000001\tENSP00000000001\n")
    assert read_clusters(path, IDS).tolist() == [1, 1, 0]


def test_the_door_of_annotations(tmp_path, fasta):
    (tmp_path / "go.obo").write_text(
        "[Term]\nid: GO:0003674\nnamespace: molecular_function\n"
        "[Term]\nid: GO:0000001\nnamespace: molecular_function\nis_a: GO:0003674\n"
    )
    (tmp_path / "a.tsv").write_text("".join(f"{name}\tGO:0000001\n" for name in SHORT))
    dataset = GOFunction(
        annotations=tmp_path / "a.tsv",
        ontology=tmp_path / "go.obo",
        sequences=fasta,
        min_proteins=1,
        valid=0.0,
        test=0.0,
        root=tmp_path / "root",
    )
    assert dataset[0].protein_id == IDS
    assert dataset[0].y.tolist() == [[True]] * 3


def test_the_door_of_published_tables(tmp_path, fasta):
    for part in ("train", "valid", "test"):
        (tmp_path / part).write_text("")
    (tmp_path / "train").write_text("P12345\tQ67890\t1\nP12345\tENSP00000000001\t0\n")
    (tmp_path / "valid").write_text("P12345\tQ67890\t1\nsp|P12345|A_B\tENSP00000000001\t0\n")
    (tmp_path / "test").write_text("tr|Q67890|C_D\tENSP00000000001\t1\nP12345\tQ67890\t0\n")
    paths = [tmp_path / part for part in ("train", "valid", "test")]
    published = PublishedPairs(*paths, [fasta], allow_leakage=True)
    assert published.sequences.ids == IDS
    assert published.split.published["test"].pairs.tolist() == [[1, 2], [0, 1]]
    with pytest.raises(LeakageError):
        PublishedPairs(*paths, [fasta])
