"""A dataset, an encoder and a head for lcplm-graph, as another package would add them."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from lcplm_graph.datasets.memory import from_dataframe
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.tokens.vocabulary import FIRST_RESIDUE, STANDARD_RESIDUES

PROTEINS, FAMILIES = 240, 6


def families(name):
    """Proteins of one family interact and are made of the same residues; ``toy-families:SEED``."""
    seed = int(name.partition(":")[2] or 0)
    rng = np.random.default_rng(seed)
    taste = rng.dirichlet(np.full(20, 0.4), FAMILIES)
    letters = np.array(list(STANDARD_RESIDUES))
    sequences = {
        f"t{i:03}": "".join(rng.choice(letters, 60, p=taste[i % FAMILIES])) for i in range(PROTEINS)
    }
    ends = rng.integers(0, PROTEINS, (40_000, 2))
    ends = ends[(ends[:, 0] % FAMILIES == ends[:, 1] % FAMILIES) & (ends[:, 0] < ends[:, 1])]
    ends = np.unique(ends, axis=0)
    ends = ends[rng.permutation(len(ends))[:2400]]
    frame = pd.DataFrame([[f"t{a:03}", f"t{b:03}"] for a, b in ends], columns=["one", "two"])
    return from_dataframe(frame, sequences, source="one", target="two")


class Charges(Encoder):
    """Residues as charge, size and one number each: four columns and no weights."""

    def __init__(self, name="toy-charges"):
        super().__init__()
        self.name, self.dim = name, 4
        table = np.zeros((20, 4), np.float32)
        for row, letter in zip(table, STANDARD_RESIDUES, strict=True):
            row[:2] = letter in "KR", letter in "DE"
            row[2:] = letter in "GASP", letter in "AVLIMFW"
        self.register_buffer("table", torch.from_numpy(table))

    def encode(self, packed):
        """Return one row per token; anything but the 20 residues is zero."""
        index = packed.input_ids - FIRST_RESIDUE
        known = (index >= 0) & (index < 20)
        return self.table[index.clamp(0, 19)] * known[:, None]


class DistancePredictor(LinkPredictor):
    """Proteins interact if their states are near."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.decoder = _Distance()


class _Distance(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.0))
        self.offset = nn.Parameter(torch.tensor(1.0))

    def forward(self, a, b):
        return self.offset - self.scale.exp() * (a - b).square().mean(-1)
