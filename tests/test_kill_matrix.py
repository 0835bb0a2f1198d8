"""Writes that are stopped and run again; `benchmarks/kill_matrix.py` does it at every call."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "kill_matrix.py"
QUICK = ("feature-cache", "head", "download", "embed-npz")
SLOW = (
    "model", "score", "dataset-cache", "embed-h5", "embed-parquet", "embed-residues",
    "embed-shards", "unpack", "store", "split", "stage1", "stage2",
)  # fmt: skip


@pytest.mark.parametrize(
    ("jobs", "every"), [(QUICK, 50), pytest.param(SLOW, 12, marks=pytest.mark.slow)]
)
def test_what_is_stopped_and_run_again_is_as_if_it_had_not_been(jobs, every):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--every", str(every), "--job", *jobs],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r", [1-9]\d* kills, .*, 0 faults$", done.stdout, re.M)) == len(jobs)
