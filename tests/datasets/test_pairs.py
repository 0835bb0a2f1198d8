"""`PairPPI`: what it keeps, drops and says."""

from __future__ import annotations

import gzip
import lzma
import re
from typing import ClassVar

import pandas as pd
import pytest
from cases.dataset import PPIDatasetCase

from lcplm_graph.datasets.pair_table import read_pairs
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.errors import ConfigError, DataError, InputError, LcPlmWarning
from lcplm_graph.io import forget_warnings

FASTA = ">a\nMKT\n>b\nMV\n>c\nMV\n>d\nMA\n>e\nMG\n"
PAIRS = "a\tb\t1\nb\ta\t1\na\tc\t1.0\na\ta\t1\nb\tc\t0\nc\tb\t1\nc\td\t0\na\tx\t1\nd\ty\t0\n"


def make(tmp_path, pairs=PAIRS, **options):
    (tmp_path / "mine.tsv").write_text(pairs)
    (tmp_path / "mine.fasta").write_text(FASTA)
    return PairPPI(tmp_path / "mine.tsv", root=tmp_path / "root", **options)


class TestPairPPI(PPIDatasetCase):
    split_options: ClassVar = {"valid": 0.3, "test": 0.3}

    @pytest.fixture
    def dataset(self, tmp_path):
        ends = [(i, (i + step) % 60) for i in range(60) for step in (1, 2, 5)]
        (tmp_path / "ring.tsv").write_text("".join(f"p{a}\tp{b}\n" for a, b in ends))
        text = "".join(f">p{i}\nMK{'ACDEFGHIKL'[i % 10] * (i + 1)}\n" for i in range(60))
        (tmp_path / "ring.fasta").write_text(text)
        return PairPPI(tmp_path / "ring.tsv", root=tmp_path / "root")


def test_dirt_is_counted_and_said(tmp_path):
    forget_warnings()
    with pytest.warns(LcPlmWarning) as said:
        dataset = make(tmp_path)
    assert "2 rows without sequence, 1 self pairs, 2 duplicates, 1 contradictory" in str(
        said[0].message
    )
    assert "2 ids share a sequence" in str(said[1].message)
    report = dataset.report
    assert report == {
        "rows": 9,
        "published_positives": 6,
        "published_negatives": 3,
        "ids_without_sequence": 2,
        "rows_without_sequence": 2,
        "self_pairs": 1,
        "contradictory_pairs": 1,
        "duplicates": 2,
        "proteins": 4,
        "ids_sharing_a_sequence": 2,
        "positives": 2,
        "negatives": 1,
    }
    kept = report["positives"] + report["negatives"]
    lost = ("rows_without_sequence", "self_pairs", "contradictory_pairs", "duplicates")
    assert kept + sum(report[name] for name in lost) == report["rows"]
    data = dataset[0]
    assert data.protein_id == ["a", "b", "c", "d"]
    assert data.edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]
    assert data.neg_edge_index.tolist() == [[2], [3]]
    assert dataset.sequences.ids == data.protein_id


def test_a_pair_that_comes_again_has_its_highest_score(tmp_path):
    (tmp_path / "p.tsv").write_text("c\ta\t0.25\na\tc\t0.75\nb\ta\t0.5\na\tc\t0.5\n")
    (tmp_path / "p.fasta").write_text(">a\nMK\n>b\nMV\n>c\nMA\n")
    dataset = PairPPI(tmp_path / "p.tsv", root=tmp_path / "cache")
    assert dataset[0].edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]
    assert dataset[0].edge_weight.tolist() == [0.5, 0.75, 0.5, 0.75]
    assert dataset.report["duplicates"] == 2


def test_a_table_in_memory_is_sent_elsewhere():
    with pytest.raises(InputError, match="a file here, not a DataFrame; from_dataframe"):
        PairPPI(pd.DataFrame({"a": ["x"], "b": ["y"]}))


def test_scores_and_two_columns(tmp_path):
    scored = make(tmp_path, "protein1\tprotein2\tscore\na\tb\t0.5\nb\ta\t0.75\nc\td\t0.25\n")
    assert scored[0].edge_weight.tolist() == [0.75, 0.75, 0.25, 0.25]
    assert scored[0].neg_edge_index.shape == (2, 0)
    plain = make(tmp_path, "a\tb\r\nc\td\r\n")
    assert plain[0].edge_weight.tolist() == [1, 1, 1, 1]
    assert "published_positives" not in plain.report


def test_all_proteins_and_name_with_prefix(tmp_path):
    make(tmp_path, "a\tb\nc\td\n")
    name = f"pairs:{tmp_path / 'mine.tsv'}"
    dataset = PairPPI(name, all_proteins=True, root=tmp_path / "root")
    assert dataset[0].protein_id == ["a", "b", "c", "d", "e"]
    assert dataset.split("random", valid=0.0, test=0.5).counts()["test"] == 1


def test_what_is_missing_is_said(tmp_path):
    (tmp_path / "alone.tsv").write_text(PAIRS)
    with pytest.raises(InputError, match=r"FASTA file of .*none is beside it"):
        PairPPI(tmp_path / "alone.tsv", root=tmp_path)
    with pytest.raises(ConfigError, match="'weight'"):
        make(tmp_path, third="weight")


@pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")
def test_pairs_of_dscript(benchmarks, tmp_path):
    table, fasta = (
        benchmarks.file(f"dscript_yeast/{n}") for n in ("yeast_test.tsv", "yeast.fasta")
    )
    dataset = PairPPI(table, fasta, root=tmp_path)
    report = dataset.report
    published = (report["published_positives"], report["published_negatives"])
    assert published == ((5000, 50000) if benchmarks.whole else (6, 6))
    proteins = 5664 if benchmarks.whole else 6
    assert report["proteins"] == dataset[0].num_nodes == proteins
    dirt = tuple(report[name] for name in ("duplicates", "contradictory_pairs", "self_pairs"))
    # Both rows of a contradictory pair go; the second counts among the duplicates.
    assert dirt == ((32, 4, 5) if benchmarks.whole else (3, 1, 1))
    assert dataset[0].edge_index.shape[1] == 2 * report["positives"]
    assert dataset[0].neg_edge_index.shape[1] == report["negatives"]
    assert report["positives"] + report["negatives"] == sum(published) - sum(dirt)


def test_links_of_string_as_pairs(benchmarks, tmp_path):
    text = benchmarks.file("string_shs27k/links.tsv").read_text().splitlines()
    rows = [line.split(" ") for line in text[1:]]
    table = tmp_path / "links.tsv"
    table.write_text("".join(f"{a}\t{b}\t{int(score) / 1000}\n" for a, b, score in rows))
    fasta = benchmarks.file("string_shs27k/proteins.fasta")
    dataset = PairPPI(table, fasta, root=tmp_path, third="score")
    size = (dataset[0].num_nodes, dataset[0].edge_index.shape[1])
    assert size == ((1690, 2 * 7624) if benchmarks.whole else (4, 2 * 4))
    if not benchmarks.whole:
        ends = [[0, 0, 1, 1, 2, 2, 2, 3], [1, 2, 0, 2, 0, 1, 3, 2]]
        assert dataset[0].edge_index.tolist() == ends
        weights = [0.171, 0.933, 0.171, 0.4, 0.933, 0.4, 1.0, 1.0]
        assert dataset[0].edge_weight.tolist() == pytest.approx(weights)


def test_a_bad_label_in_the_first_row_is_no_header(tmp_path):
    for label in ("yes", "?", "l", "x"):
        with pytest.raises(
            DataError, match=f"line 1: {re.escape(repr(label))} is not a label.*a header has usual"
        ):
            read_pairs(write(tmp_path, f"P1\tP2\t{label}\nP1\tP3\t1\n"))
    with pytest.raises(DataError, match="line 1: '' is not a label"):
        read_pairs(write(tmp_path, "P1\tP2\t\nP1\tP3\t1\n"))


@pytest.mark.parametrize(
    "header",
    ["protein1\tprotein2\tlabel", "idA\tidB\tinteraction", "x\ty\tlabel", "#a comment\twith tab"],
)
def test_headers_and_comments_are_no_rows(tmp_path, header):
    table, kind = read_pairs(write(tmp_path, f"\ufeff{header}\rP1\tP2 \t1\r\n\n#P8\tP9\nP3\tP4\t0"))
    assert table.to_dict("list") == {"a": ["P1", "P3"], "b": ["P2", "P4"], "value": [1, 0]}
    assert kind == "label"
    two, kind = read_pairs(write(tmp_path, "protein_A\tprotein_B\nP1\tP2\n"))
    assert (two["a"].tolist(), kind) == (["P1"], "none")


def test_proteins_named_as_columns_are_rows_when_a_label_follows(tmp_path):
    table, _ = read_pairs(write(tmp_path, "protein1\tprotein2\t1\nprotein2\tprotein3\t0\n"))
    assert table["a"].tolist() == ["protein1", "protein2"]


def write(folder, text):
    path = folder / "x.tsv"
    path.write_bytes(text.encode())
    return path


LINKS = (
    "protein1 protein2 neighborhood experimental combined_score\n"
    "9.a 9.b 0 900 950\n9.b 9.a 0 900 950\n9.b 9.d 40 0 400\n9.d 9.b 40 0 401\n9.a 9.x 0 0 999\n"
)


def string_files(tmp_path, links=LINKS):
    path = tmp_path / "9.protein.links.detailed.v12.0.txt.gz"
    path.write_bytes(gzip.compress(links.encode()))
    fasta = tmp_path / "9.protein.sequences.v12.0.fa.gz"
    fasta.write_bytes(gzip.compress(FASTA.replace(">", ">9.").encode()))
    return path


def test_links_of_string_are_read_as_they_are_downloaded(tmp_path):
    forget_warnings()
    path = string_files(tmp_path)
    with pytest.warns(LcPlmWarning) as said:
        dataset = PairPPI(f"pairs:{path}", root=tmp_path / "root")
    data = dataset[0]
    assert data.protein_id == ["9.a", "9.b", "9.d"]
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert data.edge_weight.tolist() == pytest.approx([0.95, 0.95, 0.401, 0.401])
    assert (dataset.report["rows"], dataset.report["duplicates"]) == (5, 0)
    assert "of 5 rows, dropped 1 rows without sequence" in str(said[0].message)
    assert "1 contradictory pairs, the highest score of each is kept" in str(said[1].message)
    high = PairPPI(path, min_score=700, root=tmp_path / "root")
    assert (high[0].protein_id, high.report["below_score"]) == (["9.a", "9.b"], 2)
    path = path.rename(path.with_name("9.protein.physical.links.700.v12.0.txt.gz"))
    channel = PairPPI(path, score="experimental", root=tmp_path / "root")
    assert channel[0].edge_weight.tolist() == pytest.approx([0.9, 0.9])


@pytest.mark.filterwarnings("ignore::lcplm_graph.errors.LcPlmWarning")
def test_options_that_mean_nothing_for_links_of_string(tmp_path):
    path = string_files(tmp_path)
    for options in ({"third": "label"}, {"scale": 500}):
        with pytest.raises(ConfigError, match="mean nothing for .*: it has scores of STRING"):
            PairPPI(path, root=tmp_path, **options)
    with pytest.raises(ConfigError, match="min_score 1001 is not between 0 and 1000"):
        PairPPI(path, min_score=1001, root=tmp_path)
    with pytest.raises(DataError, match="no link is left with combined_score 960 or more: 5 rows"):
        PairPPI(path, min_score=960, root=tmp_path)
    with pytest.raises(DataError, match="no column fusion in the header"):
        PairPPI(path, score="fusion", root=tmp_path)
    with pytest.raises(DataError, match="line 2: combined_score '0.9' is not a whole number"):
        PairPPI(string_files(tmp_path, LINKS.replace("950", "0.9")), root=tmp_path)


def test_a_lowest_score_of_any_table(tmp_path):
    table = make(tmp_path, "a,b,0.7\nb,d,0.699\n", min_score=700)
    assert (table[0].protein_id, table.report["below_score"]) == (["a", "b"], 1)
    with pytest.raises(ConfigError, match="min_score is of scores, of which .* has none"):
        make(tmp_path, "a,b\n", min_score=700)


def test_the_fasta_file_beside_has_the_longest_part_of_the_name(tmp_path):
    (tmp_path / "net.v2.tsv").write_text("a\tb\n")
    (tmp_path / "net.faa.xz").write_bytes(lzma.compress(FASTA.encode()))
    assert len(PairPPI(tmp_path / "net.v2.tsv", root=tmp_path / "r").sequences) == 2
    (tmp_path / "net.v2.fa").write_text(">a\nMKV\n>b\nMV\n")
    assert PairPPI(tmp_path / "net.v2.tsv", root=tmp_path / "r").sequences[0] == "MKV"
    (tmp_path / "net.v2.fasta").write_text(FASTA)
    with pytest.raises(InputError, match="several are beside it"):
        PairPPI(tmp_path / "net.v2.tsv", root=tmp_path / "r")


def test_scores_of_other_scales(tmp_path):
    scores = "a\tb\t900\nb\td\t1\n"
    with pytest.raises(DataError, match=r"here it is 900; give scale=1000 .* or divide"):
        make(tmp_path, scores)
    weights = make(tmp_path, scores, scale=1000)[0].edge_weight
    assert sorted(set(weights.tolist())) == pytest.approx([0.001, 0.9])
    labels = make(tmp_path, "a\tb\t1\n", scale=1000)
    assert labels[0].edge_weight.tolist() == pytest.approx([0.001, 0.001])
    with pytest.raises(DataError, match=r"a score in \[0, 500\], here it is 900"):
        make(tmp_path, scores, scale=500)
    with pytest.raises(
        ConfigError, match="scale is the highest score there can be, as 1000, not 0"
    ):
        make(tmp_path, scores, scale=0)
