"""What a published number needs beside it: the command, versions, what was read."""

from __future__ import annotations

import hashlib
import json
import sys

from lcplm_graph import __version__
from lcplm_graph.evaluate.shared import finish
from lcplm_graph.evaluation.report import Report
from lcplm_graph.provenance import command_line, file_checksums


def test_results_say_what_made_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lcplm", "evaluate", "link", "--graph", "pairs:my net.tsv"])
    net = tmp_path / "my net.tsv"
    net.write_text("a\tb\n")
    finish(Report("T", {"x": "X"}), "x", str(tmp_path / "out"), None, files=[str(net)])
    made = json.loads((tmp_path / "out" / "results.json").read_text())["made"]
    assert made["command"] == "lcplm evaluate link --graph 'pairs:my net.tsv'"
    assert made["versions"]["lcplm-graph"] == __version__
    assert made["sha256"] == {"my net.tsv": hashlib.sha256(b"a\tb\n").hexdigest()}


def test_files_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / name / "x.tsv" for name in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    assert set(file_checksums([*paths, tmp_path / "none"])) == set(map(str, paths))
    assert command_line(["lcplm", "a b"]) == "lcplm 'a b'"
