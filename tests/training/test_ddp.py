from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.walks.sampler import WalkSampler

HELPER = Path(__file__).with_name("ddp_run.py")
STEPS, WALKS = 16, 4
RELATIVE = 1e-4
"""Two processes add the same numbers in another order; float32 gradients differ by rounding."""


@pytest.fixture
def table(fasta: Path) -> Path:
    """128 of the proteins in a random graph."""
    rng = np.random.default_rng(0)
    pairs = {tuple(sorted(p)) for p in rng.integers(0, 128, (600, 2)).tolist() if p[0] != p[1]}
    pairs |= {(i, i + 1) for i in range(127)}
    path = fasta.with_suffix(".tsv")
    path.write_text("".join(f"p{a}\tp{b}\n" for a, b in sorted(pairs)))
    return path


def _run(table: Path, out: Path, *more: str) -> list[list[int]]:
    out.mkdir()
    arguments = [
        "--graph", f"pairs:{table}", "--encoder", "random:tiny", "--steps", str(STEPS),
        "--max-tokens", "1024", "--walk-tokens", "256", "--walk-length", "3", "--split", "random",
        "--eval-pairs", "20", "--log-every", "1", "--relation-rate", "0.5", "--lr", "0.001",
        "--out", str(out / "run"), *more,
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(HELPER), str(out), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return [
        [int(line) for line in path.read_text().split()] for path in sorted(out.glob("rank-*.txt"))
    ]


@pytest.mark.slow
def test_two_processes_see_every_walk_once_and_learn_as_one_does(
    table: Path, tmp_path: Path
) -> None:
    two = _run(table, tmp_path / "two", "--devices", "2", "--strategy", "ddp")
    one = _run(table, tmp_path / "one", "--devices", "1", "--accumulate", "2")
    assert [len(rank) for rank in two] == [STEPS, STEPS]
    assert sorted(two[0] + two[1]) == one[0] == list(range(2 * STEPS))

    # 2 ranks, 16 steps and 4 walks a batch are the 128 walks of an epoch: one from each protein.
    split = PairPPI(table).split(kind="random", seed=0)
    walks = WalkSampler(split, 3, seed=0)
    first = [walks[b * WALKS + w][0] for rank in two for b in rank for w in range(WALKS)]
    assert sorted(first) == list(range(128))

    rows = [read_metrics(tmp_path / name / "run" / "metrics.csv") for name in ("two", "one")]
    for a, b in zip(*rows, strict=True):
        assert (a["step"], a["tokens"]) == (b["step"], b["tokens"])
        for column in ("residue_loss", "relation_loss", "valid_residue_loss"):
            assert a[column] == pytest.approx(b[column], rel=RELATIVE, nan_ok=True)
    weights = [
        load_file(tmp_path / n / "run" / "model" / "model.safetensors") for n in ("two", "one")
    ]
    for name, value in weights[0].items():
        np.testing.assert_allclose(value, weights[1][name], rtol=1e-3, atol=1e-4, err_msg=name)
