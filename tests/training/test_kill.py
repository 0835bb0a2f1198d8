from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lcplm_graph.training.metrics import read_metrics

HELPER = Path(__file__).with_name("kill_and_resume.py")
TIMES = ("tokens_per_second", "seconds")


def _untimed(path: Path) -> list[str]:
    rows = read_metrics(path)
    return [repr({k: v for k, v in row.items() if k not in TIMES}) for row in rows]


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_and_resumed_is_bit_identical(fasta: Path, tmp_path: Path, kills: int) -> None:
    done = subprocess.run(
        [sys.executable, str(HELPER), str(fasta), str(tmp_path), str(kills)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == {"killed": [True] * kills, "status": [0, 0]}, done.stderr
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    weights = "model/model.safetensors"
    assert (whole / weights).read_bytes() == (broken / weights).read_bytes()
    rows = _untimed(whole / "metrics.csv")
    assert rows == _untimed(broken / "metrics.csv")
    steps = [row["step"] for row in read_metrics(broken / "metrics.csv")]
    last = 20 + 8 * kills
    assert steps == sorted({0, *range(3, last + 1, 3), *range(10, last + 1, 10), last})
    assert len(list((broken / "checkpoints").glob("*.ckpt"))) == 2
    sessions = json.loads((broken / "run.json").read_text())["sessions"]
    assert len(sessions) >= 2
