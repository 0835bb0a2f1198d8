"""Every example runs as it is, offline, and leaves a table and a picture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SMALL = {
    "link_prediction.py": ["--quick", "--encoder", "composition"],
    "function_prediction.py": ["--quick", "--encoder", "composition"],
    "encoder_in_your_gnn.py": ["--epochs", "2"],
    "embed_fasta.py": ["--encoder", "composition", "--proteins", "60"],
    "your_own_graph.py": ["--quick", "--encoder", "composition"],
    "stage2_then_link.py": [
        "--quick", "--steps", "2", "--proteins", "160", "--longest", "150",
        "--encoder", "random:1m",
    ],
}  # fmt: skip


def test_every_example_is_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SMALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One data root for all, and no network."""
    root = tmp_path_factory.mktemp("data")
    return os.environ | {"LCPLM_DATA": str(root), "LCPLM_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_example_runs(name, tmp_path, environment):
    command = [sys.executable, str(EXAMPLES / name), *SMALL[name], "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "\n---" in done.stdout
    assert "written: " in done.stdout
    assert list(tmp_path.rglob("*.png"))
    assert "%|" in done.stderr


def test_encoder_in_your_gnn_is_short():
    lines = (EXAMPLES / "encoder_in_your_gnn.py").read_text().splitlines()
    start, end = lines.index("class YourGNN(torch.nn.Module):"), lines.index("    model.eval()")
    code = [line for line in lines[start:end] if line.strip() and '"""' not in line]
    assert len(code) <= 40
