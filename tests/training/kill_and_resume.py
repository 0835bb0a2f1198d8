"""Helper of test_kill.py: a warm process that forks training runs and kills them with SIGKILL.

Importing takes seconds and a tiny run one, so the children share the parent's imports.  The
parent runs no kernel itself, hence no thread is lost in a fork.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import torch
import torch.utils.tensorboard  # slow to import; the children inherit it

import lcplm_graph.training.architectures
import lcplm_graph.training.heldout
import lcplm_graph.training.run
import lcplm_graph.training.windows  # noqa: F401
from lcplm_graph.models.config import PRESETS
from lcplm_graph.stage1 import Stage1Options, train
from lcplm_graph.training.metrics import read_metrics

PRESETS["tiny"] = {"d_model": 16, "n_layer": 1}


def start(options: Stage1Options) -> int:
    pid = os.fork()
    if pid:
        return pid
    torch.set_num_threads(1)
    try:
        train(options)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def kill_at_row(options: Stage1Options, step: int, delay: float) -> bool:
    """Kill a run some time after it wrote the row of `step`; whether it was still running."""
    pid = start(options)
    metrics = Path(options.out) / "metrics.csv"
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        rows = read_metrics(metrics)
        if rows and rows[-1]["step"] >= step:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            return os.WIFSIGNALED(status)
        time.sleep(0.002)
    return False


def finish(options: Stage1Options) -> int:
    return os.waitpid(start(options), 0)[1]


def main(fasta: str, out: str, kills: int) -> None:
    whole = Stage1Options(
        corpus=f"fasta:{fasta}", preset="tiny", steps=20 + 8 * kills, max_tokens=256,
        eval_tokens=300, log_every=3, eval_every=10, out=f"{out}/whole", devices=1,
        checkpoint_minutes=0.0005, accumulate=2,
    )  # fmt: skip
    status = [finish(whole)]
    rng = random.Random(0)
    broken = replace(whole, out=f"{out}/broken", resume="auto")
    killed = [
        kill_at_row(broken, 8 * k + rng.randrange(8), rng.random() * 0.1) for k in range(kills)
    ]
    status.append(finish(broken))
    Path(out, "result.json").write_text(json.dumps({"killed": killed, "status": status}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
