"""The page of a report: whole in one file, best rows marked, nothing taken for markup."""

from __future__ import annotations

import re
import shlex
import weakref
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lcplm_graph import load_encoder, score
from lcplm_graph.datasets.load import load_graph
from lcplm_graph.evaluation.bootstrap import Interval
from lcplm_graph.evaluation.guard import check_encoder, own_command
from lcplm_graph.evaluation.network_page import SeenRows, write_network_page
from lcplm_graph.evaluation.page import conclusions, write_page
from lcplm_graph.evaluation.plots import draw_roc_pr
from lcplm_graph.evaluation.report import Report
from lcplm_graph.files.networks import Network
from lcplm_graph.heads.scored_pairs import ScoredPairs
from lcplm_graph.models.folder import Record


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.bold: list[str] = []
        self.tags: list[str] = []
        self._in_best = False
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values[key] for key in ("src", "href") if key in values]
        if tag == "tr":
            self._in_best = "best" in values.get("class", "").split()

    def handle_data(self, data) -> None:
        if self._in_best and data.strip():
            self.bold.append(data.strip())


@pytest.fixture
def report() -> Report:
    rows = [
        {"class": "C1", "model": "<degree>", "auroc": Interval(0.5, 0.48, 0.52, 100)},
        {"class": "C1", "model": "encoder", "auroc": Interval(0.9, 0.88, 0.92, 100)},
        {"class": "C3", "model": "<degree>", "auroc": Interval(0.6, 0.5, 0.7, 100)},
        {"class": "C3", "model": "encoder", "auroc": Interval(0.55, 0.45, 0.65, 100)},
    ]
    columns = {"class": "class", "model": "model", "auroc": "AUROC [95 %]"}
    return Report("Links & more", columns, rows, {"graph": "toy"}, ["A note."])


def test_page_is_whole_and_marks_the_best(report, tmp_path: Path) -> None:
    labels = np.arange(40) < 20
    draw_roc_pr(tmp_path / "a.png", {"C1": {"encoder": (labels, labels * 1.0)}}, 10, "t")
    path = write_page(
        tmp_path / "r.html", report, {"Curves": tmp_path / "a.png"},
        metric="auroc", command=["lcplm", "evaluate", "link", "--out", "a b"],
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    page = _Page(text)
    assert page.links and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "script" not in page.tags and "link" not in page.tags
    assert "&lt;degree&gt;" in text
    assert page.bold == [
        "C1", "encoder", "0.900 [0.880, 0.920]", "C3", "<degree>", "0.600 [0.500, 0.700]",
    ]  # fmt: skip
    assert "lcplm evaluate link --out &#39;a b&#39;" in text
    assert "Best by AUROC: encoder, 0.900 in C1; &lt;degree&gt;, 0.600 in C3." in text


def test_rows_of_a_page_are_the_surest_of_all_that_were_seen() -> None:
    rng = np.random.default_rng(0)
    columns = ("protein1", "protein2", "probability", "uncertainty", "known")
    some = zip(rng.random(900).round(2).tolist(), rng.random(900).tolist(), strict=True)
    known = rng.choice(["yes", "no", "self"], 900).tolist()
    rows = [(f"A{n}", f"B{n}", p, u, known[n]) for n, (p, u) in enumerate(some)]
    seen = SeenRows(columns, ("protein1", "protein2"))
    for row in rows:
        seen.add(row)
    probability, spread = seen.numbers
    assert probability.tolist() == [row[2] for row in rows]
    assert spread.tolist() == [row[3] for row in rows]
    best = np.argsort(-probability, kind="stable")
    assert [row["protein1"] for row in seen.surest()] == [f"A{n}" for n in best[:200]]
    new = [n for n in best if known[n] == "no"]
    assert seen.best_new() == dict(zip(columns, rows[new[0]], strict=True))
    assert (len(seen), seen.new) == (900, len(new))
    assert seen.sure == sum(rows[n][2] >= 0.5 for n in new)


def test_a_report_beside_a_table_keeps_no_answers(tmp_path: Path, monkeypatch: Any) -> None:
    fasta, out = tmp_path / "p.fasta", tmp_path / "o.tsv"
    fasta.write_text(">a\nMKTAYIAKQ\n>b\nMVWWNNDE\n>c\nMAHHKKLL\n")
    alive: list[Any] = []

    def answers(*_: Any) -> Any:
        for n, pair in enumerate([("a", "b"), ("a", "c"), ("b", "c")]):
            one, no = np.array([0.3 * (n + 1)]), np.zeros(1, bool)
            told = ScoredPairs([pair], one, one / 10, one, [("", "")], ~no, one, no)
            # That of the round before is let go when the loop takes this one.
            assert sum(other() is not None for other in alive) <= 1
            alive.append(weakref.ref(told))
            yield told

    monkeypatch.setattr(score, "_answers", answers)
    page = tmp_path / "r.html"
    given = [str(fasta), str(fasta), "--out", str(out), "--report", str(page)]
    assert score.main(given) == 0
    assert [row.split("\t")[2] for row in out.read_text().split("\n")[1:-1]] == [
        "0.3",
        "0.6",
        "0.9",
    ]
    text = page.read_text()
    assert "2 of 3 pairs have a probability of 0.5 or more; the surest: b and c, 0.900." in text
    assert re.search(r"unlike training\D*3\b", text)


def test_a_page_of_predicted_pairs(tmp_path: Path) -> None:
    columns = ("protein1", "protein2", "probability", "uncertainty")
    rows = [("A", "B", 0.25, 0.1), ("A", "<C>", 0.75, 0.2)]
    ends = ("protein1", "protein2")
    text = write_network_page(
        tmp_path / "p.html", Network(columns, rows, ends), "Pairs", {"graph": "toy"}
    ).read_text()
    assert "1 of 2 pairs have a probability of 0.5 or more; the surest: A and &lt;C&gt;" in text
    assert text.index("<td>0.750</td>") < text.index("<td>0.250</td>")
    assert "data:image/png" in text
    one = write_network_page(tmp_path / "q.html", Network(columns, rows[:1], ends), "Pairs", {})
    assert "A and B probably do not interact: probability 0.250." in one.read_text()
    open_one = Network(columns, [("A", "B", 0.52, 0.12)], ends)
    told = write_network_page(tmp_path / "o.html", open_one, "Pairs", {}).read_text()
    assert "A and B may or may not interact: probability 0.520." in told
    rows = [("A", "B", 0.99999, 0.0), ("A", "C", 1.0, 0.0)]
    sure = write_network_page(tmp_path / "s.html", Network(columns, rows[:1], ends), "Pairs", {})
    assert "probability &gt; 0.999." in sure.read_text()
    both = write_network_page(tmp_path / "b.html", Network(columns, rows, ends), "Pairs", {})
    assert "<td>&gt; 0.999</td>" in both.read_text() and "<td>1.000</td>" in both.read_text()
    partners = Network(
        ("query", "partner", "symbol", "probability", "uncertainty"),
        [("A", "9606.B", "GENE", 0.25, 0.1), ("A", "9606.C", "OTHER", 0.75, 0.2)],
        ("query", "partner"),
    )
    named = write_network_page(tmp_path / "n.html", partners, "Partners", {}).read_text()
    assert "the surest: A and OTHER, 0.750" in named


def test_only_long_texts_break_on_a_wide_screen(tmp_path: Path) -> None:
    row = {"id": "GO:0000978", "name": "sequence-specific DNA binding of a cis-regulatory region"}
    report = Report("Terms", {"id": "id", "name": "name", "p": "p"}, [row | {"p": 0.5}], {}, [])
    text = write_page(tmp_path / "t.html", report).read_text()
    assert '<td class="text">GO:' in text and '<td class="text long">seq' in text
    assert "<td>0.500</td>" in text


def test_a_page_of_partners_tells_new_ones_from_known_ones(tmp_path: Path) -> None:
    columns = ("query", "partner", "symbol", "probability", "uncertainty", "known")
    rows = [
        ("9606.A", "9606.B", "GENE", 0.9, 0.1, "yes"),
        ("9606.A", "9606.A", "OWN", 0.8, 0.1, "self"),
        ("9606.A", "9606.C", "OTHER", 0.7, 0.1, "no"),
        ("9606.A", "9606.D", "LAST", 0.4, 0.1, "no"),
    ]
    nodes = {"9606.A": {"symbol": "OWN"}}

    def page(rows):
        network = Network(columns, rows, ("query", "partner"), nodes)
        return write_network_page(tmp_path / "p.html", network, "Partners", {}).read_text()

    text = page(rows)
    said = "2 of 4 pairs are known. New, with a probability of 0.5 or more: 1; the surest: "
    assert f"{said}OWN and OTHER, 0.700." in text
    assert text.count(">OWN<") == 5  # the query in four rows, and the symbol of one
    assert ">9606.B<" in text
    assert "All 2 pairs are known." in page(rows[:2])


def test_a_report_is_named_as_a_page_before_any_work(capsys) -> None:
    assert score.main(["TP53", "MDM2", "--report", "out.pdf"]) == 1
    assert "--report out.pdf: a report is a web page; name it FILE.html" in capsys.readouterr().err


def test_conclusions_say_whether_intervals_are_apart(report) -> None:
    first, second = conclusions(report.rows, "auroc", report.columns)
    assert first == (
        "C1: encoder is best, AUROC 0.900 [0.880, 0.920]; next <degree>, 0.500 [0.480, 0.520], "
        "intervals apart."
    )
    assert second.endswith("intervals overlap.")


def test_a_leakage_refusal_prints_the_command_of_the_encoders_own_split() -> None:
    facts = {"graph": "string_human_core", "split": {"kind": "node", "seed": 7}}
    encoder = SimpleNamespace(name="runs/s2", record=Record(facts))
    command = (
        "lcplm evaluate link --graph string_human_core --encoder runs/s2 --split node --seed 7"
    )
    assert own_command(encoder).endswith(command)
    # Of two trainings neither split alone is right.
    encoder.record = Record(facts | {"history": [facts]})
    assert own_command(encoder) == ""
    # As a real record has it, and the command it gives is right.
    encoder = load_encoder("lcplm-g-2m")
    words = shlex.split(own_command(encoder).split(": ", 1)[1])
    assert words[words.index("--encoder") + 1] == "lcplm-g-2m"
    given = {name: words[words.index(f"--{name}") + 1] for name in ("graph", "split", "seed")}
    dataset = load_graph(given["graph"])
    split = dataset.split(given["split"], seed=int(given["seed"]))
    assert check_encoder(encoder, dataset.sequences, split) == ""


def test_conclusions_about_single_values_speak_of_no_interval() -> None:
    rows = [{"model": "a", "test": 1.0}, {"model": "b", "test": 0.5}]
    (said,) = conclusions(rows, "test", {"model": "model", "test": "test Hits@20"})
    assert said == "All: a is best, test Hits@20 1.000; next b, 0.500."


def test_published_numbers_of_other_data_are_never_the_best() -> None:
    rows = [{"model": "ours", "r": 0.1}, {"model": "theirs", "r": 0.4, "published": True}]
    assert conclusions(rows, "r", {"r": "Spearman"}) == ["All: ours is best, Spearman 0.100."]
