"""Two processes under torchrun, by gloo on the CPU: the batches, losses and weights of one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.stage1 import main
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.walks.sampler import WalkSampler

HELPER = Path(__file__).with_name("torchrun_stage.py")
WALKS = 4
LOSSES = {
    "residue_loss", "relation_loss", "contrastive_loss", "pair_loss", "valid_loss",
    "gradient_norm", "valid_pair_auroc",
}  # fmt: skip
RELATIVE = 1e-4
"""Two processes add the same numbers in another order; float32 gradients differ by rounding."""
NEW_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
"""Without it restarted ranks share torchrun's store, where addresses of the dead may be left."""
COMMON = ["--max-tokens", "1024", "--log-every", "1", "--eval-every", "100", "--lr", "0.001"]
STRATEGIES = [
    ("ddp", "32-true"),
    pytest.param("fsdp", "32-true", marks=pytest.mark.slow),
    pytest.param("fsdp", "bf16-mixed", marks=pytest.mark.slow),
]


def stage1(fasta: Path, steps: int = 6) -> list[str]:
    own = ["--corpus", f"fasta:{fasta}", "--preset", "tiny", "--eval-tokens", "300"]
    return ["stage1", *own, *COMMON, "--steps", str(steps)]


def stage2(table: Path, steps: int = 16) -> list[str]:
    own = [
        "--graph", f"pairs:{table}", "--encoder", "random:tiny", "--walk-tokens", "128",
        "--walk-length", "3", "--split", "random", "--eval-pairs", "20", "--relation-rate", "0.5",
        "--decoder-steps", "10", "--curriculum", "9",
    ]  # fmt: skip
    return ["stage2", *own, *COMMON, "--steps", str(steps)]


@pytest.fixture
def table(fasta: Path) -> Path:
    """128 of the proteins in a random graph."""
    rng = np.random.default_rng(0)
    pairs = {tuple(sorted(p)) for p in rng.integers(0, 128, (600, 2)).tolist() if p[0] != p[1]}
    pairs |= {(i, i + 1) for i in range(127)}
    path = fasta.with_suffix(".tsv")
    path.write_text("".join(f"p{a}\tp{b}\n" for a, b in sorted(pairs)))
    return path


def run(
    stage: list[str], out: Path, *more: str, processes: int = 1, **environment: str
) -> list[list[int]]:
    """Run a stage; batches of every rank in the order of their computation."""
    out.mkdir(exist_ok=True)
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--max-restarts", "1"]
        launcher += ["--nproc-per-node", str(processes)]
    done = subprocess.run(
        [*launcher, str(HELPER), stage[0], str(out), *stage[1:], "--out", str(out / "run"), *more],
        env={**os.environ, "OMP_NUM_THREADS": "1", **NEW_STORE, **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return [
        [int(line) for line in path.read_text().split()] for path in sorted(out.glob("rank-*.txt"))
    ]


def assert_learnt_the_same(two: Path, one: Path) -> None:
    rows = [read_metrics(folder / "run" / "metrics.csv") for folder in (two, one)]
    for a, b in zip(*rows, strict=True):
        assert (a["step"], a["tokens"]) == (b["step"], b["tokens"])
        for column in a.keys() & LOSSES:
            assert a[column] == pytest.approx(b[column], rel=RELATIVE, nan_ok=True)
    weights = [load_file(folder / "run" / "model" / "model.safetensors") for folder in (two, one)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        np.testing.assert_allclose(value, weights[1][name], rtol=1e-3, atol=1e-4, err_msg=name)
    embeddings = [load_encoder(folder / "run").embed(["MKTAYIAK", "GAV"]) for folder in (two, one)]
    np.testing.assert_allclose(*embeddings, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("strategy", "precision"), STRATEGIES)
def test_stage1_under_torchrun_learns_as_one_process_does(
    fasta: Path, tmp_path: Path, strategy: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*stage1(fasta), "--precision", precision]
    two = run(options, tmp_path / "two", "--strategy", strategy, processes=2)
    assert two == [list(range(0, 12, 2)), list(range(1, 12, 2))]
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 2})
    alone = [*options[1:], "--devices", "1", "--accumulate", "2"]
    main([*alone, "--out", str(tmp_path / "one" / "run")])
    assert_learnt_the_same(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_contrastive_term_under_torchrun_learns_as_one_process_does(
    fasta: Path, tmp_path: Path, strategy: str
) -> None:
    clusters = tmp_path / "clusters.tsv"
    clusters.write_text("".join(f"p{i - i % 4}\tp{i}\n" for i in range(400)))
    options = [*stage1(fasta), "--clusters", str(clusters), "--contrastive", "1.0"]
    two = run(options, tmp_path / "two", "--strategy", strategy, processes=2)
    assert two == [list(range(0, 12, 2)), list(range(1, 12, 2))]
    run(options, tmp_path / "one", "--devices", "1", "--accumulate", "2")
    assert_learnt_the_same(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_stage2_under_torchrun_sees_every_walk_once(
    table: Path, tmp_path: Path, strategy: str
) -> None:
    two = run(stage2(table), tmp_path / "two", "--strategy", strategy, processes=2)
    one = run(stage2(table), tmp_path / "one", "--devices", "1", "--accumulate", "2")
    assert [len(rank) for rank in two] == [16, 16]
    assert sorted(two[0] + two[1]) == one[0] == list(range(32))
    # 2 ranks, 16 steps and 4 walks a batch are the 128 walks of an epoch: one from each protein.
    walks = WalkSampler(PairPPI(table).split(kind="random", seed=0), 3, seed=0)
    first = [walks[b * WALKS + w][0] for rank in two for b in rank for w in range(WALKS)]
    assert sorted(first) == list(range(128))
    assert_learnt_the_same(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_killed_rank_is_restarted_by_torchrun_and_nothing_is_lost(
    fasta: Path, tmp_path: Path, strategy: str
) -> None:
    options = ["--strategy", strategy, "--resume", "auto", "--checkpoint-minutes", "0.00001"]
    whole = run(stage1(fasta), tmp_path / "whole", *options, processes=2)
    broken = run(stage1(fasta), tmp_path / "broken", *options, processes=2, KILL_AT="7")
    assert (tmp_path / "broken" / "dead").exists()
    # A checkpoint after every step: only the step of the kill was computed again, by rank 0.
    assert broken[1] == whole[1]
    assert Counter(broken[0]) - Counter(whole[0]) == Counter({6: 1})
    files = [
        tmp_path / name / "run" / "model" / "model.safetensors" for name in ("whole", "broken")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    steps = [row["step"] for row in read_metrics(tmp_path / "broken" / "run" / "metrics.csv")]
    assert steps == list(range(7))


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(fasta: Path, tmp_path: Path) -> None:
    options = ["--strategy", "auto", "--resume", "auto", "--checkpoint-minutes", "0.00001"]
    two = run(stage1(fasta), tmp_path / "run", *options, processes=2)
    assert sorted(two[0] + two[1]) == list(range(12))
    newest = max((tmp_path / "run" / "run" / "checkpoints").glob("*.ckpt"))
    newest.unlink()  # step 5 is left, after batch 9; its step 6 now takes one batch
    one = run(stage1(fasta), tmp_path / "run", *options)
    assert one[0][len(two[0]) :] == [10]
