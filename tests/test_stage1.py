from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.stage1 import main
from lcplm_graph.training.metrics import read_metrics


@pytest.fixture
def fasta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("LAGVSERTIDPK"), int(n))) for n in rng.integers(20, 300, 200)]
    path = tmp_path / "proteins.fasta"
    path.write_text("".join(f">p{i}\n{text}\n" for i, text in enumerate(texts)))
    return path


def _run(fasta: Path, out: Path, *more: str, status: int = 0) -> None:
    found = main(
        ["--corpus", f"fasta:{fasta}", "--preset", "tiny", "--steps", "2", "--out", str(out),
         "--max-tokens", "256", "--devices", "1", *more]
    )  # fmt: skip
    assert found == status


def test_a_file_is_not_taken_for_the_folder_of_a_run(fasta: Path, capsys) -> None:
    _run(fasta, fasta, status=1)
    assert "proteins.fasta is a file; name a folder as --out" in capsys.readouterr().err


def test_every_architecture_under_the_same_data(fasta: Path, tmp_path: Path, capsys) -> None:
    tokens = set()
    for arch in ("bimamba-s", "bimamba", "mamba", "esm2"):
        out = tmp_path / arch
        _run(fasta, out, "--arch", arch, "--max-length", "64")
        rows = read_metrics(out / "metrics.csv")
        assert [row["step"] for row in rows] == [0, 2]
        assert rows[-1]["valid_mask_only_loss_512"] > 0
        assert (out / "loss_by_length.png").is_file()
        loss = rows[-1]["valid_mask_only_loss"]
        said = capsys.readouterr().out
        assert f"step 2: loss {loss:.3f} nats per masked residue" in said
        # Twelve letters, equally often.
        assert "(without a model: uniform 2.996, unigram 2.4" in said
        assert f"written: {out / 'model'}" in said and "loss.png" in said
        tokens.add(rows[-1]["tokens"])
    assert len(tokens) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--max-tokens", "5"], "give at least 10 tokens"),
        (["--max-length", "5"], "give at least 10 tokens, and a max_length of at least 8"),
        (["--devices", "none"], "Lightning refuses these devices"),
        (["--devices", "0"], "Lightning refuses these devices"),
        (["--strategy", "none"], "Lightning refuses these devices or this strategy"),
        (["--preset", "2m"], "unknown preset '2m'; known: 1m"),
        (["--corpus", "fasta:nowhere.fa"], "nowhere.fa: no such file"),
        (["--corpus", "uniref5"], "did you mean 'uniref50'"),
        (["--corpus", __file__], f"{__file__} is a path; a corpus is written fasta:{__file__}"),
    ],
)
def test_bad_input_is_one_sentence(fasta, tmp_path, arguments, text, capsys) -> None:
    out = tmp_path / "out"
    _run(fasta, out, *arguments, status=1)
    message = capsys.readouterr().err.splitlines()[-1]
    assert text in message
    assert message.startswith("lcplm stage1: ")
    assert not out.exists()
