from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.stage1 import Stage1Options


@pytest.fixture(autouse=True)
def _tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    letters = np.array(list("LAGVSERTIDPKQNFYMHWC"))
    texts = ["".join(rng.choice(letters, int(n))) for n in rng.integers(20, 200, 400)]
    path = tmp_path / "proteins.fasta"
    write_fasta(path, [f"p{i}" for i in range(len(texts))], texts)
    return path


@pytest.fixture
def tiny_options(fasta: Path, tmp_path: Path) -> Callable[..., Stage1Options]:
    """Options of a run of a second; keywords override them."""

    def make(**changes: Any) -> Stage1Options:
        options: dict[str, Any] = {
            "corpus": f"fasta:{fasta}", "preset": "tiny", "steps": 6, "max_tokens": 256,
            "eval_tokens": 300, "log_every": 1, "eval_every": 100, "out": str(tmp_path / "run"),
            "devices": 1,
        }  # fmt: skip
        return Stage1Options(**{**options, **changes})

    return make
