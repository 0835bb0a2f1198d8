"""`evaluate homology`: the probe, the rows, the intervals, and what the command writes."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.errors import DataError, InputError, LcPlmWarning
from lcplm_graph.evaluate import main
from lcplm_graph.evaluation import homology
from lcplm_graph.evaluation import probe as probe_module
from lcplm_graph.evaluation.homology import HomologyOptions, evaluate_homology, read_known
from lcplm_graph.evaluation.probe import fit_probe
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
PARTS = ("train", "train", "train", "train", "valid", "test_superfamily")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "data"))


@pytest.fixture
def scope(tmp_path):
    """Six folds, each with a taste for some residues; 18 domains of 3 superfamilies each."""
    rng = np.random.default_rng(0)
    fasta, labels = [], ["domain\tsplit\tfamily"]
    for fold in range(1, 7):
        taste = rng.dirichlet(np.full(20, 4.0))
        for n in range(18):
            name = f"d{fold}_{n}"
            sequence = "".join(rng.choice(LETTERS, rng.integers(40, 90), p=taste))
            fasta.append(f">{name} a.{fold}.{n % 3 + 1}.1 text\n{sequence}\n")
            labels.append(f"{name}\t{PARTS[n % 6]}\ta.{fold}.{n % 3 + 1}.1")
    (tmp_path / "d.fasta").write_text("".join(fasta))
    (tmp_path / "d.tsv").write_text("\n".join(labels) + "\n")
    return tmp_path / "d.fasta", tmp_path / "d.tsv"


def test_a_sequence_search_is_a_row_and_no_hit_is_no_answer(scope, monkeypatch):
    """A held-out domain that is a copy of a training one is found; those without a relative not."""
    monkeypatch.setattr(homology, "_E_VALUE", 1e-6)  # none by the taste of a fold
    fasta, labels = scope
    text = fasta.read_text().split("\n")
    of = {line[1:].split()[0]: at + 1 for at, line in enumerate(text) if line.startswith(">")}
    for fold in (1, 2, 3):  # d1_5 is in test_superfamily, d1_0 in train
        text[of[f"d{fold}_5"]] = text[of[f"d{fold}_0"]][3:-2]
    fasta.write_text("\n".join(text))
    dataset = RemoteHomology(str(fasta), labels=str(labels))
    report = evaluate_homology(dataset, load_encoder("composition"))
    rows = {row["part"]: row for row in report.rows if row["model"].endswith("best hit")}
    asked = int(dataset[0].test_superfamily_mask.sum())
    assert rows["test_superfamily"]["top1"].value == pytest.approx(3 / asked)
    assert rows["valid"]["top1"].value == 0
    assert rows["valid"]["sensitivity"] == 0 < rows["test_superfamily"]["sensitivity"]


def blobs(classes, per_class, spread, width=6, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(classes), per_class)
    x = rng.normal(size=(classes, width))[truth] + spread * rng.normal(size=(len(truth), width))
    return (x - x.mean(0)) / x.std(0), truth


def test_the_probe_is_scikit_learns_optimum_at_the_chosen_penalty():
    x, truth = blobs(5, 30, 1.0)
    probe = fit_probe(x, truth)
    assert probe.held_out == 15 and len(probe.accuracy) >= 2
    assert probe.accuracy[probe.strength] == max(probe.accuracy.values())
    alone = LogisticRegression(C=1 / (probe.strength * len(x)), tol=1e-8, max_iter=10000)
    expected = alone.fit(x, truth).decision_function(x)
    np.testing.assert_allclose(probe.scores(x), expected, atol=0.05)
    assert np.abs(expected).max() > 2


def test_the_penalty_suits_the_noise():
    """Where features say nothing, a strong penalty is chosen; where they say all, a weak one."""
    x, truth = blobs(40, 6, 0.3, width=12)
    strengths = (10.0, 1e-3)
    assert fit_probe(x, truth, strengths=strengths).strength == 1e-3
    rng = np.random.default_rng(1)
    noise, mostly = rng.normal(size=(300, 60)), (rng.random(300) < 0.15).astype(int)
    assert fit_probe(noise, mostly, strengths=strengths).strength == 10.0


def test_the_probe_refuses_what_it_cannot_fit(monkeypatch):
    x = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(InputError, match="two classes"):
        fit_probe(x, np.zeros(6, np.int64))
    with pytest.raises(InputError, match="no class has two rows"):
        fit_probe(x, np.arange(6))
    with pytest.raises(InputError, match="features are NaN"):
        fit_probe(np.full((6, 3), np.nan), np.arange(6) % 2)
    monkeypatch.setattr(probe_module, "_MOST_STEPS", 1)
    with pytest.raises(InputError, match="not converged after 1 steps.*standardised"):
        fit_probe(100 * x, np.arange(6) % 2)


def test_rows_and_their_numbers(scope):
    torch.manual_seed(3)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1))
    encoder = LcPlmEncoder(model.eval(), "tiny").eval()
    known = {"other": {"valid": 0.5}}
    report = evaluate_homology(
        RemoteHomology(*scope), encoder, known, HomologyOptions("mean_std", resamples=50)
    )
    rows = {(row["part"], row["model"]): row for row in report.rows}
    assert len(rows) == len(report.rows) == 2 * (1 + 1 + 1 + 3 * 2)
    assert rows["valid", "other (given)"]["top1"] == 0.5
    assert rows["test_superfamily", "other (given)"]["top1"] is None
    constant = rows["valid", "most frequent classes"]
    assert constant["top1"].value == pytest.approx(1 / 6)
    assert constant["top5"] == pytest.approx(5 / 6)
    for name in ("composition + length", "composition + dipeptides + length"):
        nearest = rows["valid", f"{name}, 1-NN"]
        probe = rows["valid", f"{name}, logistic regression"]
        assert nearest["top1"].value > 0.3 and probe["top1"].value > 0.3
        assert nearest["top1"].low < nearest["top1"].high <= 1
        assert 0 < nearest["sensitivity"] < 1 and "sensitivity" not in probe
        assert probe["domains_for_the_choice"] == 7 and "gain" not in probe
    own = rows["valid", "tiny, mean_std + length, 1-NN"]
    base = rows["valid", "composition + dipeptides + length, 1-NN"]
    assert own["gain"].value == pytest.approx(own["top1"].value - base["top1"].value)


def test_the_command_writes_table_and_pictures(scope, tmp_path, capsys):
    known = tmp_path / "known.tsv"
    known.write_text("method\tvalid\nother\t0.25\n")
    options = ["--source", str(scope[0]), "--labels", str(scope[1]), "--known", str(known)]
    out = tmp_path / "out"
    command = ["homology", "--encoder", "composition", "--out", str(out), "--seed", "3"]
    assert main([*command, *options]) == 0
    assert "other (given)" in capsys.readouterr().out
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert {row["part"] for row in rows} == {"valid", "test_superfamily"}
    names = [row["model"] for row in rows if row["part"] == "valid"]
    # The encoder is a row of every table: it is there once, without its pooling.
    assert "composition + length, 1-NN" in names
    assert not any("mean" in name for name in names)
    for name in ("top1.png", "embeddings.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_known_numbers_of_other_sets_are_named(scope):
    known = {"other": {"valid": 0.5, "test_famly": 0.1}}
    told = "for test_famly, which is no held-out set of these data, and left out; there are test"
    with pytest.warns(LcPlmWarning, match=told):
        evaluate_homology(
            RemoteHomology(*scope), load_encoder("composition"), known, HomologyOptions("mean")
        )


def test_known_numbers_that_are_none_are_named(tmp_path):
    path = tmp_path / "known.tsv"
    path.write_text("method\tvalid\nother\tmuch\n")
    with pytest.raises(DataError, match=r"known\.tsv.*line 2.*other.*not a number"):
        read_known(path)
    path.write_text("name\tvalid\nother\t1\n")
    with pytest.raises(DataError, match="one column 'method'"):
        read_known(path)
