"""A ``-`` on the command line: read where a file may be, one sentence where it may not."""

from __future__ import annotations

import gzip
import io
import sys
from types import SimpleNamespace

import h5py
import pytest

from lcplm_graph import embed, finetune, map, predict, score
from lcplm_graph.predict.asked import asked_proteins

FASTA = b">a\nMKTAYIAKQRQISFVKSHFSRQ\n>b\nMVLSPADKTNVKAAWGKVGAHA\n"


@pytest.fixture
def send(monkeypatch):
    def sent(content: bytes, terminal: bool = False) -> None:
        stream = SimpleNamespace(buffer=io.BytesIO(content), closed=False, isatty=lambda: terminal)
        monkeypatch.setattr(sys, "stdin", stream)

    return sent


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_proteins_are_embedded_from_standard_input(tmp_path, send, pack):
    send(pack(FASTA))
    out = tmp_path / "x.h5"
    assert embed.main(["-", "--encoder", "composition", "--out", str(out)]) == 0
    with h5py.File(out) as file:
        assert {"a", "b"} <= set(file)


def test_pairs_are_scored_from_standard_input(tmp_path, send, capsys):
    send(b"query,partner\na,b\n")
    (tmp_path / "p.fasta").write_bytes(FASTA)
    given = ["--pairs", "-", "--sequences", str(tmp_path / "p.fasta")]
    assert score.main(given) == 0
    assert "\na\tb\t" in capsys.readouterr().out
    send(FASTA)
    assert score.main(["-", "TP53", "--out", str(tmp_path / "o.tsv")]) == 0
    assert "2 pairs" in capsys.readouterr().out


def test_partners_of_what_is_sent(tmp_path, send, monkeypatch):
    asked = []
    monkeypatch.setattr("lcplm_graph.datasets.load.load_graph", lambda name, min_score: None)

    def stop(texts, known, skip_unknown):
        asked.extend(asked_proteins(texts, known).ids)
        raise KeyboardInterrupt

    monkeypatch.setattr("lcplm_graph.predict.links.asked_proteins", stop)
    send(FASTA)
    assert predict.main(["partners", "-", "--out", str(tmp_path / "o.tsv")]) == 130
    assert asked == ["a", "b"]


def test_faults_of_what_is_sent_have_their_line(tmp_path, send, capsys):
    send(b">a\nMK\n>b\nM1\n")
    assert embed.main(["-", "--encoder", "composition", "--out", str(tmp_path / "x.h5")]) == 1
    assert "standard-input, line 4, record 'b'" in capsys.readouterr().err


def test_where_it_cannot_be_read_a_sentence_says_so(tmp_path, send, capsys):
    def told(run, *words, out="out"):
        assert run.main([*words, "--out", str(tmp_path / out)]) == 1
        return capsys.readouterr().err

    send(FASTA)
    assert "- is given 2 times, and standard input can be read once" in told(
        score, "--pairs", "-", "--sequences", "-"
    )
    send(b"", terminal=True)
    assert "- is standard input, and nothing is sent to it" in told(
        embed, "-", "--encoder", "composition", out="x.h5"
    )
    unread = "standard input is not read here; save it to a file first"
    assert unread in told(predict, "edges", "--graph", "pairs:-", out="o.tsv")
    assert unread in told(finetune, "-")
    assert unread in told(map, "-", out="x.png")
