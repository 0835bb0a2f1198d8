"""Files of BioGRID and IntAct as they are downloaded, in small."""

from __future__ import annotations

import pytest

from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.datasets.published import read_labelled_table
from lcplm_graph.errors import ConfigError, DataError, LcPlmWarning
from lcplm_graph.heads.questions import read_pairs
from lcplm_graph.io import forget_warnings

FASTA = (
    ">sp|P45985|MP2K4_HUMAN\nMKT\n>sp|Q14315|FLNC_HUMAN\nMVA\n>tr|A0A1|X_HUMAN\nMGA\n"
    ">sp|P42771|CDN2A_HUMAN\nMEP\n>YAL001C x\nMWW\n"
)
BIOGRID = (
    "#BioGRID Interaction ID", "Entrez Gene Interactor A", "Entrez Gene Interactor B",
    "BioGRID ID Interactor A", "BioGRID ID Interactor B", "Systematic Name Interactor A",
    "Systematic Name Interactor B", "Official Symbol Interactor A",
    "Official Symbol Interactor B", "Synonyms Interactor A", "Synonyms Interactor B",
    "Experimental System", "Experimental System Type", "Author", "Publication Source",
    "Organism ID Interactor A", "Organism ID Interactor B", "Throughput", "Score",
    "Modification", "Qualifications", "Tags", "Source Database",
    "SWISS-PROT Accessions Interactor A", "TREMBL Accessions Interactor A",
    "REFSEQ Accessions Interactor A", "SWISS-PROT Accessions Interactor B",
    "TREMBL Accessions Interactor B", "REFSEQ Accessions Interactor B", "Ontology Term IDs",
    "Ontology Term Names", "Ontology Term Categories", "Ontology Term Qualifier IDs",
    "Ontology Term Qualifier Names", "Ontology Term Types", "Organism Name Interactor A",
    "Organism Name Interactor B",
)  # fmt: skip


def biogrid_row(a, b, kind="physical", **more):
    """Make a row of two lists of Swiss-Prot, TrEMBL, RefSeq and systematic names."""
    cells = dict.fromkeys(BIOGRID, "-") | {"#BioGRID Interaction ID": "103"}
    keys = ("SWISS-PROT Accessions", "TREMBL Accessions", "REFSEQ Accessions", "Systematic Name")
    for side, names in (("A", a), ("B", b)):
        cells |= {f"{k} Interactor {side}": n for k, n in zip(keys, names, strict=True)}
    return cells | {"Experimental System Type": kind} | more


@pytest.fixture
def biogrid(tmp_path):
    map2k4, flnc = ("P45985", "B0S8|J3K", "NP_1", "hCG_1"), ("Q14315", "-", "-", "-")
    rows = [
        biogrid_row(map2k4, flnc),
        biogrid_row(flnc, map2k4),
        biogrid_row(map2k4, flnc, "genetic"),
        biogrid_row(map2k4, flnc, **{"Experimental System": "Affinity Capture-RNA"}),
        biogrid_row(map2k4, map2k4),
        biogrid_row(("Q8N726|P42771", "-", "-", "-"), ("-", "A0A1|B2", "-", "-")),
        biogrid_row(("-", "-", "-", "YAL001C"), flnc),
        biogrid_row(("-", "-", "-", "-"), flnc),
        biogrid_row(("P99999", "-", "-", "-"), flnc),
    ]
    path = tmp_path / "BIOGRID-ALL-4.4.tab3.txt"
    lines = ["\t".join(BIOGRID), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    (tmp_path / "BIOGRID-ALL-4.4.fasta").write_text(FASTA)
    return path


def edges(dataset):
    data, ids = dataset[0], dataset.sequences.ids
    return {(ids[a], ids[b]) for a, b in data.edge_index.T.tolist() if a < b}


def test_a_file_of_biogrid(biogrid, tmp_path):
    forget_warnings()
    with pytest.warns(LcPlmWarning) as said:
        dataset = PairPPI(f"pairs:{biogrid}", root=tmp_path / "root")
    assert edges(dataset) == {
        ("sp|P45985|MP2K4_HUMAN", "sp|Q14315|FLNC_HUMAN"),
        ("tr|A0A1|X_HUMAN", "sp|P42771|CDN2A_HUMAN"),
        ("sp|Q14315|FLNC_HUMAN", "YAL001C"),
    }
    counts = {
        "rows": 9, "rna_interactions": 1, "genetic_interactions": 1, "self_pairs": 1,
        "rows_without_protein_name": 1, "rows_without_sequence": 1, "duplicates": 1,
        "positives": 3,
    }  # fmt: skip
    assert counts.items() <= dataset.report.items()
    biogrid.write_text(biogrid.read_text().removeprefix("#"))
    assert PairPPI(biogrid, root=tmp_path / "root").report == dataset.report
    dropped = next(str(one.message) for one in said if "dropped" in str(one.message))
    assert "1 genetic interactions, 1 rna interactions, 1 rows without protein name" in dropped


def test_a_file_of_biogrid_is_no_plain_table(biogrid):
    for read in (lambda path: read_pairs(path, ()), read_labelled_table):
        with pytest.raises(DataError, match=r"a file of BioGRID, .* awk -F'\\t' '\$24 \$27 !~ "):
            read(biogrid)
    text = biogrid.read_text().replace("Experimental System Type", "Type")
    biogrid.write_text(text)
    with pytest.raises(DataError, match="has no column Experimental System Type; .*TAB3"):
        PairPPI(biogrid)


def mitab_row(a, b, *, width=42, kind="physical association", negative="false", alt=("-", "-")):
    cells = ["-"] * width
    cells[:4] = [a, b, *alt]
    cells[9:11] = ["taxid:9606(human)|taxid:9606(Homo sapiens)"] * 2
    cells[11] = f'psi-mi:"MI:0915"({kind})'
    cells[14] = "author score:3|intact-miscore:0.56"
    if width > 35:
        cells[35] = negative
    return "\t".join(cells)


@pytest.mark.parametrize("width", [15, 36, 42, 46])
@pytest.mark.parametrize("header", ["#ID(s) interactor A\tID(s) interactor B\tmore\n", ""])
def test_a_file_of_intact(tmp_path, width, header):
    forget_warnings()
    p1, p2 = "uniprotkb:P45985", "uniprotkb:Q14315"
    rows = [
        mitab_row(p1, p2, width=width),
        mitab_row(p2 + "-PRO_0000012345", p1, width=width),
        mitab_row(p1, "-", width=width),
        mitab_row(p1, 'chebi:"CHEBI:15996"(gtp)', width=width),
        mitab_row(p1, "uniprotkb:P42771-2", width=width),
        mitab_row(p1, p2, width=width, kind="synthetic genetic interaction"),
        mitab_row(
            "entrez gene/locuslink:1", "entrez gene/locuslink:2", width=width,
            alt=("biogrid:7|uniprot/swiss-prot:P42771|refseq:NP_1", "uniprot/trembl:A0A1"),
        ),
    ]  # fmt: skip
    rows += [mitab_row(p1, "uniprotkb:A0A1", width=width, negative="true")] if width > 35 else []
    path = tmp_path / "human.txt"
    path.write_text(header + "\n".join(rows) + "\n")
    (tmp_path / "human.fasta").write_text(FASTA)
    with pytest.warns(LcPlmWarning, match="genetic interactions"):
        dataset = PairPPI(path, root=tmp_path / "root")
    assert edges(dataset) == {
        ("sp|P45985|MP2K4_HUMAN", "sp|Q14315|FLNC_HUMAN"),
        ("tr|A0A1|X_HUMAN", "sp|P42771|CDN2A_HUMAN"),
    }
    counts = {
        "rows": len(rows), "genetic_interactions": 1, "rows_without_protein_name": 2,
        "rows_without_sequence": 1, "duplicates": 1,
    }  # fmt: skip
    assert counts.items() <= dataset.report.items()
    assert dataset.report.get("negative_interactions") == (1 if width > 35 else None)
    with pytest.raises(ConfigError, match="mean nothing for .*human.txt: a PSI-MITAB file"):
        PairPPI(path, root=tmp_path / "root", third="score")


def test_the_miscore_is_the_score_of_a_pair(tmp_path):
    p1, p2, p3 = "uniprotkb:P45985", "uniprotkb:Q14315", "uniprotkb:P42771"
    rows = [mitab_row(p1, p2), mitab_row(p2, p1), mitab_row(p1, p3)]
    rows[1] = rows[1].replace("intact-miscore:0.56", "intact-miscore:0.81")
    path = tmp_path / "i.txt"
    path.write_text("\n".join(rows) + "\n")
    (tmp_path / "i.fasta").write_text(FASTA)
    data = PairPPI(path, root=tmp_path / "root")[0]
    assert sorted(set(data.edge_weight.tolist())) == pytest.approx([0.56, 0.81])
    strong = PairPPI(path, root=tmp_path / "root", min_score=600)
    assert edges(strong) == {("sp|P45985|MP2K4_HUMAN", "sp|Q14315|FLNC_HUMAN")}
    assert strong.report["below_score"] == 2
    rows[2] = rows[2].replace("intact-miscore", "other")
    path.write_text("\n".join(rows) + "\n")
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="1 of 3 rows have no intact-miscore"):
        data = PairPPI(path, root=tmp_path / "root")[0]
    assert set(data.edge_weight.tolist()) == {1.0}
    with pytest.raises(ConfigError, match="has none: a PSI-MITAB file whose scores cannot"):
        PairPPI(path, root=tmp_path / "root", min_score=600)


def test_scores_of_biogrid_are_not_compared(biogrid, tmp_path):
    with pytest.raises(ConfigError, match="has none: a file of BioGRID whose scores cannot"):
        PairPPI(biogrid, root=tmp_path / "root", min_score=700)
