"""Lists of genes on command lines: screens, what is not known in them, the best rows."""

from __future__ import annotations

import pytest
from sklearn.metrics import roc_auc_score

from lcplm_graph import StringPPI, predict, score
from lcplm_graph.errors import LcPlmWarning, UnknownNameError
from lcplm_graph.heads.names import KnownProteins
from lcplm_graph.heads.ppi_scorer import PPIScorer
from lcplm_graph.io import forget_warnings
from lcplm_graph.predict.asked import asked_proteins

VIRAL = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQ"


@pytest.fixture(scope="module")
def known():
    graph = StringPPI("string_human_core")
    return KnownProteins(graph.sequences, graph.names, "string_human_core")


@pytest.fixture(scope="module")
def scorer():
    return PPIScorer.from_pretrained()


@pytest.fixture(autouse=True)
def loaded_once(scorer, monkeypatch):
    monkeypatch.setattr(score, "_scorer", lambda options: scorer)


@pytest.fixture
def genes(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("gene\nTP53\nNOSUCHGENE\nMDM2\nSEPT99\nRBX1\nCUL1\n")
    return path


def table(path):
    return [line.split("\t") for line in path.read_text().splitlines()[1:]]


def test_a_screen_of_a_fasta_file_and_a_list_of_genes_is_ranked(tmp_path, genes, capsys):
    fasta, out = tmp_path / "viral.fasta", tmp_path / "screen.tsv"
    fasta.write_text(f">sp|P1|V_X\n{VIRAL}\n>v2\n{VIRAL[::-1]}\n")
    words = [str(fasta), str(genes), "--out", str(out)]
    assert score.main(words) == 1
    told = capsys.readouterr().err
    assert "2 of 8 names stand for no protein: 'NOSUCHGENE', 'SEPT99'" in told
    assert "--skip-unknown" in told
    forget_warnings()
    left_out = "left out, as they stand for no protein: 2 of 8: NOSUCHGENE, SEPT99"
    with pytest.warns(LcPlmWarning, match=left_out):
        assert score.main([*words, "--skip-unknown"]) == 0
    assert "8 pairs; written" in capsys.readouterr().out
    every = table(out)
    assert {row[1] for row in every} == {"TP53", "MDM2", "RBX1", "CUL1"}
    ranked = sorted(every, key=lambda row: -float(row[2]))
    assert score.main([*words, "--skip-unknown", "--top", "3"]) == 0
    assert "3 of 8 pairs; written" in capsys.readouterr().out
    assert table(out) == ranked[:3]
    least = ranked[2][2]
    assert score.main([*words, "--skip-unknown", "--threshold", least]) == 0
    assert table(out) == [row for row in every if float(row[2]) >= float(least)]
    capsys.readouterr()
    assert score.main([*words[:2], "--skip-unknown", "--top", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()[1:]
    assert [row.split("\t")[:2] for row in printed] == [row[:2] for row in ranked[:2]]


def test_a_list_with_itself_gives_each_pair_once(tmp_path, capsys):
    (tmp_path / "g.txt").write_text("RBX1\nCUL1\nTP53\n")
    assert score.main([str(tmp_path / "g.txt")] * 2) == 0
    rows = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["RBX1", "CUL1"], ["RBX1", "TP53"], ["CUL1", "TP53"]]


def test_a_short_unknown_word_of_a_list_is_no_sequence(tmp_path, capsys):
    (tmp_path / "g.txt").write_text("NOGENE\n")
    assert score.main([str(tmp_path / "g.txt"), "TP53"]) == 1
    assert "'NOGENE' is not a name known here" in capsys.readouterr().err


def test_gene_names_of_uniprot_headers_are_names(tmp_path, capsys):
    fasta = tmp_path / "up.fasta"
    fasta.write_text(
        f">sp|P0A|A_X One protein OS=X OX=1 GN=abcA PE=1\n{VIRAL}\n>sp|P0B|B_X GN=TP53\n"
        f"{VIRAL[::-1]}\n"
    )
    (tmp_path / "g.txt").write_text("abcA\nTP53\n")
    forget_warnings()
    words = [str(tmp_path / "g.txt"), "MDM2", "--sequences", str(fasta)]
    # Only MDM2 is lent by the human data: TP53 is the file's own.
    with pytest.warns(LcPlmWarning, match=r"'MDM2' \(1 of 3 names\)"):
        assert score.main(words) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == ["abcA", "TP53"]
    (tmp_path / "p.tsv").write_text("abcA\tP0B\nabcA\tTP53\n")
    words = ["--pairs", str(tmp_path / "p.tsv"), "--sequences", str(fasta)]
    assert score.main(words) == 0
    first, second = (row.split("\t") for row in capsys.readouterr().out.splitlines()[1:])
    assert first[2] == second[2]


def test_all_that_is_unknown_is_said_at_once(genes, known):
    with pytest.raises(UnknownNameError, match=r"2 of 6 names.*'SEPT99'.*--skip-unknown"):
        asked_proteins([str(genes)], lambda: known)
    forget_warnings()
    with pytest.warns(LcPlmWarning, match="2 of 6: NOSUCHGENE, SEPT99"):
        store = asked_proteins([str(genes)], lambda: known, skip_unknown=True)
    assert store.ids == ["TP53", "MDM2", "RBX1", "CUL1"]
    with pytest.raises(UnknownNameError, match="2 of 2 names"):
        asked_proteins(["NOGENE1", "NOGENE2"], lambda: known, skip_unknown=True)


@pytest.mark.parametrize(
    "command", [["partners", "TP53"], ["edges"], ["function", "TP53"], ["score", "TP53", "MDM2"]]
)
def test_a_threshold_is_a_probability(tmp_path, capsys, command):
    run = score.main if command[0] == "score" else predict.main
    words = command[1:] if command[0] == "score" else command
    assert run([*words, "--threshold", "1.5", "--out", str(tmp_path / "o.tsv")]) == 1
    assert "--threshold 1.5: a probability is from 0 to 1" in capsys.readouterr().err


def test_a_list_that_is_missing_is_called_so(tmp_path, known):
    with pytest.raises(Exception, match="no such file"):
        asked_proteins([str(tmp_path / "genes.txt")], lambda: known)


def test_an_assay_is_compared_with_the_scores(tmp_path, capsys):
    table = tmp_path / "assay.tsv"
    rows = ["TP53\tMDM2\t1", "RNF7\tCUL2\t1", "RBX1\tCUL1\t1", "GRB2\tRB1\t0", "TP53\tRB1\t0"]
    table.write_text("\n".join(["mine\tother\tbinds", *rows]) + "\n")
    assert score.main(["--pairs", str(table), "--label", "binds"]) == 0
    out, err = capsys.readouterr()
    # RNF7 and CUL2 are a training pair.
    assert "4 labelled pairs, 2 of which interact (left out: 1 that the scorer" in err
    by_pair = {
        tuple(row.split("\t")[:2]): float(row.split("\t")[2]) for row in out.splitlines()[1:]
    }
    assert list(by_pair) == [tuple(row.split("\t")[:2]) for row in rows]
    measured = [
        (int(row[-1]), by_pair[tuple(row.split("\t")[:2])]) for row in rows if "RNF7" not in row
    ]
    area = roc_auc_score(*zip(*measured, strict=True))
    assert f"AUROC {area:.3f}" in err and "(by chance 0.500)" in err
    for column, rest, said in (
        ("label", [], "no column 'label'; the header has mine, other, binds"),
        ("binds", ["TP53\tRB1\t1"], "line 7: this pair was there with the other label"),
        ("binds", ["TP53\tRB1\tyes"], "line 7: a line has 0 or 1"),
    ):
        table.write_text("\n".join(["mine\tother\tbinds", *rows, *rest]) + "\n")
        assert score.main(["--pairs", str(table), "--label", column]) == 1
        assert said in capsys.readouterr().err
    assert score.main(["TP53", "MDM2", "--label", "binds"]) == 1
    assert "--label is a column of --pairs" in capsys.readouterr().err
