"""Helper of test_torchrun.py: a stage with a tiny model; every rank notes the batches it trains on.

Arguments: stage1 or stage2, folder of the notes, then those of the stage.  If the environment has
KILL_AT, rank 1 kills itself before that batch, once.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path

import torch

from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.training.module import MaskedLMTask
from lcplm_graph.training.relation_task import RelationTask


def noting(original, folder: Path, rank: int):
    dead = folder / "dead"

    def training_step(self, batch, batch_idx):
        if rank == 1 and batch.number == int(os.environ.get("KILL_AT", -1)) and not dead.exists():
            dead.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with open(folder / f"rank-{rank}.txt", "a") as file:
            file.write(f"{batch.number}\n")
        return original(self, batch, batch_idx)

    return training_step


if __name__ == "__main__":
    PRESETS["tiny"] = {"d_model": 16, "n_layer": 2}
    torch.set_num_threads(1)
    stage, notes, *arguments = sys.argv[1:]
    for task in (RelationTask, MaskedLMTask):
        own = task.training_step
        task.training_step = noting(own, Path(notes), int(os.environ.get("RANK", 0)))
    status = import_module(f"lcplm_graph.{stage}").main(arguments)
    if torch.distributed.is_initialized():
        sys.exit("the process group is still open")
    sys.exit(status)
