"""Annotation files: GAF 2.1 and 2.2, tables, choices by evidence and date."""

from __future__ import annotations

import gzip

import pytest

from lcplm_graph.errors import DataError, InputError, LcPlmWarning, UnknownNameError
from lcplm_graph.go.annotations import EXPERIMENTAL, evidence_codes, read_annotations
from lcplm_graph.io import forget_warnings


def gaf_line(protein, term, evidence="IDA", aspect="F", qualifier="enables", date="20200101"):
    cells = ["UniProtKB", protein, "SYM", qualifier, term, "PMID:1", evidence, "", aspect]
    cells += ["a name", "alias", "protein", "taxon:9606", date, "UniProt", "", ""]
    return "\t".join(cells) + "\n"


GAF = (
    "!gaf-version: 2.2\n!generated-by: test\n"
    + gaf_line("P1", "GO:0000001")
    + gaf_line("P1", "GO:0000002", "IPI", date="20210101")
    + "! a comment among the lines\n"
    + gaf_line("P2", "GO:0000003", "IEA", "P", "NOT|involved_in")
    + gaf_line("P2", "GO:0000004", "TAS", "C", "located_in", "20220202")
    + gaf_line("P3", "GO:0000004", "HDA", "C", "", "20230303")
)


@pytest.mark.parametrize("qualifier", ["NOT|involved_in", "NOT", "contributes_to|NOT"])
def test_gaf(tmp_path, qualifier):
    path = tmp_path / "goa.gaf.gz"
    path.write_bytes(gzip.compress(GAF.replace("NOT|involved_in", qualifier).encode()))
    found = read_annotations(path)
    assert found.counts["annotations"] == 5
    assert found.counts["negated"] == 1
    assert found.table["protein"].tolist() == ["P1", "P1", "P2", "P3"]
    assert found.table["aspect"].tolist() == ["MF", "MF", "CC", "CC"]
    assert found.table["date"].tolist() == [20200101, 20210101, 20220202, 20230303]
    chosen = found.select()
    assert chosen.table["evidence"].tolist() == ["IDA", "HDA"]
    assert chosen.counts["other_evidence"] == 2
    assert found.select("cafa").table["evidence"].tolist() == ["IDA", "TAS", "HDA"]
    assert found.select("all", since=20210101, until=20220202).table["evidence"].tolist() == [
        "IPI",
        "TAS",
    ]


def test_gaf_with_a_qualifier_that_only_contains_the_letters(tmp_path):
    path = tmp_path / "goa.gaf"
    path.write_text("!gaf-version: 2.1\n" + gaf_line("P1", "GO:0000001", qualifier="denoted_by"))
    assert read_annotations(path).counts["negated"] == 0


def test_gaf_of_15_columns_and_crlf(tmp_path):
    path = tmp_path / "goa.gaf"
    line = "\t".join(gaf_line("P1", "GO:0000001").rstrip("\n").split("\t")[:15])
    path.write_bytes(f"!gaf-version: 2.0\r\n{line}\r\n".encode())
    assert read_annotations(path).table["go_id"].tolist() == ["GO:0000001"]


@pytest.mark.parametrize(
    "text",
    [
        "P1\tGO:0000001,GO:0000002\nP2\tGO:0000003\n",
        "protein\tgo_id\nP1\tGO:0000001, GO:0000002\nP2\tGO:0000003\n",
        "EntryID\tterm\taspect\nP1\tGO:0000001\tBPO\nP1\tGO:0000002\tBPO\nP2\tGO:0000003\tMFO\n",
    ],
)
def test_tables(tmp_path, text):
    forget_warnings()
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    found = read_annotations(path)
    pairs = list(zip(found.table["protein"], found.table["go_id"], strict=True))
    assert pairs == [("P1", "GO:0000001"), ("P1", "GO:0000002"), ("P2", "GO:0000003")]
    if "aspect" in text:
        assert found.table["aspect"].tolist() == ["BP", "BP", "MF"]
    with pytest.warns(LcPlmWarning, match="without evidence codes"):
        assert len(found.select().table) == 3
    with pytest.raises(InputError, match="dates"):
        found.select("all", until=20200101)


def test_evidence_sets():
    assert evidence_codes("experimental") == EXPERIMENTAL
    assert "IPI" not in evidence_codes("cafa")
    with pytest.raises(UnknownNameError, match="'exp'"):
        evidence_codes("exp")
    with pytest.raises(UnknownNameError, match="XYZ"):
        evidence_codes(["IDA", "XYZ"])


def test_annotations_of_2022(benchmarks):
    found = read_annotations(benchmarks.file("go_temporal/human_exp_2022.tsv"))
    per_aspect = found.table.groupby("aspect")["protein"].nunique().to_dict()
    only_binding = found.table[found.table["aspect"] == "MF"].groupby("protein")["go_id"]
    only_binding = int((only_binding.agg(set) == {"GO:0005515"}).sum())
    if benchmarks.whole:
        assert (per_aspect, only_binding) == ({"BP": 9503, "CC": 11257, "MF": 13643}, 4646)
    else:
        assert (per_aspect, only_binding) == ({"BP": 3, "CC": 2, "MF": 5}, 2)


def test_each_row_stands_for_itself(tmp_path):
    """Comments with tabs, rows of 15 to 17 columns, old codes, and line ends of any system."""
    short = "\t".join(gaf_line("P2", "GO:0000001").split("\t")[:15])
    path = tmp_path / "goa.gaf"
    path.write_bytes(
        b"\xef\xbb\xbf!gaf-version: 2.2\r"
        + gaf_line("P1", "GO:0000001").strip().encode()
        + b"\t\t\r!"
        + gaf_line("P9", "GO:0000001").encode()
        + short.encode()
        + b"\r\n"
        + gaf_line("P3", "GO:0000002", "NR").encode()
        + gaf_line("P4", "GO:0000003", "IMR").encode()
    )
    found = read_annotations(path)
    assert found.table["protein"].tolist() == ["P1", "P2", "P3", "P4"]
    assert found.table["evidence"].tolist() == ["IDA", "IDA", "NR", "IMR"]
    assert found.select().table["protein"].tolist() == ["P1", "P2"]


@pytest.mark.parametrize(
    "qualifier",
    ["NOT |enables", "NOT| enables", " not", "contributes_to | NOT", "NOT enables", "Not|enables"],
)
def test_negation_with_blanks_is_negation(tmp_path, qualifier):
    path = tmp_path / "goa.gaf"
    path.write_text(gaf_line("P1", "GO:0000001", qualifier=qualifier))
    found = read_annotations(path)
    assert found.counts["negated"] == 1
    assert found.table.empty


def test_a_faulty_first_row_of_gaf_is_named_as_such(tmp_path):
    path = tmp_path / "goa.gaf"
    path.write_text(gaf_line("P1", "GO-0000001"))
    with pytest.raises(DataError, match="line 1, record 'P1': a GO id is .* 'GO-0000001'"):
        read_annotations(path)
