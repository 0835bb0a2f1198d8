"""What ``--graph`` and ``--min-score`` take, on every command line that has them."""

from __future__ import annotations

import pytest

from lcplm_graph import evaluate, predict, stage2
from lcplm_graph.datasets.load import load_graph
from lcplm_graph.errors import ConfigError, UnknownNameError


@pytest.fixture
def pairs(tmp_path):
    (tmp_path / "n.tsv").write_text("a\tb\t0.9\nb\tc\t0.4\na\tc\t0.7\n")
    (tmp_path / "n.fasta").write_text(">a\nMKTAYIAK\n>b\nMVLSPADK\n>c\nMGAGLLSR\n")
    return f"pairs:{tmp_path / 'n.tsv'}"


def test_weak_links_are_left_out(pairs):
    assert load_graph(pairs)[0].num_edges == 6
    assert load_graph(pairs, 700)[0].num_edges == 4
    assert load_graph("string_human_core", 900)[0].num_nodes == 7728


@pytest.mark.parametrize(
    ("least", "said"),
    [
        (0.7, "0.7: scores are in thousandths here, as STRING has them; give 700"),
        (700.5, "give a whole number"),
        (1001, "not between 0 and 1000"),
    ],
)
def test_a_score_is_in_thousandths(pairs, least, said):
    with pytest.raises(ConfigError, match=said):
        load_graph(pairs, least)


def test_every_command_with_a_graph_takes_it(tmp_path, pairs, capsys):
    out = str(tmp_path / "o.tsv")
    for run, words in (
        (predict, ["edges", "--graph", pairs, "--out", out]),
        (predict, ["partners", "a", "--graph", pairs, "--out", out]),
        (evaluate, ["link", "--graph", pairs, "--out", str(tmp_path / "e")]),
        (stage2, ["--graph", pairs, "--steps", "1", "--out", str(tmp_path / "s")]),
    ):
        assert run.main([*words, "--min-score", "0.7"]) == 1
        assert "give 700" in capsys.readouterr().err
    words = ["--graph", "string:1,string:2", "--out", str(tmp_path / "t"), "--steps", "1"]
    assert stage2.main([*words, "--min-score", "700"]) == 1
    assert "--min-score is of one graph" in capsys.readouterr().err


def test_a_file_without_its_kind_is_called_so(pairs):
    with pytest.raises(UnknownNameError, match=r"n.tsv' is a file, not a dataset; .* is pairs:/"):
        load_graph(pairs.removeprefix("pairs:"))
