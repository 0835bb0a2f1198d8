"""A run's folder, and the Lightning trainer that fills it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import platform, python_version
from typing import Any

import numpy as np
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lcplm_graph import __version__
from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.io import atomic_path, whole_folder
from lcplm_graph.models.checkpoints import first_line
from lcplm_graph.models.folder import ModelFolder, Record
from lcplm_graph.process import keep_freed_memory
from lcplm_graph.training.checkpoints import (
    FOLDER,
    AtomicCheckpointIO,
    TimedCheckpoints,
    checkpoints_in,
    newest_intact,
    step_of,
)
from lcplm_graph.training.data import BatchSource, TrainData, is_first_process
from lcplm_graph.training.memory import ReturnMemory
from lcplm_graph.training.metrics import TRAIN_COLUMNS, Evaluate, Metrics, MetricsCsv
from lcplm_graph.training.module import MaskedLMTask
from lcplm_graph.training.options import TrainOptions
from lcplm_graph.training.parallel import closed_process_group, trainer_layout
from lcplm_graph.training.progress import Progress
from lcplm_graph.training.resume import (
    CONFIG,
    MANIFEST,
    read_manifest,
    refuse_other_data,
    stored_options,
)

METRICS, MODEL = "metrics.csv", "model"
_PACKAGES = ("torch", "lightning", "transformers", "numba", "numpy", "pyarrow")


@dataclass
class Run:
    """What a stage trains, on what, and what it leaves behind.

    Attributes
    ----------
    task : MaskedLMTask
    source : BatchSource
        Training batches.
    evaluate : callable
        Held-out figures, see `lcplm_graph.training.metrics.Evaluate`.
    columns : sequence of str
        Names of these figures.
    facts : dict
        What the manifest and ``model/training.json`` say of the data.
    before : Record
        Of the model that training starts from; what it saw, the new model has seen.
    seen_edges : callable, optional
        Returns the hashes of the pairs that this run may show.
    finish : callable
        Called with the run's folder when the model is there, on one process.
    """

    task: MaskedLMTask
    source: BatchSource
    evaluate: Evaluate
    columns: Sequence[str]
    facts: dict[str, Any] = field(default_factory=dict)
    before: Record = field(default_factory=Record)
    seen_edges: Callable[[], np.ndarray] | None = None
    finish: Callable[[Path], None] = lambda _: None


@closed_process_group()
def run_training(options: TrainOptions, run: Run, checkpoint: Path | None) -> None:
    """Train to the end and leave model, figures and manifest in the run's folder.

    Parameters
    ----------
    options : TrainOptions
    run : Run
    checkpoint : Path or None
        From `claimed`.

    Raises
    ------
    TrainingError
        If the loss becomes NaN or infinite.
    Interrupted
        After SIGTERM or Ctrl-C, when everything is saved.
    """
    refuse_other_data(options, run.facts, checkpoint)
    keep_freed_memory()
    folder = Path(options.out)
    start = -1 if checkpoint is None else step_of(checkpoint)
    if start >= options.steps:
        _begin(options, run.facts, checkpoint, 0)
    else:
        metrics = Metrics(options.log_every, options.eval_every, run.evaluate)
        try:
            trainer = _trainer(options, run, metrics, start)
        except (MisconfigurationException, ValueError) as error:
            raise ConfigError(
                f"Lightning refuses these devices or this strategy: {error}"
            ) from error
        _begin(options, run.facts, checkpoint, trainer.world_size)
        data = TrainData(run.source, options.accumulate)
        try:
            trainer.fit(run.task, data, ckpt_path=checkpoint, weights_only=True)
        except RuntimeError as error:
            if checkpoint is None or "loading state_dict" not in str(error):
                raise
            raise CheckpointError(
                f"{checkpoint}: its tensors do not fit this model ({first_line(error)})"
            ) from error
    if is_first_process():
        _export(folder, run, options)


def _trainer(options: TrainOptions, run: Run, metrics: Metrics, start: int) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    folder = Path(options.out)
    columns = (*TRAIN_COLUMNS, *run.columns)
    tensorboard = TensorBoardLogger(
        folder, name="", version="tensorboard", purge_step=max(start, 0) + 1 if start >= 0 else None
    )
    return Trainer(
        max_steps=options.steps,
        max_epochs=-1,
        **trainer_layout(options),
        precision=options.precision,
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.clip,
        logger=[MetricsCsv(folder / METRICS, columns, start), tensorboard],
        callbacks=[
            metrics,
            Progress(metrics),
            TimedCheckpoints(folder / FOLDER, options.checkpoint_minutes),
            ReturnMemory(),
        ],
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _export(folder: Path, run: Run, options: TrainOptions) -> None:
    """Write the model from the last checkpoint: one way for every strategy and resumption."""
    last = newest_intact(checkpoints_in(folder / FOLDER))
    state = torch.load(last, map_location="cpu", weights_only=True)["state_dict"]
    model = run.task.whole_model()
    # The task may have parts of its own, such as the contrastive projection.
    prefix = "model."
    model.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
    facts = {**run.facts, "steps": step_of(last), "seed": options.seed, "versions": _versions()}
    seen = None if run.seen_edges is None else run.seen_edges()
    with whole_folder(folder / MODEL) as made:
        model.save_pretrained(made)  # type: ignore[operator]
        ModelFolder(made).write_record(run.before.followed_by(facts, seen))
    run.finish(folder)
    _update_manifest(folder, finished=_now())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


@rank_zero_only
def _begin(
    options: TrainOptions, facts: dict[str, Any], checkpoint: Path | None, processes: int
) -> None:
    """Write config.yaml and the manifest, with a session more than it had."""
    path = Path(options.out) / MANIFEST
    sessions = []
    if checkpoint is not None and path.is_file():
        sessions = read_manifest(path)["sessions"]
    with atomic_path(path.with_name(CONFIG)) as temporary:
        temporary.write_text(yaml.safe_dump(stored_options(options), sort_keys=False))
    session = {
        "started": _now(),
        "resumed_from": None if checkpoint is None else str(checkpoint),
        "command": sys.argv,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "platform": platform(),
        "versions": _versions(),
    }
    write_json(path, {"data": facts, "sessions": [*sessions, session]})


def _update_manifest(folder: Path, **content: Any) -> None:
    path = folder / MANIFEST
    write_json(path, {**read_manifest(path), **content})


def _versions() -> dict[str, str]:
    found = {"python": python_version(), "lcplm-graph": __version__}
    for package in _PACKAGES:
        found[package] = version(package)
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
