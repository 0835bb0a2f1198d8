"""`benchmarks/relation_control.py`, `context.py`, `other_species.py` on a tiny run and graph."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from lcplm_graph.models.config import PRESETS
from lcplm_graph.stage2 import train
from lcplm_graph.training.options import Stage2Options

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import context
import other_species
import relation_control

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")


def _graph(folder: Path, name: str, seed: int, proteins: int = 90) -> Path:
    """Proteins rich in the same letters interact; the table says of some pairs that they do not."""
    rng = np.random.default_rng(seed)
    rich = [list("ACDE"), list("KLMN")]
    texts = ["".join(rng.choice(rich[i % 2] * 5 + LETTERS, 30)) for i in range(proteins)]
    records = (f">{name}{i}\n{text}\n" for i, text in enumerate(texts))
    (folder / f"{name}.fasta").write_text("".join(records))
    pairs = {tuple(sorted(p)) for p in rng.integers(0, proteins, (3500, 2)).tolist()}
    rows = [f"{name}{a}\t{name}{b}\t{int(a % 2 == b % 2)}\n" for a, b in sorted(pairs) if a != b]
    (folder / f"{name}.tsv").write_text("".join(rows))
    return folder / f"{name}.tsv"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a run of stage 2 and another species' pairs, and the options of its split."""
    folder = tmp_path_factory.mktemp("control")
    table = _graph(folder, "p", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
        train(
            Stage2Options(
                graph=f"pairs:{table}",
                encoder="random:tiny",
                relation="frozen",
                steps=12,
                split="node",
                split_seed=1,
                eval_pairs=20,
                out=str(folder / "run"),
                devices=1,
            )
        )
    _graph(folder, "other", 1)
    return folder, ["--graph", f"pairs:{table}", "--resamples", "10"]


def test_every_row_is_measured_in_streams_and_on_another_species(
    run, tmp_path, monkeypatch, capsys
) -> None:
    folder, options = run
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
    other = [str(folder / f"other.{kind}") for kind in ("tsv", "fasta")]
    argv = ["relation_control.py", str(folder / "run"), "--control", "random:tiny", "--steps", "12",
            "--streams", "25", "--stream-fit", "40", "--other", *other, "--part", "valid",
            "--out", str(tmp_path), *options]  # fmt: skip
    monkeypatch.setattr(sys, "argv", argv)
    relation_control.main()
    said = capsys.readouterr().out
    for title in ("valid pairs", "published pairs", "stub-matched pairs", "valid pairs inside"):
        assert f"## {title}" in said
    for name in ("valid", "published", "stub-matched"):
        values = json.loads((tmp_path / f"{name}.json").read_text())["values"]
        assert {len(rows) for rows in values.values()} == {4}
    # Composition alone tells the other species' pairs apart.
    assert values["AUROC"]["composition"]["value"] > 0.65
    streams = json.loads((tmp_path / "valid-streams.json").read_text())["values"]
    assert {len(rows) for rows in streams.values()} == {4}
    monkeypatch.setattr(sys, "argv", [*argv, "--streams", "5"])
    with pytest.raises(SystemExit, match="--streams must be 0 or at least 20"):
        relation_control.main()


def test_states_in_streams_stand_beside_those_of_single_proteins(run, monkeypatch, capsys) -> None:
    folder, options = run
    argv = ["context.py", str(folder / "run"), "--pairs", "25", "--fit", "40", "--steps", "5"]
    monkeypatch.setattr(sys, "argv", [*argv, *options])
    context.main()
    said = capsys.readouterr().out
    rows = [context.ALONE, context.BESIDE, f"{context.BESIDE}, reset 25"]
    for row in (*rows, *(f"{row}, a decoder fitted there" for row in rows)):
        assert f"\n| {row} |" in said


def test_a_model_has_its_own_word_on_another_species(run, monkeypatch, capsys) -> None:
    folder, _ = run
    other = [str(folder / f"other.{kind}") for kind in ("tsv", "fasta")]
    argv = ["other_species.py", *other, "--own", str(folder / "run"), "--members", "0"]
    monkeypatch.setattr(sys, "argv", [*argv, "--resamples", "5"])
    other_species.main()
    said = capsys.readouterr().out
    assert "| degree among the positives |" in said
    assert ", its own word |" in said
