"""StringPPI: the embedded core, and real-format files over the whole path from server to graph."""

from __future__ import annotations

import gzip
import logging
import subprocess
import sys
import time

import networkx as nx
import numpy as np
import pytest
import torch
from cases.dataset import PPIDatasetCase
from torch_geometric.utils import is_undirected, to_networkx

from lcplm_graph import StringPPI
from lcplm_graph.data import main
from lcplm_graph.datasets.aliases import read_symbols
from lcplm_graph.errors import (
    ChecksumError,
    ConfigError,
    DataError,
    DownloadError,
    InputError,
    LcPlmWarning,
    UnknownNameError,
)
from lcplm_graph.files import catalog
from lcplm_graph.files.catalog import load_card
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.leakage import leakage_report
from lcplm_graph.splits.make import make_split

ROLES = {
    "links": "protein.links",
    "links_detailed": "protein.links.detailed",
    "links_physical": "protein.physical.links",
    "info": "protein.info",
    "aliases": "protein.aliases",
    "sequences": "protein.sequences",
}


def species_files(taxon: int, n: int = 6) -> dict[str, bytes]:
    """Files of one small species: a ring with chords; the last protein has no sequence."""
    ids = [f"{taxon}.P{i}" for i in range(n)]
    pairs = [(i, (i + 1) % n) for i in range(n)] + [(0, 3)]
    both = sorted([*pairs, *((b, a) for a, b in pairs)])
    score = lambda a, b: 100 * (min(a, b) + 1) + max(a, b)  # noqa: E731
    channels = "neighborhood fusion cooccurence coexpression experimental database textmining"
    tables = {
        "links": ["protein1 protein2 combined_score"]
        + [f"{ids[a]} {ids[b]} {score(a, b)}" for a, b in both],
        "links_physical": ["protein1 protein2 combined_score"]
        + [f"{ids[a]} {ids[b]} 950" for a, b in both if {a, b} == {0, 1}],
        "links_detailed": [f"protein1 protein2 {channels} combined_score"]
        + [f"{ids[a]} {ids[b]} 1 2 3 4 {10 * min(a, b)} 6 7 {score(a, b)}" for a, b in both],
        "info": ["#string_protein_id\tpreferred_name\tprotein_size\tannotation"]
        + [f'{name}\tG{i}\t30\tan "odd text' for i, name in enumerate(ids)],
        "aliases": ["#string_protein_id\talias\tsource"]
        + [f"{name}\tAC{i}\tUniProt_AC" for i, name in enumerate(ids)],
        "sequences": [f">{name}\nMKT{'AC' * (i + 1)}" for i, name in enumerate(ids[:-1])],
    }
    return {role: gzip.compress(("\n".join(rows) + "\n").encode()) for role, rows in tables.items()}


@pytest.fixture
def string_server(server, data_dir, tmp_path, monkeypatch):
    """STRING's files of the taxa 7 and 8 on the test server, with cards that point there."""
    for taxon in (7, 8):
        for role, content in species_files(taxon, n=taxon - 1).items():
            end = "fa.gz" if role == "sequences" else "txt.gz"
            server.put(f"{taxon}.{ROLES[role]}.v12.0.{end}", content)
    folder = tmp_path / "cards"
    for name in ("string", "string_human"):
        (folder / name).mkdir(parents=True)
        text = (catalog.card_folder() / name / "card.toml").read_text()
        lines = [
            f'url = "{server.url}/{line.rsplit("/", 1)[1]}' if line.startswith("url") else line
            for line in text.splitlines()
        ]
        (folder / name / "card.toml").write_text("\n".join(lines))
    monkeypatch.setattr(catalog, "card_folder", lambda: folder)
    return server


# The embedded core ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    return StringPPI("string_human_core", root=tmp_path_factory.mktemp("core"), offline=True)


def test_core_numbers_are_those_of_its_card(core):
    data = core[0]
    graph = to_networkx(data, to_undirected=True)
    largest = graph.subgraph(max(nx.connected_components(graph), key=len))
    degrees = np.array([degree for _, degree in graph.degree])
    lengths = core.sequences.lengths
    note = load_card("string_human_core").note
    facts = [
        f"{data.num_nodes:,} proteins and {data.num_edges // 2:,} links",
        f"largest component {len(largest):,} / {largest.number_of_edges():,}",
        f"degree median {np.median(degrees):.0f}, 95 %\n{np.percentile(degrees, 95):.0f}",
        f"maximum {degrees.max()}",
        f"{lengths.sum():,} residues, median {np.median(lengths):.0f}, "
        f"{(lengths > 1024).sum()} longer than 1,024, longest {lengths.max():,}",
        f"{len(set(core.sequences)):,} of\nthem are distinct",
    ]
    for fact in facts:
        assert fact in note
    assert abs(data.num_nodes - 7730) <= 10
    assert abs(data.num_edges // 2 - 35992) <= 50


def test_core_graph_is_whole(core):
    data = core[0]
    assert data.edge_index.dtype == torch.int64
    assert is_undirected(data.edge_index, data.edge_weight)
    assert data.is_coalesced()
    assert not data.has_self_loops()
    assert not data.has_isolated_nodes()
    assert data.edge_weight.dtype == torch.float32
    assert data.edge_weight.unique().tolist() == pytest.approx([0.9])
    assert data.protein_id == sorted(data.protein_id) == core.sequences.ids
    assert data.symbol[data.protein_id.index("9606.ENSP00000000412")] == "M6PR"
    assert data.taxon.unique().tolist() == [9606]
    assert data.source == "string_human_core 12.0-900"
    assert core.report["proteins"] == data.num_nodes


def test_core_loads_cold_in_3_s_and_warm_in_half_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))
    for limit in (3.0, 0.5):
        start = time.process_time()
        data = StringPPI("string_human_core", root=tmp_path)[0]
        assert len(data.protein_id) == data.num_nodes
        assert time.process_time() - start < limit


@pytest.mark.parametrize(
    "options", [{"score": "combined"}, {"score": "experimental"}, {"min_score": 901}]
)
def test_core_has_no_scores_to_choose_by(options, tmp_path):
    with pytest.raises(ConfigError, match="string_human for other scores"):
        StringPPI("string_human_core", root=tmp_path, **options)


# Real-format files ------------------------------------------------------------------------------


def test_download_verify_process_load(string_server, data_dir, caplog):
    assert main(["verify", "string:7", "--role", "links"]) == 1
    assert main(["download", "string:7"]) == 0
    assert main(["verify", "string:7"]) == 0
    n_requests = len(string_server.requests)
    with caplog.at_level(logging.INFO):
        dataset = StringPPI("string:7")
    assert "rows_without_sequence 4" in caplog.text
    data = dataset[0]
    assert data.protein_id == [f"7.P{i}" for i in range(5)]
    assert data.symbol == [f"G{i}" for i in range(5)]
    assert data.edge_index.tolist() == [
        [0, 0, 1, 1, 2, 2, 3, 3, 3, 4],
        [1, 3, 0, 2, 1, 3, 0, 2, 4, 3],
    ]
    assert data.edge_weight.tolist() == pytest.approx(
        [0.101, 0.103, 0.101, 0.202, 0.202, 0.303, 0.103, 0.303, 0.404, 0.404]
    )
    assert dataset.sequences[4] == "MKTACACACACAC"
    assert dataset.report["rows_without_sequence"] == 4
    assert dataset.report["edges"] == 5
    again = StringPPI("string:7", offline=True)
    assert len(string_server.requests) == n_requests
    assert again[0].edge_index.equal(data.edge_index)
    assert again.report == dataset.report


def test_verify_finds_a_changed_file(string_server, data_dir, capsys):
    assert main(["download", "string:7", "--role", "info"]) == 0
    next(data_dir.rglob("7.protein.info*.gz")).write_bytes(b"x")
    assert main(["verify", "string:7", "--role", "info"]) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_scores_and_cut_offs(string_server):
    physical = StringPPI("string:7", score="physical")
    assert physical[0].protein_id == ["7.P0", "7.P1"]
    assert physical.report["proteins_without_link"] == 3
    cut = StringPPI("string:7", min_score=200)[0]
    assert cut.protein_id == ["7.P1", "7.P2", "7.P3", "7.P4"]
    assert (cut.score, cut.min_score, cut.edge_weight.min()) == (
        "combined",
        200,
        pytest.approx(0.202),
    )
    channel = StringPPI("string:7", score="experimental")[0]
    assert sorted(channel.edge_weight.unique().tolist()) == pytest.approx([0.01, 0.02, 0.03])
    detailed = StringPPI("string:7", score="detailed")[0]
    assert detailed.edge_attr.shape == (10, 7)
    expected = detailed.edge_index.min(dim=0).values.float() * 0.01
    torch.testing.assert_close(detailed.edge_attr[:, 4], expected)


def test_several_taxa_make_a_disjoint_union(string_server):
    union = StringPPI([8, "string:7"])
    data = union[0]
    assert data.taxon.tolist() == [8] * 6 + [7] * 5
    assert (data.taxon[data.edge_index[0]] == data.taxon[data.edge_index[1]]).all()
    assert data.protein_id == union.sequences.ids
    assert data.edge_index[:, -10:].sub(6).equal(StringPPI(7)[0].edge_index)
    assert set(union.report) == {"string:8", "string:7"}
    assert data.is_coalesced()


def test_aliases(string_server):
    table = StringPPI("string:7").aliases()
    assert table["alias"].tolist() == [f"AC{i}" for i in range(5)]


def test_names_of_other_databases(string_server):
    text = "#string_protein_id alias source|7.P0 A UniProt_AC|7.P0 A Ensembl_UniProt"
    text += "|7.P1 A UniProt_AC|7.P2 B BLAST_UniProt_AC|7.P3 C UniProt_AC"
    content = text.replace(" ", "\t").replace("|", "\n").encode()
    string_server.put("7.protein.aliases.v12.0.txt.gz", gzip.compress(content))
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="2 of 4 names are unknown here, as 'B', 'D'"):
        found = StringPPI(7).translate(["A", "B", "C", "D"])
    assert found.fillna("-").to_numpy().tolist() == [
        ["A", "7.P0"], ["A", "7.P1"], ["B", "-"], ["C", "7.P3"], ["D", "-"],
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="'A' is a name of 2 proteins"):
        StringPPI(7)["A"]
    assert StringPPI(7).neighbors("C")["protein_id"].tolist()


def test_names_in_the_embedded_graph(core):
    names = ["P20645", "nobody", "M6PR", "4074", "nobody"]
    found = core.translate(names)
    assert found["alias"].tolist() == names
    assert found["protein_id"].isna().tolist() == [name == "nobody" for name in names]
    assert set(found["protein_id"].dropna()) == {"9606.ENSP00000000412"}
    spelt = ("TP53", "P04637", "sp|P04637|P53_HUMAN", "7157", "ENSP00000269305")
    assert {core[name].id for name in spelt} == {"9606.ENSP00000269305"}
    assert core["TP53"].degree == len(core.neighbors("TP53")) == 79


def test_without_the_alias_file_gene_names_are_still_known(string_server):
    forget_warnings()
    dataset = StringPPI(7)
    assert dataset[dataset[0].symbol[0]].node == 0
    string_server.files.pop("/7.protein.aliases.v12.0.txt.gz")
    with (
        pytest.warns(LcPlmWarning, match="only STRING's ids and gene names are known"),
        pytest.raises(UnknownNameError, match="no protein 'Q99999' of this dataset"),
    ):
        dataset["Q99999"]


def test_pyg_hooks(string_server, tmp_path):
    def double(data):
        data.edge_weight = data.edge_weight * 2
        return data

    plain = StringPPI(7, root=tmp_path / "a")[0]
    changed = StringPPI(7, root=tmp_path / "b", pre_transform=double, transform=double)[0]
    torch.testing.assert_close(changed.edge_weight, plain.edge_weight * 4)
    assert (tmp_path / "a/raw/7.protein.links.v12.0.txt.gz").is_file()
    with pytest.raises(InputError, match="pre_filter"):
        StringPPI(7, root=tmp_path / "c", pre_filter=lambda _: False)


def test_one_root_for_two_species_and_files_that_are_replaced(string_server, tmp_path):
    assert set(StringPPI(8, root=tmp_path)[0].taxon.tolist()) == {8}
    seven = StringPPI(7, root=tmp_path)
    assert set(seven[0].taxon.tolist()) == {7}
    fasta = next((tmp_path / "raw").glob("7.*sequences*.fa.gz"))
    lines = gzip.decompress(fasta.read_bytes()).splitlines()
    first = seven.sequences.ids[0].encode()
    lines[next(i for i, line in enumerate(lines) if line.split()[0] == b">" + first) + 1] = b"MWWW"
    fasta.write_bytes(gzip.compress(b"\n".join(lines)))
    for record in (tmp_path / "raw").glob("7.*.json"):
        record.unlink()  # put there by hand
    again = StringPPI(7, root=tmp_path)
    assert again.sequences[0].startswith("MWWW")


def test_the_taxon_of_a_named_species_gives_that_species(string_server, data_dir):
    with pytest.raises(DownloadError, match=r"string_human/12\.0/raw.*'string_human_core'"):
        StringPPI(9606, offline=True)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("strng", UnknownNameError),
        ("string:human", ConfigError),
        ("string", UnknownNameError),
        ([], ConfigError),
        ([7, 7], ConfigError),
    ],
)
def test_wrong_names(string_server, name, error):
    with pytest.raises(error):
        StringPPI(name)


@pytest.mark.parametrize("options", [{"score": "magic"}, {"min_score": 1001}, {"min_score": -1}])
def test_wrong_options(string_server, options):
    with pytest.raises(ConfigError):
        StringPPI(7, **options)


def test_a_least_score_is_a_number(string_server):
    with pytest.raises(InputError, match="min_score must be a number, not '900'"):
        StringPPI(7, min_score="900")


BAD_LINKS = b"protein1 protein2 combined_score\n7.P0 7.P1 100\n7.P1 7.P2 %s\n"
FAULTS = {
    "NaN": ("protein.links.v12.0.txt.gz", BAD_LINKS % b"NaN", "line 3"),
    "negative": ("protein.links.v12.0.txt.gz", BAD_LINKS % b"-5", "line 3"),
    "above 1000": ("protein.links.v12.0.txt.gz", BAD_LINKS % b"1001", "line 3"),
    "another species": (
        "protein.links.v12.0.txt.gz",
        BAD_LINKS.replace(b"7.P2", b"8.P2") % b"9",
        "line 3",
    ),
    "duplicate sequence": ("protein.sequences.v12.0.fa.gz", b">7.P0\nM\n>7.P0\nM\n", "line 3"),
    "bad residue": ("protein.sequences.v12.0.fa.gz", b">7.P0\nM3\n", "line 2"),
    "narrow info": ("protein.info.v12.0.txt.gz", b"#string_protein_id\n7.P0\n", "line 1"),
    "ragged info": ("protein.info.v12.0.txt.gz", b"#id\tname\n7.P0\tG\n7.P1\n", "line 3"),
}


@pytest.mark.parametrize(("name", "content", "where"), FAULTS.values(), ids=FAULTS.keys())
def test_bad_raw_files_leave_no_processed_ones(string_server, data_dir, name, content, where):
    string_server.put(f"7.{name}", gzip.compress(content))
    with pytest.raises(DataError, match=where) as caught:
        StringPPI("string:7")
    assert name in str(caught.value)
    assert not [p for p in data_dir.rglob("processed/**/*") if p.is_file() and p.name != ".lock"]


def test_a_cut_off_above_all_scores(string_server):
    with pytest.raises(DataError, match="no link scores 999 or more"):
        StringPPI(7, min_score=999)


def test_a_wrong_checksum_stops_before_processing(string_server, monkeypatch, data_dir):
    card = catalog.card_folder() / "string" / "card.toml"
    card.write_text(card.read_text().replace('"pinned-on-first-download"', f'"{"0" * 64}"', 1))
    with pytest.raises(ChecksumError, match=r"\.bad"):
        StringPPI(7)


def test_an_interrupted_download_resumes(string_server):
    string_server.cut = [40]
    assert StringPPI(7)[0].num_nodes == 5
    assert "bytes=40-" in [asked for _, asked in string_server.requests]


def test_a_damaged_processed_file_is_named(string_server, data_dir):
    StringPPI(7)
    path = next(data_dir.rglob("data.pt"))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="force_reload"):
        StringPPI(7)
    assert StringPPI(7, force_reload=True)[0].num_nodes == 5


@pytest.mark.slow
def test_two_processes_build_one_cache(tmp_path):
    code = (
        "import sys; from lcplm_graph import StringPPI;"
        "print(StringPPI('string_human_core', root=sys.argv[1])[0].num_nodes)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {process.communicate(timeout=120)[0].strip() for process in both} == {"7728"}


def test_split_of_a_dataset(core):
    split = core.split(kind="C3", seed=1)
    split.check()
    assert core.split(kind="C3", seed=1).fingerprint == split.fingerprint
    parts = [set(split.positives(part).ravel().tolist()) for part in ("train", "valid", "test")]
    assert min(map(len, parts)) > 300
    assert len(set.union(*parts)) == sum(map(len, parts))


class TestStringPPI(PPIDatasetCase):
    @pytest.fixture
    def dataset(self, core):
        return core


@pytest.mark.slow
def test_cluster_split_of_the_embedded_graph_has_no_homologue_across_its_border(core):
    nodes = torch.arange(0, len(core.sequences), 3)
    graph, store = core[0].subgraph(nodes), core.sequences.select(nodes.numpy())
    options = {"identity": 0.3, "coverage": 0.5, "method": "kmer"}
    split = make_split(graph, "cluster", sequences=store, seed=0, **options)
    for part in ("valid", "test"):
        report = leakage_report(split, store, part=part, **options)
        assert report.pairs > 10
        assert report.homologues == report.identical_sequences == 0
        assert report.ok()
    random_proteins = leakage_report(make_split(graph, "C3"), store, **options)
    assert random_proteins.homologues > 5


def test_a_protein_without_a_symbol_is_called_by_its_id(tmp_path):
    path = tmp_path / "info.tsv"
    path.write_text("#string_protein_id\tpreferred_name\n7.a\tG1\n7.b\t\n")
    store = SequenceStore.from_records(["7.a", "7.b", "7.c"], ["MK", "MV", "MA"])
    assert read_symbols(path, store) == ["G1", "7.b", "7.c"]
