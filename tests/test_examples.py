"""Every example runs as it is, offline, and leaves a table and a picture."""

import runpy
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
def data_root(tmp_path_factory):
    """One data root for all."""
    return str(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_example_runs(name, tmp_path, data_root, monkeypatch, capfd):
    monkeypatch.setenv("LCPLM_DATA", data_root)
    monkeypatch.setenv("LCPLM_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *SMALL[name], "--out", str(tmp_path)])
    # In this process: a new one would import for as long as most of them run.
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    said = capfd.readouterr()
    assert "\n---" in said.out
    assert "written: " in said.out
    assert list(tmp_path.rglob("*.png"))
    assert "%|" in said.err


def test_encoder_in_your_gnn_is_short():
    lines = (EXAMPLES / "encoder_in_your_gnn.py").read_text().splitlines()
    start, end = lines.index("class YourGNN(torch.nn.Module):"), lines.index("    model.eval()")
    code = [line for line in lines[start:end] if line.strip() and '"""' not in line]
    assert len(code) <= 40
