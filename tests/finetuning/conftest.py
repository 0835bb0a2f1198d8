"""A tiny encoder, and proteins whose labels follow from their residues."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import LcPlmForMaskedLM

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    config = LcPlmConfig(d_model=16, n_layer=1, pool="mean_std")
    LcPlmForMaskedLM(config).eval().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def proteins() -> list[str]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(60):
        weights = rng.dirichlet(np.ones(20))
        made.append("".join(rng.choice(list(LETTERS), size=rng.integers(8, 24), p=weights)))
    assert len(set(made)) == 60
    return made
