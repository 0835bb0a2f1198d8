"""`benchmarks/quality.py`: its parts on a tiny run and a tiny graph, and the card they make."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lcplm_graph import stage1
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.errors import ConfigError, DataError, LeakageError
from lcplm_graph.evaluation.comparison import Comparison
from lcplm_graph.evaluation.metrics import auroc
from lcplm_graph.evaluation.model_card import write_card
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.folder import Record
from lcplm_graph.release import release

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import quality  # noqa: E402
from quality_parts import function, homology, link  # noqa: E402
from quality_parts.models import compared, kept  # noqa: E402

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A released model of a run of two steps, and its corpus."""
    folder = tmp_path_factory.mktemp("quality")
    rng = np.random.default_rng(0)
    fasta = folder / "proteins.fasta"
    texts = ["".join(rng.choice(LETTERS, int(n))) for n in rng.integers(20, 700, 300)]
    fasta.write_text("".join(f">p{i}\n{text}\n" for i, text in enumerate(texts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
        for arch in ("bimamba-s", "esm2"):
            stage1.main(
                ["--corpus", f"fasta:{fasta}", "--preset", "tiny", "--steps", "2", "--arch", arch,
                 "--devices", "1", "--max-tokens", "512", "--eval-tokens", "2000",
                 "--out", str(folder / arch)]
            )  # fmt: skip
    release(folder / "bimamba-s", folder / "lcplm-tiny")
    return SimpleNamespace(folder=folder / "lcplm-tiny", fasta=fasta, esm2=folder / "esm2")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> PairPPI:
    """Proteins rich in the same letters interact."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("graph")
    group = rng.integers(5, size=200)
    rich = ["ACDE", "FGHI", "KLMN", "PQRS", "TVWY"]
    texts = ["".join(rng.choice(list(rich[g] * 4) + LETTERS, 30)) for g in group]
    (folder / "net.fasta").write_text("".join(f">p{i}\n{t}\n" for i, t in enumerate(texts)))
    pairs = np.unique(np.sort(rng.integers(200, size=(9000, 2)), axis=1), axis=0)
    pairs = pairs[(group[pairs[:, 0]] == group[pairs[:, 1]]) & (pairs[:, 0] != pairs[:, 1])]
    (folder / "net.tsv").write_text("".join(f"p{i}\tp{j}\n" for i, j in pairs))
    return PairPPI(folder / "net.tsv", folder / "net.fasta")


def _options(model: SimpleNamespace, **changes) -> argparse.Namespace:
    options = {
        "name": model.folder.name, "folder": model.folder, "seed": 0, "split_seed": 1,
        "resamples": 20, "members": 1, "steps": 30, "decoder_steps": 5, "corpus": model.fasta,
        "clusters": None, "esm2": None, "control": None,
    }  # fmt: skip
    return argparse.Namespace(**(options | changes))


def test_perplexities_are_those_of_the_run(model) -> None:
    """The model's own figure, again from its file, is the last one of the run's metrics.csv."""
    options = _options(model, esm2=model.esm2)
    found = quality.PARTS["perplexity"](compared(model.folder, None), options)
    *floors, esm2_name, own = found.values["all"]
    assert floors == ["unigram", "composition", "composition + neighbours"]
    assert re.fullmatch(r"ESM-2-shaped \([\d,]+ parameters, 0.0 million tokens\)", esm2_name)
    assert own == "lcplm-tiny"
    final = json.loads((model.folder / "training.json").read_text())["final"]
    value = found.values["all"]["lcplm-tiny"].value
    assert value == pytest.approx(np.exp(final["valid_mask_only_loss"]), rel=1e-3)
    last = (model.esm2 / "metrics.csv").read_text().splitlines()
    esm2 = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    value = found.values["all"][esm2_name].value
    assert value == pytest.approx(np.exp(float(esm2["valid_mask_only_loss"])), rel=1e-3)
    assert not found.beats("all", "unigram")
    with pytest.raises(ConfigError, match="not the file of the run"):
        other = model.folder / "README.md"
        quality.PARTS["perplexity"]([], _options(model, corpus=other))


def test_links_are_scored_by_the_same_head_on_all_features(model, graph, monkeypatch) -> None:
    monkeypatch.setattr(link, "StringPPI", lambda name: graph)
    models = compared(model.folder, None)
    found = link.measure(models, _options(model))
    assert list(found.values) == [f"C{n} {m}" for m in ("AUROC", "AP 1:10") for n in (1, 2, 3)]
    value = found.values["C1 AUROC"]["composition"]
    assert value.low <= value.value <= value.high
    assert value.value > 0.65
    own_word = link.measure_relation(models, _options(model))
    assert list(own_word.values["C3 AUROC"]) == ["composition", "lcplm-tiny"]
    models[-1].encoder.record = Record({}, _hashes_of_test_pairs(graph))
    with pytest.raises(LeakageError, match="was trained by stage 2"):
        link.measure(models, _options(model))


def test_folds_are_counted_by_superfamily(model, tmp_path) -> None:
    """Folds differ in composition, which finds them where the fold is in training."""
    rng = np.random.default_rng(2)
    rows, records = [], []
    for fold in range(6):
        rich = LETTERS[3 * fold : 3 * fold + 3] * 6 + LETTERS
        for part, count in (
            ("train", 12),
            ("valid", 4),
            ("test_family", 4),
            ("test_superfamily", 4),
        ):
            for i in range(count):
                name, family = f"d{fold}{part}{i}", f"a.{fold + 1}.{i % 2 + 1}.1"
                records.append(f">{name} {family} (A:) x\n{''.join(rng.choice(rich, 60))}\n")
                # A fold that training lacks.
                family = "b.9.1.1" if part == "valid" and i == 0 else family
                rows.append(f"{name}\t{part}\t{family}\n")
    (tmp_path / "scope40.fasta").write_text("".join(records))
    (tmp_path / "labels.tsv").write_text("domain\tsplit\tfamily\n" + "".join(rows))
    found = homology.measure(compared(model.folder, None), _options(model, scope=tmp_path))
    assert list(found.values) == [
        f"{part}, {kind}" for kind in ("nearest neighbour", "linear probe")
        for part in ("valid", "family", "superfamily")
    ]  # fmt: skip
    for kind in ("nearest neighbour", "linear probe"):
        assert found.values[f"family, {kind}"]["composition"].value > 0.9
        assert found.values[f"valid, {kind}"]["composition"].value <= 0.75
    assert found.facts["training domains"] == 72
    with pytest.raises(ConfigError, match="needs --scope"):
        homology.measure([], _options(model, scope=None))


def _hashes_of_test_pairs(graph: PairPPI) -> np.ndarray:
    from lcplm_graph.pairs import pair_hashes

    split = graph.split(kind="node", seed=1)
    return np.sort(pair_hashes(graph.sequences.digests(), split.held_out[:3]))


def test_the_metric_of_pairs_is_that_of_the_drawn_ones() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random(50) < 0.5, rng.normal(size=50)
    numbers, weights = np.arange(10, 40), rng.integers(1, 3, 30)
    got = link._of_drawn(auroc, scores, labels[numbers], numbers, weights)
    assert got == auroc(labels[numbers], scores[numbers], weights)


def test_predictions_of_function_follow_the_features() -> None:
    """Two groups of features with a term each; the head and the neighbour both find it."""
    rng = np.random.default_rng(0)
    group = rng.integers(2, size=90)
    x = torch.from_numpy(rng.normal(0, 0.3, (90, 4)) + group[:, None]).float()
    # Term 2 is the parent of both.
    labels = torch.from_numpy(np.stack([group == 0, group == 1, group >= 0], 1))
    part = np.arange(90) % 3
    masks = [torch.from_numpy(part == n) for n in range(3)]
    options = argparse.Namespace(members=2, steps=60)

    def raised(scores):
        return np.column_stack([scores[:, :2], scores.max(axis=1)])

    found = function._predictions(x, labels, masks, raised, options)
    assert {k: len(v) for k, v in found.items()} == {"neighbour": 1, "head": 2}
    for scores in (*found["neighbour"], *found["head"]):
        own = scores[np.arange(30), group[part == 2]]
        assert (own > scores[np.arange(30), 1 - group[part == 2]]).mean() > 0.95
    assert (found["head"][..., 2] >= found["head"][..., :2].max(2)).all()


def test_answers_are_kept() -> None:
    calls = []

    def compute() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"a": np.arange(3)}

    for _ in range(2):
        assert kept("test_answers_are_kept", compute)["a"].tolist() == [0, 1, 2]
    assert len(calls) == 1


def test_the_command_measures_and_writes_the_card_anew(model, monkeypatch, capsys) -> None:
    command = ["quality.py", str(model.folder), "--parts", "perplexity", "--resamples", "20",
               "--corpus", str(model.fasta)]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    assert quality.main() == 0
    assert "written: " in capsys.readouterr().out
    found = Comparison.load(model.folder / "quality" / "perplexity.json")
    card = (model.folder / "README.md").read_text()
    assert "- Perplexity of masked residues, all: unigram (" in card.split("```")[0]
    assert f"| lcplm-tiny | {found.values['all']['lcplm-tiny']} |" in card
    monkeypatch.setattr(sys, "argv", [*command[:4], "--corpus", str(model.folder / "README.md")])
    assert quality.main() == 1
    assert "error: " in capsys.readouterr().err
    other = model.folder.with_name("lcplm-other")
    shutil.copytree(model.folder, other)
    facts = json.loads((other / "training.json").read_text())
    facts["weights"]["sha256"] = "0" * 64
    (other / "training.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="measured with other weights"):
        write_card(other)
