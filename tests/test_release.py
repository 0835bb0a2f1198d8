"""`lcplm release`: a finished run becomes a small folder whose card is made from it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lcplm_graph import stage1, stage2
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.release import main, seconds_of_sessions, without_folders


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of stage 1 of two steps."""
    folder = tmp_path_factory.mktemp("release")
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("LAGVSERTIDPK"), int(n))) for n in rng.integers(20, 300, 200)]
    fasta = folder / "proteins.fasta"
    fasta.write_text("".join(f">p{i}\n{text}\n" for i, text in enumerate(texts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 2})
        stage1.main(
            ["--corpus", f"fasta:{fasta}", "--preset", "tiny", "--steps", "2", "--devices", "1",
             "--max-tokens", "256", "--out", str(folder / "run")]
        )  # fmt: skip
    return folder / "run"


def test_a_run_becomes_a_folder(run: Path, tmp_path: Path, capsys) -> None:
    np.save(run / "model" / "seen_edges.npy", np.arange(3, dtype=np.uint64))
    note = tmp_path / "note.md"
    note.write_text("Made of *random* letters.\n")
    out = tmp_path / "lcplm-new"
    assert main([str(run), "--out", str(out), "--note", str(note)]) == 0
    assert "written: " in capsys.readouterr().out

    given, stored = load_encoder(run), load_encoder(out)
    assert (given.pool, stored.pool) == ("mean", "mean_std")
    assert stored.seen_edges().tolist() == [0, 1, 2]
    assert all(p.dtype == torch.float32 for p in stored.parameters())
    proteins = ["MKTAYIAKQRQISFVK", "GGAVLIMFW" * 30]
    difference = (stored.embed(proteins, "mean") - given.embed(proteins, "mean")).norm(dim=1)
    assert (difference / given.embed(proteins, "mean").norm(dim=1)).max() < 2e-3
    large = run / "model" / "model.safetensors"
    assert (out / "model.safetensors").stat().st_size < 0.75 * large.stat().st_size

    facts = json.loads((out / "training.json").read_text())
    last = (run / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert facts["tokens"] == int(last[1])
    assert facts["data"]["sha256"] == json.loads((run / "run.json").read_text())["data"]["sha256"]
    card = (out / "README.md").read_text()
    assert "Nothing has been measured yet" in card.split("```")[0]
    for expected in ("# lcplm-new", "proteins.fasta", facts["data"]["sha256"], "*random*",
                     f"| tokens | {facts['tokens']:,} |", "| neighbours floor |",
                     facts["seen_edges"]["sha256"]):  # fmt: skip
        assert expected in card
    everything = card + (out / "training.json").read_text()
    assert str(run.parent) not in everything
    assert not re.search(r"/(tmp|home|work|root)/", everything)


def test_weights_beyond_half_precision_are_refused(run: Path, tmp_path: Path, capsys) -> None:
    from lcplm_graph.models.modeling import LcPlmForMaskedLM

    big = tmp_path / "run"
    for name in ("run.json", "metrics.csv", "config.yaml"):
        (big / name).parent.mkdir(exist_ok=True)
        (big / name).write_bytes((run / name).read_bytes())
    model = LcPlmForMaskedLM.from_pretrained(run / "model")
    with torch.no_grad():
        model.lm_head.weight[3, 0] = 1e6
    model.save_pretrained(big / "model")
    assert main([str(big), "--out", str(tmp_path / "out")]) == 1
    assert "beyond the range of float16" in capsys.readouterr().err
    assert main([str(big), "--out", str(tmp_path / "out"), "--full"]) == 0
    assert load_encoder(tmp_path / "out").model.lm_head.weight[3, 0] == 1e6


def test_what_cannot_be_released(run: Path, tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no run.json here" in capsys.readouterr().err
    unfinished = json.loads((run / "run.json").read_text())
    del unfinished["finished"]
    (tmp_path / "run.json").write_text(json.dumps(unfinished))
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "not finished; go on with --resume auto" in capsys.readouterr().err
    (tmp_path / "note.md").write_bytes("Café".encode("latin-1"))
    assert main([str(run), "--out", str(tmp_path / "out"), "--note", str(tmp_path / "note.md")])
    assert "note.md: not UTF-8" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_earlier_runs_are_told_and_checked(run: Path, tmp_path: Path, capsys) -> None:
    later = tmp_path / "later"
    shutil.copytree(run, later)
    manifest = json.loads((later / "run.json").read_text())
    assert main([str(later), "--out", str(tmp_path / "out"), "--before", str(run)]) == 1
    assert "did not start from the model of" in capsys.readouterr().err
    manifest["data"]["encoder_fingerprint"] = load_encoder(run).fingerprint()
    (later / "run.json").write_text(json.dumps(manifest))
    assert main([str(later), "--out", str(tmp_path / "out"), "--before", str(run)]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "; then masked residues on proteins.fasta" in card
    assert card.index("## Run 1") < card.index("## Last run")
    assert "1 processes of" in card


def test_a_released_model_brings_its_runs(run: Path, tmp_path: Path) -> None:
    released, again, later = (tmp_path / name for name in ("lcplm-old", "lcplm-new", "later"))
    assert main([str(run), "--out", str(released)]) == 0
    shutil.copytree(run, later)
    manifest = json.loads((later / "run.json").read_text())
    manifest["data"]["encoder_fingerprint"] = load_encoder(released).fingerprint()
    (later / "run.json").write_text(json.dumps(manifest))
    assert main([str(later), "--out", str(again), "--before", str(released)]) == 0
    before = json.loads((again / "training.json").read_text())["before"]
    told = json.loads((released / "training.json").read_text())
    assert [b["tokens"] for b in before] == [told["tokens"]]
    assert before[0]["data"] == told["data"]
    assert "weights" not in before[0]


@pytest.fixture
def graph_run(tmp_path: Path) -> Path:
    """A finished run of stage 2 of one step, whose decoder reads means."""
    rng = np.random.default_rng(0)
    pairs = {tuple(sorted(p)) for p in rng.integers(0, 60, (240, 2)).tolist() if p[0] != p[1]}
    (tmp_path / "g.tsv").write_text("".join(f"p{a}\tp{b}\n" for a, b in sorted(pairs)))
    texts = ["".join(rng.choice(list("LAGVSERTIDPK"), 40)) for _ in range(60)]
    (tmp_path / "g.fasta").write_text("".join(f">p{i}\n{text}\n" for i, text in enumerate(texts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
        stage2.main(
            ["--graph", f"pairs:{tmp_path / 'g.tsv'}", "--encoder", "random:tiny", "--steps", "1",
             "--devices", "1", "--max-tokens", "512", "--split", "random", "--decoder-steps", "1",
             "--out", str(tmp_path / "run")]
        )  # fmt: skip
    return tmp_path / "run"


def test_the_pooling_is_that_of_the_relation_decoder(graph_run, tmp_path, capsys) -> None:
    out = tmp_path / "lcplm-g"
    for pool in ("max", "mean_std"):
        assert main([str(graph_run), "--out", str(out), "--pool", pool]) == 1
        assert "its relation decoder reads states pooled by 'mean', not" in capsys.readouterr().err
    assert not out.exists()
    # The second time the folder is there, with what the model has seen.
    for more in ([], ["--pool", "mean"]):
        assert main([str(graph_run), "--out", str(out), *more]) == 0
        assert load_encoder(out).pool == "mean"
    seen = load_encoder(graph_run).seen_edges()
    assert np.array_equal(load_encoder(out).seen_edges(), seen)


def test_hours_add_up_over_sessions() -> None:
    rows = [{"seconds": s} for s in (float("nan"), 10.0, 20.0, 5.0, 7.0)]
    assert seconds_of_sessions(rows) == 27


def test_paths_become_names() -> None:
    given = {"corpus": "fasta:/data/x/a.fasta.gz", "lr": 0.1, "to": ["b/c", "plain"]}
    assert without_folders(given) == {
        "corpus": "fasta:a.fasta.gz",
        "lr": 0.1,
        "to": ["c", "plain"],
    }
