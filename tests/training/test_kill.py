from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lcplm_graph.models.folder import RECORD
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.training.checkpoints import checkpoints_in, newest_intact
from lcplm_graph.training.metrics import read_metrics

HELPER = Path(__file__).with_name("kill_and_resume.py")
TIMES = ("tokens_per_second", "seconds")


def _untimed(path: Path) -> list[str]:
    rows = read_metrics(path)
    return [repr({k: v for k, v in row.items() if k not in TIMES}) for row in rows]


def _killed_and_resumed(stage: str, data: Path, out: Path, kills: int) -> tuple[Path, Path]:
    """Return the folders of a run that was left alone and of one that was killed and resumed."""
    done = subprocess.run(
        [sys.executable, str(HELPER), stage, str(data), str(out), str(kills)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((out / "result.json").read_text())
    assert result == {"killed": [True] * kills, "status": [0, 0]}, done.stderr
    whole, broken = out / "whole", out / "broken"
    assert _untimed(whole / "metrics.csv") == _untimed(broken / "metrics.csv")
    assert len(json.loads((broken / "run.json").read_text())["sessions"]) >= 2
    return whole, broken


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_and_resumed_is_bit_identical(fasta: Path, tmp_path: Path, kills: int) -> None:
    whole, broken = _killed_and_resumed("stage1", fasta, tmp_path, kills)
    weights = "model/model.safetensors"
    assert (whole / weights).read_bytes() == (broken / weights).read_bytes()
    steps = [row["step"] for row in read_metrics(broken / "metrics.csv")]
    last = 20 + 8 * kills
    assert steps == sorted({0, *range(3, last + 1, 3), *range(10, last + 1, 10), last})
    assert len(list((broken / "checkpoints").glob("*.ckpt"))) == 2


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_stage2_and_its_bank_too(tmp_path: Path, kills: int) -> None:
    """The last checkpoint holds the bank, and the folders of the models are the same files."""
    rng = np.random.default_rng(0)
    letters = np.array(list("LAGVSERTIDPKQNFYMHWC"))
    texts = ["".join(rng.choice(letters, int(n))) for n in rng.integers(20, 60, 60)]
    write_fasta(tmp_path / "graph.fasta", [f"p{i}" for i in range(60)], texts)
    pairs = {tuple(sorted(p)) for p in rng.integers(0, 60, (240, 2)).tolist() if p[0] != p[1]}
    table = tmp_path / "graph.tsv"
    table.write_text("".join(f"p{a}\tp{b}\n" for a, b in sorted(pairs)))
    whole, broken = _killed_and_resumed("stage2", table, tmp_path, kills)
    banks = [_last_state(folder) for folder in (whole, broken)]
    assert banks[0]["bank"].abs().sum() > 0
    assert banks[0].keys() == banks[1].keys()
    assert all(torch.equal(value, banks[1][key]) for key, value in banks[0].items())
    files = [_files(folder) for folder in (whole, broken)]
    assert files[0].keys() == files[1].keys() >= {"model/model.safetensors", "split.npz"}
    learned = [value for name, value in banks[0].items() if name.endswith(".marker_step_bias")]
    assert len(learned) == 2
    assert all((value != 1).all() for value in learned)
    differ = [name for name in files[0] if files[0][name] != files[1][name]]
    assert not differ


def _last_state(folder: Path) -> dict[str, torch.Tensor]:
    last = newest_intact(checkpoints_in(folder / "checkpoints"))
    return torch.load(last, weights_only=True)["state_dict"]


def _files(folder: Path) -> dict[str, bytes]:
    """What a run leaves for use elsewhere, by name; the record of the model holds times."""
    found = [*folder.glob("model/**/*"), *folder.glob("split.*")]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if path.is_file() and path.name != RECORD
    }
