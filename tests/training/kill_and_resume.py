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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.utils.tensorboard  # slow to import; the children inherit it

import lcplm_graph.training.architectures
import lcplm_graph.training.graphs
import lcplm_graph.training.heldout
import lcplm_graph.training.plots
import lcplm_graph.training.run
import lcplm_graph.training.windows  # noqa: F401
from lcplm_graph import stage1, stage2
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.stage1 import Stage1Options
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.training.options import Stage2Options
from lcplm_graph.training.relation_task import RelationTask

PRESETS["tiny"] = {"d_model": 16, "n_layer": 1}
Options = Stage1Options | Stage2Options


def start(options: Options, before: Callable[[], None] = lambda: None) -> int:
    """Fork a run; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    torch.set_num_threads(1)
    try:
        before()
        if isinstance(options, Stage1Options):
            stage1.train(options)
        else:
            stage2.train(options)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def kill_at_row(options: Options, step: int, delay: float) -> bool:
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


def kill_in_step(options: Stage2Options, step: int, method: str) -> bool:
    """Let a run of stage 2 kill itself in a step, as it enters a method of the task."""
    original = getattr(RelationTask, method)

    def killed(self: RelationTask, *args: object, **kwargs: object) -> object:
        if self.trainer.global_step >= step:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **kwargs)

    pid = start(options, lambda: setattr(RelationTask, method, killed))
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def finish(options: Options) -> int:
    return os.waitpid(start(options), 0)[1]


def of_stage1(fasta: str, out: str, kills: int) -> tuple[list[int], list[bool]]:
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
    return [*status, finish(broken)], killed


def of_stage2(table: str, out: str, kills: int) -> tuple[list[int], list[bool]]:
    """Kill before a step, after the weights changed but not yet the bank, and at random."""
    whole = Stage2Options(
        graph=f"pairs:{table}", encoder="random:tiny", steps=8 + 2 * kills, max_tokens=512,
        walk_tokens=200, walk_length=3, curriculum=10, relation_rate=0.5, split="random",
        eval_pairs=20, decoder_steps=10, log_every=1, eval_every=100, marker_step=1.0, accumulate=2,
        out=f"{out}/whole", devices=1, checkpoint_minutes=0.0005,
    )  # fmt: skip
    status = [finish(whole)]
    rng = random.Random(0)
    broken = replace(whole, out=f"{out}/broken", resume="auto")
    killed = [
        kill_in_step(broken, 2, "training_step"),
        kill_in_step(broken, 4, "_hop_scores"),
        kill_in_step(broken, 6, "_remember"),
    ]
    killed += [
        kill_at_row(broken, 8 + 2 * k + rng.randrange(2), rng.random() * 0.1)
        for k in range(kills - len(killed))
    ]
    return [*status, finish(broken)], killed


def main(stage: str, data: str, out: str, kills: int) -> None:
    status, killed = {"stage1": of_stage1, "stage2": of_stage2}[stage](data, out, kills)
    Path(out, "result.json").write_text(json.dumps({"killed": killed, "status": status}))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
