"""Writes that are stopped and run again; `benchmarks/kill_matrix.py` does it at every call."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lcplm_graph.io import whole_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import kill_matrix
from kill_matrix import Job, Matrix

SCRIPT = Path(kill_matrix.__file__)
QUICK = ("feature-cache", "head", "download", "embed-npz")
SLOW = (
    "model", "score", "dataset-cache", "embed-h5", "embed-parquet", "embed-residues",
    "embed-shards", "unpack", "store", "split", "stage1", "stage2", "finetune", "release",
    "shards", "score-command", "search", "map", "variants", "contacts", "edges", "partners",
    "function", "evaluate-link", "evaluate-function", "evaluate-homology", "evaluate-contacts",
    "evaluate-variants", "evaluate-ogb", "predict-property", "stage2-species", "data-command",
)  # fmt: skip


def _wholly(folder: Path) -> None:
    with whole_folder(folder / "made") as made:
        for name in ("a", "b"):
            (made / name).write_text(name)


def _in_parts(folder: Path) -> None:
    if not (folder / "a").exists():
        (folder / "a").write_text("a")
        (folder / "b").write_text("b")


def test_a_copy_is_what_a_killed_process_leaves(tmp_path):
    matrix = Matrix("wholly", Job(_wholly, before=_wholly), tmp_path, kills=3).run(die=1)
    counts = matrix.counts
    assert counts["kills"] == counts["died"] == counts["full disks"] == len(matrix.calls) > 10
    assert counts["kills again"] > counts["kills"]
    assert counts["died elsewhere"] == 0
    assert matrix.faults == []


def test_what_cannot_go_on_is_found(tmp_path):
    faults = Matrix("in parts", Job(_in_parts), tmp_path).run().faults
    assert any("killed: the result differs" in fault for fault in faults)
    assert any("disk full: no sentence" in fault for fault in faults)


# All jobs take half an hour of a shared core, where a test has five minutes.
ALL = (pytest.mark.slow, pytest.mark.timeout(5400))


@pytest.mark.parametrize(("jobs", "every"), [(QUICK, 50), pytest.param(SLOW, 12, marks=ALL)])
def test_what_is_stopped_and_run_again_is_as_if_it_had_not_been(jobs, every):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--every", str(every), "--job", *jobs],
        capture_output=True,
        text=True,
        timeout=5400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r", [1-9]\d* kills, .*, 0 faults$", done.stdout, re.M)) == len(jobs)
