"""Which proteins a command asks about: files with long paths, genes that make one protein."""

from __future__ import annotations

import pytest

from lcplm_graph import StringPPI, evaluate, predict, score
from lcplm_graph.errors import DataError, LcPlmWarning
from lcplm_graph.heads.names import KnownProteins
from lcplm_graph.io import forget_warnings
from lcplm_graph.predict.asked import asked_proteins, nodes_of
from lcplm_graph.proteins.store import SequenceStore


@pytest.fixture(scope="module")
def graph():
    return StringPPI("string_human_core")


def test_a_gene_is_answered_for_though_another_makes_the_same_protein(graph):
    known = KnownProteins(graph.sequences, graph.names, "string_human_core")
    names = ["CHRFAM7A", "CHRNA7", "TP53"]
    store = asked_proteins(names, lambda: known)
    assert nodes_of(graph, store).tolist() == [graph.node(name) for name in names]


def test_a_sequence_of_several_genes_is_told(graph):
    forget_warnings()
    both = sorted(graph.node(name) for name in ("CHRFAM7A", "CHRNA7"))
    assert len({graph.sequences[node] for node in both}) == 1
    store = SequenceStore.from_records(["new", "other"], [graph.sequences[both[0]], "MKTAYIAK"])
    with pytest.warns(LcPlmWarning, match="1 of 2 sequences are of several proteins.*new: 9606"):
        assert nodes_of(graph, store).tolist() == [both[0], -1]


def test_paths_of_any_length_are_files(tmp_path, graph, capsys):
    folder = tmp_path / ("a" * 120) / ("b" * 120) / ("c" * 120)
    folder.mkdir(parents=True)
    path = folder / "proteins.fasta"
    path.write_text(">one\nMKTAYIAKQRQISFVKSHFSRQ\n>two\nMVLSPADKTNVKAAWGKVGAHA\n")
    assert asked_proteins([str(path)], pytest.fail).ids == ["one", "two"]
    assert score.main([str(path), str(path)]) == 0
    assert capsys.readouterr().out.count("one\ttwo") == 1


def test_a_record_called_like_another_protein_is_refused(tmp_path, graph):
    path = tmp_path / "mouse.fasta"
    path.write_text(">TP53\nMKTAYIAKQRQISFVKSHFSRQ\n")
    known = KnownProteins(graph.sequences, graph.names, "string_human_core")
    with pytest.raises(DataError, match="'TP53' is a protein that is known here, and a record of"):
        asked_proteins([str(path), "TP53"], lambda: known)


def test_a_protein_under_two_names_is_answered_once(tmp_path, graph):
    forget_warnings()
    known = KnownProteins(graph.sequences, graph.names, "string_human_core")
    sequence = graph.sequences[graph.node("TP53")]
    path = tmp_path / "mine.fasta"
    path.write_text(f">sp|P04637|P53_HUMAN\n{sequence}\n")
    with pytest.warns(LcPlmWarning, match=r"answered once: 'TP53' is sp\|P04637\|P53_HUMAN, 'MEEP"):
        store = asked_proteins([str(path), "TP53", "MDM2", sequence], lambda: known)
    assert store.ids == ["sp|P04637|P53_HUMAN", "MDM2"]
    assert asked_proteins(["TP53", "P04637"], lambda: known).ids == ["TP53"]
    # Two genes make this one, so its name does not tell which of them is asked for.
    path.write_text(f">new\n{graph.sequences[graph.node('CHRNA7')]}\n")
    store = asked_proteins([str(path), "CHRNA7", "CHRFAM7A"], lambda: known)
    assert store.ids == ["new", "CHRNA7", "CHRFAM7A"]


@pytest.mark.parametrize("command", ["edges", "partners"])
def test_no_rows_are_refused_before_anything_is_trained(tmp_path, capsys, command):
    words = ["TP53"] if command == "partners" else []
    assert predict.main([command, *words, "--top", "0", "--out", str(tmp_path / "o.tsv")]) == 1
    assert "--top must be at least 1, not 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sequences", "x.fasta"], "--sequences goes with --annotations"),
        (["--annotations", "x.gaf"], "--annotations needs --ontology"),
        (["--annotations", "x.gaf", "--ontology", "go.obo", "--data", "goa_human"], "give one of"),
    ],
)
def test_annotations_come_with_their_ontology(tmp_path, capsys, more, said):
    assert predict.main(["function", "TP53", "--out", str(tmp_path / "o.tsv"), *more]) == 1
    assert said in capsys.readouterr().err
    assert evaluate.main(["function", "--out", str(tmp_path / "out"), *more]) == 1
    assert said in capsys.readouterr().err


def test_a_current_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert score.main(["TP53", "MDM2", "--out", "x.tsv"]) == 1
    assert "relative to the current folder, which is gone" in capsys.readouterr().err
