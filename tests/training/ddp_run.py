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

PRESETS["tiny"] = {"d_model": 16, "n_layer": 1}
torch.set_num_threads(1)
notes = Path(sys.argv[1]) / f"rank-{os.environ.get('LOCAL_RANK', '0')}.txt"
original = MaskedLMTask.training_step


def training_step(self, batch, batch_idx):
    with open(notes, "a") as file:
        file.write(f"{batch.number}\n")
    return original(self, batch, batch_idx)


MaskedLMTask.training_step = training_step
main(sys.argv[2:])
