"""`predict function`: terms of unknown proteins, closed upwards, from a head that is kept."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from lcplm_graph import predict
from lcplm_graph.errors import CheckpointError, InputError, LcPlmWarning
from lcplm_graph.heads import function_model
from lcplm_graph.heads.function_model import FunctionModel

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
ROOT, BINDING = "GO:0003674", "GO:0005488"
KINDS = ("GO:0000001", "GO:0000002", "GO:0000003")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Ninety annotated proteins of three kinds by composition, and six that are not annotated."""
    folder = tmp_path_factory.mktemp("kinds")
    above = {ROOT: None, BINDING: ROOT, **dict.fromkeys(KINDS, BINDING)}
    text = "format-version: 1.2\nontology: go\n"
    for term, parent in above.items():
        text += f"\n[Term]\nid: {term}\nname: name of {term}\nnamespace: molecular_function\n"
        text += f"is_a: {parent}\n" if parent else ""
    (folder / "go.obo").write_text(text)
    rng = np.random.default_rng(0)
    tastes = rng.dirichlet(np.full(20, 0.4), 3)
    records = [
        f">P{n} text\n{''.join(rng.choice(LETTERS, rng.integers(60, 120), p=tastes[n % 3]))}\n"
        for n in range(96)
    ]
    (folder / "known.fasta").write_text("".join(records[:90]))
    (folder / "new.fasta").write_text("".join(records[90:]))
    rows = [f"P{n}\t{KINDS[n % 3]}\tMFO\n" for n in range(90)]
    (folder / "goa.tsv").write_text("EntryID\tterm\taspect\n" + "".join(rows))
    return folder


@pytest.fixture(autouse=True)
def _own_cache(kinds, monkeypatch):
    monkeypatch.setenv("LCPLM_DATA", str(kinds / "data"))


def ask(folder, out, *more):
    common = ["--encoder", "composition", "--out", str(folder / out)]
    return predict.main(["function", str(folder / "new.fasta"), *common, *more])


def training(folder):
    files = {"annotations": "goa.tsv", "ontology": "go.obo", "sequences": "known.fasta"}
    paths = [part for key, name in files.items() for part in (f"--{key}", str(folder / name))]
    return [*paths, "--evidence", "all", "--steps", "60"]


def test_terms_of_unknown_proteins(kinds, capsys):
    kept = ["--save-head", str(kinds / "head"), "--report", str(kinds / "page.html")]
    assert ask(kinds, "terms.tsv", *training(kinds), *kept, "--most", "2") == 0
    assert "12 terms of 6 proteins" in capsys.readouterr().out
    table = pd.read_csv(kinds / "terms.tsv", sep="\t")
    assert list(table) == ["protein", "term", "name", "aspect", "probability", "known"]
    assert set(table["known"]) == {"no"}
    assert set(table["aspect"]) == {"MF"}
    assert (table["name"] == "name of " + table["term"]).all()
    for n in range(90, 96):  # the parent is never less likely than the kind
        own = table[table["protein"] == f"P{n}"]
        assert own["term"].tolist() == [BINDING, KINDS[n % 3]]
        assert own["probability"].is_monotonic_decreasing and own["probability"].min() > 0.5
    page = (kinds / "page.html").read_text()
    assert KINDS[0] in page and "6 of 6 proteins have a likely term" in page
    # Protein by protein, as asked.
    assert re.findall(r"<td[^>]*>(P9\d)</td>", page) == [f"P{n}" for n in range(90, 96)]
    # That a protein binds is said by what it binds.
    assert f">{BINDING}<" not in page and "Terms that follow from a more special one" in page
    head = ["--head", str(kinds / "head")]
    assert ask(kinds, "again.tsv", *head, "--most", "2") == 0
    assert (kinds / "again.tsv").read_bytes() == (kinds / "terms.tsv").read_bytes()
    assert ask(kinds, "sure.csv", *head, "--threshold", "1") == 0
    assert (
        "6 proteins have no term of probability 1 or more\n0 terms of 6" in capsys.readouterr().out
    )
    assert (kinds / "sure.csv").read_text() == "protein,term,name,aspect,probability,known\n"
    (kinds / "odd.fasta").write_text(f">odd\n{'WCHM' * 20}\n")
    asked = [str(kinds / "odd.fasta"), "--encoder", "composition", "--out", str(kinds / "odd.tsv")]
    with pytest.warns(LcPlmWarning, match="1 of 1 proteins are unlike .*, for example odd; their"):
        assert predict.main(["function", *asked, *head]) == 0
    for wrong, sentence in (
        (["--steps", "5"], "trained already: leave out --steps"),
        (["--aspect", "BP"], "is of MF, not of BP"),
        (["--aspect", "MF", "CC"], "is of MF, not of MF CC"),
        (["--encoder", "dipeptide"], "was trained on features of 'composition'"),
    ):
        assert ask(kinds, "again.tsv", *head, *wrong) == 1
        assert sentence in capsys.readouterr().err


def test_the_terms_of_homologues_count(kinds, tmp_path, capsys, monkeypatch):
    """Two proteins that are themselves annotated, so that they are their own best homologues."""
    # No two of these random proteins are homologues, so validation would choose 0.
    monkeypatch.setattr(function_model, "best_weight", lambda *_: 0.6)
    of = (kinds / "known.fasta").read_text().split("\n")
    (tmp_path / "new.fasta").write_text(f">new\n{of[1]}\n>other\n{of[3]}\n")
    asked = ["function", str(tmp_path / "new.fasta"), "--encoder", "composition", "--most", "9"]

    def terms(name, *more):
        out = tmp_path / f"{name}.parquet"
        assert predict.main([*asked, "--out", str(out), "--threshold", "0", *more]) == 0
        table = pd.read_parquet(out)
        return table.set_index(["protein", "term"])["probability"]

    alone = terms("alone", *training(kinds), "--seed", "3", "--no-homologues")
    both = terms("both", *training(kinds), "--seed", "3", "--save-head", str(tmp_path / "head"))
    model = FunctionModel.load(tmp_path / "head")
    weight = model.homologue_weight
    assert model.facts["homologue weight"] == weight == 0.6
    assert len(model.homologues.sequences) == 90
    kind = both["new", KINDS[0]] - (1 - weight) * alone["new", KINDS[0]]
    assert 0.8 * weight <= kind <= weight + 1e-9
    pd.testing.assert_series_equal(terms("again", "--head", str(tmp_path / "head")), both)
    with pytest.raises(InputError, match="looks at homologues, too; give the sequences"):
        model.probability(torch.zeros(1, 20))
    with pytest.raises(InputError, match="2 sequences for features of 1 proteins"):
        model.probability(torch.zeros(1, 20), ["MK", "MV"])
    refused = ["--head", str(tmp_path / "head"), "--no-homologues"]
    assert predict.main([*asked, "--out", str(tmp_path / "x.tsv"), *refused]) == 1
    assert "leave out --no-homologues" in capsys.readouterr().err


def test_proteins_may_be_named_and_what_is_known_of_them_is_told(kinds, tmp_path, capsys):
    """P3 is of the first kind, P1 of the second."""
    sequence = (kinds / "known.fasta").read_text().split("\n")[3].lower()  # of P1
    own = ["--encoder", "composition", "--out", str(tmp_path / "t.csv")]
    asked = ["function", "P3", sequence, str(kinds / "new.fasta"), *own, *training(kinds)]
    assert predict.main([*asked, "--no-homologues", "--report", str(tmp_path / "t.html")]) == 0
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["protein"].unique().tolist() == [*(f"P{n}" for n in range(90, 96)), "P3", sequence]
    has = table[table["known"] == "yes"].groupby("protein")["term"].agg(set).to_dict()
    assert has == {"P3": {BINDING, KINDS[0]}, sequence: {BINDING, KINDS[1]}}
    told = "4 of them are known from the training data; --novel leaves those out"
    assert told in capsys.readouterr().out
    page = (tmp_path / "t.html").read_text()
    assert "2 of them known." in page and "the probability counts that" in page
    assert f">{sequence[:40]}...<" in page and f">{sequence}<" not in page
    few = ["--novel", "--most", "1", "--threshold", "0", "--no-homologues"]
    assert predict.main([*asked, *few]) == 0
    novel = pd.read_csv(tmp_path / "t.csv").set_index("protein")
    assert predict.main([*asked, *few[:1], "--threshold", "1", "--no-homologues"]) == 0
    assert "8 proteins have no new term of probability 1 or more" in capsys.readouterr().out
    assert len(novel) == 8 and set(novel["known"]) == {"no"}
    assert novel.loc["P3", "term"] not in has["P3"] and novel.loc["P90", "term"] == BINDING
    for wrong, sentence in (
        ("P3000", "'P3000' is neither a protein known here"),
        ("WRONG", "'WRONG' is neither among the sequences that were given nor a name known here"),
        ("none.fasta", "none.fasta: no such file; check the path"),
    ):
        assert predict.main(["function", wrong, *own, *training(kinds)]) == 1
        assert sentence in capsys.readouterr().err


def test_several_aspects_stand_protein_by_protein(kinds, tmp_path, capsys):
    """Places beside functions: a cell, and in it one place for all."""
    cell, place = "GO:0005575", "GO:0000009"
    of_terms = (kinds / "go.obo").read_text()
    for term, parent in {cell: None, place: cell}.items():
        of_terms += f"\n[Term]\nid: {term}\nname: {term}\nnamespace: cellular_component\n"
        of_terms += f"is_a: {parent}\n" if parent else ""
    (tmp_path / "go.obo").write_text(of_terms)
    rows = "".join(f"P{n}\t{place}\tCCO\n" for n in range(90))
    (tmp_path / "goa.tsv").write_text((kinds / "goa.tsv").read_text() + rows)
    options = training(kinds)
    for key in ("annotations", "ontology"):
        at = options.index(f"--{key}") + 1
        options[at] = str(tmp_path / options[at].rpartition("/")[2])
    both = ["--aspect", "CC", "MF", "--special", "--report", str(tmp_path / "page.html")]
    assert ask(kinds, "both.tsv", *options, *both) == 0
    table = pd.read_csv(kinds / "both.tsv", sep="\t")
    assert table["protein"].tolist() == [f"P{n}" for n in range(90, 96) for _ in range(2)]
    assert table["aspect"].tolist() == ["CC", "MF"] * 6
    assert table["term"].tolist() == [t for n in range(6) for t in (place, KINDS[n % 3])]
    page = (tmp_path / "page.html").read_text()
    assert "12 in all" in page and "training proteins (CC)" not in page  # as many as of MF
    assert "homologue weight" in page
    assert ask(kinds, "all.tsv", *options, *both[:3]) == 0
    every = pd.read_csv(kinds / "all.tsv", sep="\t")
    assert every["term"].tolist()[:3] == [place, BINDING, KINDS[0]]
    assert ask(kinds, "x.tsv", *options, *both, "--save-head", str(tmp_path / "head")) == 1
    assert "give --save-head with one --aspect" in capsys.readouterr().err


def test_a_head_is_trained_once(kinds, tmp_path, capsys):
    """And again where anything is other than before."""

    def train(*more, **files):
        options = [*training(kinds), "--seed", "7"]
        for key, path in files.items():
            options[options.index(f"--{key}") + 1] = str(path)
        assert ask(kinds, "once.tsv", *options, *(more or ["--no-homologues"])) == 0
        said = "trained before on the same data in the same way: " in capsys.readouterr().out
        return said, (kinds / "once.tsv").read_text()

    said, first = train()
    assert not said
    assert train() == (True, first)
    assert not train("--homologues")[0]
    said, shorter = train("--no-homologues", "--steps", "59")
    assert not said and shorter != first
    rows = (kinds / "goa.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "goa.tsv").write_text("".join(rows[:-1]))
    assert not train(annotations=tmp_path / "goa.tsv")[0]
    (tmp_path / "known.fasta").write_text((kinds / "known.fasta").read_text().replace("A", "G"))
    assert not train(sequences=tmp_path / "known.fasta")[0]
    assert train() == (True, first)
    heads = kinds / "data" / "heads"
    for path in heads.rglob("function.safetensors"):
        path.write_bytes(b"1234")
    again = [*training(kinds), "--seed", "7", "--no-homologues"]
    assert ask(kinds, "once.tsv", *again) == 1
    assert "delete this folder to train again" in capsys.readouterr().err
    shutil.rmtree(heads)
    assert train() == (False, first)


def test_a_head_of_before_knows_no_annotated_proteins(kinds, tmp_path):
    head = tmp_path / "head"
    assert ask(kinds, "x.tsv", *training(kinds), "--no-homologues", "--save-head", str(head)) == 0
    whole = load_file(head / "function.safetensors")
    rest = {key: value for key, value in whole.items() if not key.startswith("homologues")}
    assert len(rest) < len(whole)
    save_file(rest, head / "function.safetensors")
    assert ask(kinds, "y.tsv", "--head", str(head)) == 0
    new, old = (pd.read_csv(kinds / f, sep="\t") for f in ("x.tsv", "y.tsv"))
    assert old["known"].isna().all() and set(new["known"]) == {"no"}
    pd.testing.assert_frame_equal(old.drop(columns="known"), new.drop(columns="known"))


def test_damaged_homologues_are_named(kinds, tmp_path):
    proteins = ["--save-head", str(tmp_path / "head")]
    assert ask(kinds, "some.tsv", *training(kinds), *proteins) == 0
    file = tmp_path / "head" / "function.safetensors"
    whole = load_file(file)
    cut = {"letters": 9, "lengths": 5, "terms": 7, "offsets": 3}
    for name, end in cut.items():
        key = f"homologues.{name}"
        save_file({**whole, key: whole[key][:end].clone()}, file)
        with pytest.raises(CheckpointError, match="cannot be read"):
            FunctionModel.load(tmp_path / "head")
    save_file({**whole, "homologues.terms": whole["homologues.terms"] + 99}, file)
    with pytest.raises(CheckpointError, match="cannot be read"):
        FunctionModel.load(tmp_path / "head")


def test_what_cannot_be_asked_is_refused_before_work(kinds, capsys):
    (kinds / "empty.fasta").write_text("")
    bare = ["--annotations", str(kinds / "goa.tsv"), "--ontology", str(kinds / "go.obo")]
    bare += ["--evidence", "all"]
    for more, sentence in (
        (["--out", str(kinds / "x.txt")], "should end in one of .tsv, .csv, .parquet"),
        (["--threshold", "2"], "a probability is from 0 to 1"),
        (["--most", "0"], "--most must be at least 1, not 0"),
        (["--head", str(kinds / "nothing")], "no saved function model, function.json is missing"),
        (bare, "goa.tsv brings no sequences to train on; give --sequences"),
    ):
        assert ask(kinds, "never.tsv", *more) == 1
        assert sentence in capsys.readouterr().err
    empty = ["function", str(kinds / "empty.fasta"), "--encoder", "composition"]
    assert predict.main([*empty, "--out", str(kinds / "never.tsv")]) == 1
    assert "empty.fasta" in capsys.readouterr().err
    assert not (kinds / "never.tsv").exists() and not (kinds / "x.txt").exists()


def test_a_damaged_head_is_named(kinds, tmp_path):
    (tmp_path / "function.json").write_text("{}")
    (tmp_path / "function.safetensors").write_bytes(b"1234")
    with pytest.raises(CheckpointError, match="cannot be read"):
        FunctionModel.load(tmp_path)
