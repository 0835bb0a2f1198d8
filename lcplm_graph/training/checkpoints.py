"""Checkpoints: written whole or not at all, checked before use, the last two kept.

They are Lightning's ``.ckpt`` files (optimiser state and loop counters have no other format), read
with ``weights_only=True``, so that nothing but tensors and plain values is ever unpickled.
"""

from __future__ import annotations

import os
import re
import signal
import zipfile
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lcplm_graph.errors import CheckpointError, Interrupted
from lcplm_graph.io import atomic_path, warn_once
from lcplm_graph.training.data import is_first_process

FOLDER = "checkpoints"
_KEPT = 2
_NAME = re.compile(r"step-(\d+)\.ckpt")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, renamed into place only when they are complete on disk."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write beside `path`, sync, rename."""
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and plain values only."""
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)


def checkpoints_in(folder: str | os.PathLike[str]) -> list[Path]:
    """Checkpoints of a folder, newest first."""
    found = [p for p in Path(folder).glob("*.ckpt") if _NAME.fullmatch(p.name)]
    return sorted(found, key=step_of, reverse=True)


def keep_newest(folder: str | os.PathLike[str]) -> None:
    """Remove all checkpoints but the last two, and what a kill left half written."""
    for rest in (*Path(folder).glob(".step-*.part.ckpt*"), *checkpoints_in(folder)[_KEPT:]):
        rest.unlink(missing_ok=True)


def step_of(path: Path) -> int:
    """Optimiser step of a checkpoint, from its name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise CheckpointError(f"{path}: checkpoints of a run are called step-<number>.ckpt")
    return int(match[1])


def is_intact(path: Path) -> bool:
    """Whether a checkpoint reads, with the right checksums (CRC-32), and is of the step it says."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        # Torch reads archives in its own way and does not look at checksums; this asks it.
        content = torch.load(path, map_location="meta", weights_only=True)
        return isinstance(content["state_dict"], dict) and content["global_step"] == step_of(path)
    except Exception:  # a damaged archive or pickle raises nearly anything
        return False


def newest_intact(candidates: list[Path]) -> Path:
    """Return the first intact checkpoint; a damaged one is named in a warning and set aside.

    Raises
    ------
    CheckpointError
        If all are damaged.
    """
    damaged: list[Path] = []
    for path in candidates:
        if is_intact(path):
            if damaged:
                warn_once(
                    f"checkpoint {', '.join(map(str, damaged))} is damaged and was renamed to "
                    f"*.damaged; going on from the one before, {path}"
                )
            return path
        damaged.append(path)
        if is_first_process():
            path.rename(path.with_name(path.name + ".damaged"))
    raise CheckpointError(
        f"no checkpoint can be read: {', '.join(map(str, damaged))} damaged; start a new run"
    )


class TimedCheckpoints(Checkpoint):
    """Save at fixed intervals, at the end, and before leaving on SIGTERM or Ctrl-C.

    Saves happen between optimiser steps only, after that step's row of metrics.csv.

    Parameters
    ----------
    folder : path-like
    minutes : float
    """

    def __init__(self, folder: str | os.PathLike[str], minutes: float) -> None:
        self.folder, self.minutes = Path(folder), minutes
        self._signum = 0
        self._saved_at = 0.0
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and take over the signals from Lightning, which does not save."""
        self._saved_at = monotonic()
        if trainer.is_global_zero:
            self._tidy(trainer.global_step)
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._handlers[signum] = signal.signal(signum, self._note)

    def _tidy(self, step: int) -> None:
        """Set aside what lies ahead of this step, and remove what a kill left."""
        for path in checkpoints_in(self.folder):
            if step_of(path) > step:
                path.rename(path.with_name(path.name + ".superseded"))
        keep_newest(self.folder)

    def _note(self, signum: int, _: Any) -> None:
        self._signum = signum

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time; leave if a signal came."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        # Ranks must agree: clocks differ, and a signal may have reached one of them only.
        decide = trainer.strategy.reduce_boolean_decision
        stops = decide(bool(self._signum), all=False)
        is_due = monotonic() - self._saved_at >= 60 * self.minutes
        is_last = trainer.global_step == trainer.max_steps
        if stops or is_last or decide(is_due and trainer.is_global_zero, all=False):
            path = self.save(trainer)
            if stops and not is_last:
                raise Interrupted(self._signum or signal.SIGTERM, path)

    def save(self, trainer: Trainer) -> Path:
        """Write a checkpoint of this step and remove all but the last two."""
        path = self.folder / f"step-{trainer.global_step:08d}.ckpt"
        trainer.save_checkpoint(path)
        self._saved_at = monotonic()
        if trainer.is_global_zero:
            keep_newest(self.folder)
        return path

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._restore()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def _restore(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())
