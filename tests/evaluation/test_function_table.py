"""`evaluate function`: files as a CAFA user has them, parts without homologues, the rows."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.errors import ConfigError, InputError, UnknownNameError
from lcplm_graph.evaluate import main
from lcplm_graph.evaluation.function import FUNCTION_FIT, FunctionOptions, evaluate_function
from lcplm_graph.evaluation.go_metrics import fmax
from lcplm_graph.models.config import PRESETS
from lcplm_graph.models.encoders import load_encoder

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
ROOT, BINDING, PROTEIN = "GO:0003674", "GO:0005488", "GO:0005515"
KINDS = ("GO:0000001", "GO:0000002", "GO:0000003")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "data"))


@pytest.fixture
def cafa(tmp_path):
    """90 proteins of three kinds by composition; the last 30 are annotated at the later date."""
    above = {ROOT: None, BINDING: ROOT, PROTEIN: BINDING, **dict.fromkeys(KINDS, BINDING)}
    text = "format-version: 1.2\nontology: go\n"
    for term, parent in above.items():
        text += f"\n[Term]\nid: {term}\nname: {term}\nnamespace: molecular_function\n"
        text += f"is_a: {parent}\n" if parent else ""
    (tmp_path / "go.obo").write_text(text)
    rng = np.random.default_rng(0)
    tastes = rng.dirichlet(np.full(20, 0.4), 3)
    fasta, early, later = "", "EntryID\tterm\taspect\n", "EntryID\tterm\taspect\n"
    for n in range(90):
        sequence = "".join(rng.choice(LETTERS, rng.integers(60, 120), p=tastes[n % 3]))
        fasta += f">P{n} text\n{sequence}\n"
        line = f"P{n}\t{KINDS[n % 3]}\tMFO\n" + (f"P{n}\t{PROTEIN}\tMFO\n" if n % 2 else "")
        early += line if n < 60 else ""
        later += line
    for name, content in (("p.fasta", fasta), ("train.tsv", early), ("test.tsv", later)):
        (tmp_path / name).write_text(content)
    return tmp_path


def run(folder, *more):
    files = {
        "annotations": "train.tsv", "later-annotations": "test.tsv",
        "ontology": "go.obo", "sequences": "p.fasta",
    }  # fmt: skip
    arguments = [part for key, name in files.items() for part in (f"--{key}", str(folder / name))]
    out = folder / "out"
    common = ["--encoder", "composition", "--aspect", "MF", "--out", str(out), "--steps", "60"]
    assert main(["function", *arguments, *common, *more]) == 0
    return json.loads((out / "results.json").read_text())


def test_the_terms_of_homologues_are_rows(cafa):
    """Three test proteins are given a copy in training; nearly all others have nothing like it."""
    lines = (cafa / "p.fasta").read_text().split("\n")
    for copy, n in ((60, 3), (61, 4), (62, 5)):  # of the same kind, 0, 1 and 2 modulo 3
        lines[2 * copy + 1] = lines[2 * n + 1][2:]
    (cafa / "p.fasta").write_text("\n".join(lines))
    rows = {row["model"].split(" (")[0]: row for row in run(cafa)["rows"]}
    row, covered = rows["homologues"], rows["homologues"]["coverage"]
    assert 3 / 30 <= covered <= 6 / 30
    assert row["fmax"]["value"] == pytest.approx(2 * covered / (1 + covered))


def test_homologues_beside_a_head_have_the_weight_that_valid_proteins_choose(cafa):
    rows = {row["model"]: row for row in run(cafa)["rows"]}
    # Those of the encoder that was asked about, though every table has its row.
    head, both = (rows[f"composition, head{more}"] for more in ("", " + homologues"))
    assert not any("dipeptides" in name and "homologues" in name for name in rows)
    assert 0 <= both["homologue_weight"] <= 1 and "homologue_weight" not in head
    # Nearly no test protein has a homologue: what the head says of the others stays.
    assert both["fmax"]["value"] == pytest.approx(head["fmax"]["value"], abs=0.05)


def test_a_time_split_from_the_files_of_cafa(cafa, capsys):
    content = run(cafa, "--resamples", "20")
    assert content["facts"]["MF"].startswith("54 training, 6 validation, 30 test proteins, 4 terms")
    assert content["facts"]["split"] == "by time"
    assert PROTEIN in content["notes"][1]
    rows = {row["model"]: row for row in content["rows"]}
    naive = rows["naive (term frequency)"]
    known = np.zeros((30, 4), bool)  # binding and one kind each
    known[:, 0] = known[np.arange(30), 1 + np.arange(30) % 3] = True
    often = np.tile([1, 1 / 3, 1 / 3, 1 / 3], (30, 1))
    # A third of the training proteins each, but for the six validation proteins.
    assert naive["fmax"]["value"] == pytest.approx(fmax(known, often).f, abs=0.02)
    for name in ("composition", "composition + dipeptides"):
        for kind in ("nearest neighbour", "head"):
            row = rows[f"{name}, {kind}"]
            assert row["fmax"]["value"] > naive["fmax"]["value"] + 0.1
            assert row["smin"] < naive["smin"]
            assert row["fmax"]["low"] <= row["fmax"]["value"] <= row["fmax"]["high"]
    assert (cafa / "out" / "fmax.png").read_bytes().startswith(b"\x89PNG")


def test_protein_binding_counts_only_when_asked_for(cafa):
    content = run(cafa, "--resamples", "2", "--steps", "1", "--exclude")
    assert "5 terms" in content["facts"]["MF"]
    assert "Left out of labels: roots, terms" in content["notes"][1]


def test_a_cluster_split_keeps_relatives_together(cafa, monkeypatch):
    """Every protein has a relative with a tenth of its residues changed, a of Pn and b of Pn."""
    monkeypatch.setattr("lcplm_graph.splits.clusters.choose_method", lambda _: "kmer")
    rng, records = np.random.default_rng(1), (cafa / "p.fasta").read_text().split(">")[1:41]
    fasta, labels = "", "protein\tgo_id\n"
    for record in records:
        head, sequence = record.strip().split("\n")
        name, letters = head.split()[0], np.array(list(sequence))
        other = np.where(rng.random(len(letters)) < 0.1, rng.choice(LETTERS, len(letters)), letters)
        fasta += f">{name}a\n{sequence}\n>{name}b\n{''.join(other)}\n"
        labels += f"{name}a\t{KINDS[0]}\n{name}b\t{KINDS[1]}\n"
    (cafa / "two.fasta").write_text(fasta)
    (cafa / "two.tsv").write_text(labels)
    files = {"annotations": cafa / "two.tsv", "ontology": cafa / "go.obo"}

    def parted(split):
        dataset = GOFunction(**files, sequences=cafa / "two.fasta", min_proteins=1, split=split)
        data = dataset[0]
        part = dict(zip(data.protein_id, data.test_mask.tolist(), strict=True))
        assert data.test_mask.sum() > 5 and data.train_mask.sum() > 30
        return sum(part[f"P{n}a"] != part[f"P{n}b"] for n in range(len(records)))

    assert parted("random") > 5
    assert parted("cluster") == 0


def test_options_that_do_not_fit(cafa):
    files = {"annotations": cafa / "train.tsv", "ontology": cafa / "go.obo"}
    with pytest.raises(UnknownNameError, match="no split 'node'.*random, cluster"):
        GOFunction(**files, split="node")
    with pytest.raises(ConfigError, match="its own test set"):
        GOFunction(**files, split="cluster", later_annotations=cafa / "test.tsv")
    with pytest.raises(ConfigError, match="compares sequences"):
        GOFunction(**files, split="cluster", min_proteins=1)


def test_proteins_in_walks_are_a_row_of_their_own(cafa, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
    (cafa / "net.tsv").write_text("".join(f"P{n}\tP{n + 3}\n" for n in range(0, 80)))
    graph = PairPPI(cafa / "net.tsv", cafa / "p.fasta")
    files = {"annotations": cafa / "train.tsv", "ontology": cafa / "go.obo"}
    options = FunctionOptions(context="walks", resamples=2, fit=replace(FUNCTION_FIT, steps=1))
    encoder = load_encoder("random:tiny")
    report = evaluate_function(GOFunction(**files, graph=graph), encoder, "MF", options)
    names = [row["model"] for row in report.rows]
    rows = ("head", "in walks, head", "+ GraphSAGE")
    rows = [name for row in rows for name in (row, f"{row} + homologues")]
    assert [name.partition(" (untrained)")[2].lstrip(", ") for name in names[-6:]] == rows
    alone = GOFunction(**files, sequences=cafa / "p.fasta")
    with pytest.raises(InputError, match="walks need a graph"):
        evaluate_function(alone, encoder, "MF", options)
