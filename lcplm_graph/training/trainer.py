"""Lightning's trainer with what every run has: our checkpoints, our progress bar, no others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lcplm_graph.training.checkpoints import FOLDER, AtomicCheckpointIO, TimedCheckpoints
from lcplm_graph.training.memory import ReturnMemory
from lcplm_graph.training.metrics import Rows
from lcplm_graph.training.progress import Progress


def make_trainer(
    folder: Path, metrics: Rows, *, steps: int, checkpoint_minutes: float, **options: Any
) -> Trainer:
    """Make the trainer of a run.

    Parameters
    ----------
    folder : Path
        Of the run.
    metrics : Rows
    steps : int
        Optimiser steps.
    checkpoint_minutes : float
    **options
        Of Lightning's `Trainer`.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return Trainer(
        max_steps=steps,
        max_epochs=-1,
        callbacks=[
            metrics,
            Progress(metrics),
            TimedCheckpoints(folder / FOLDER, checkpoint_minutes),
            ReturnMemory(),
        ],
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )
