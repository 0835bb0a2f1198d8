"""Helper of test_ddp.py: stage 2 with a tiny model; every rank notes the batches it trains on.

Arguments: folder of the notes, then those of stage 2.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from lcplm_graph.models.config import PRESETS
from lcplm_graph.stage2 import main
from lcplm_graph.training.module import MaskedLMTask

original = MaskedLMTask.training_step


def noting(notes: Path):
    def training_step(self, batch, batch_idx):
        with open(notes, "a") as file:
            file.write(f"{batch.number}\n")
        return original(self, batch, batch_idx)

    return training_step


if __name__ == "__main__":
    PRESETS["tiny"] = {"d_model": 16, "n_layer": 1}
    torch.set_num_threads(1)
    rank = os.environ.get("LOCAL_RANK", "0")
    MaskedLMTask.training_step = noting(Path(sys.argv[1]) / f"rank-{rank}.txt")
    main(sys.argv[2:])
