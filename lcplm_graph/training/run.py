"""A run's folder, its resumption, and the Lightning trainer that fills it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import platform, python_version
from typing import Any

import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lcplm_graph import __version__
from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.io import atomic_path
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
from lcplm_graph.training.options import FREE_ON_RESUME, TrainOptions
from lcplm_graph.training.parallel import closed_process_group, trainer_layout
from lcplm_graph.training.progress import Progress

CONFIG, MANIFEST, METRICS, MODEL = "config.yaml", "run.json", "metrics.csv", "model"
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
    finish : callable
        Called with the run's folder when the model is there, on one process.
    """

    task: MaskedLMTask
    source: BatchSource
    evaluate: Evaluate
    columns: Sequence[str]
    facts: dict[str, Any] = field(default_factory=dict)
    finish: Callable[[Path], None] = lambda _: None


def find_start(options: TrainOptions) -> Path | None:
    """Find the checkpoint to resume from; None for a new run.  Nothing is written yet.

    Raises
    ------
    ConfigError
        If the folder holds a run and ``--resume`` is not given, or the options differ from those
        it was started with; all differences are listed.
    CheckpointError
        If there is no checkpoint to resume from that can be read.
    """
    folder = Path(options.out)
    config = folder / CONFIG
    if options.resume is None:
        # Other ranks may come after the first has begun to fill the folder.
        if is_first_process() and config.exists():
            raise ConfigError(
                f"{folder} already holds a run; go on with --resume auto, or choose another --out"
            )
        return None
    checkpoint = _find_checkpoint(options.resume, folder)
    origin = config if checkpoint is None else checkpoint.parent.parent / CONFIG
    if origin.exists():
        _refuse_other_options(options, origin)
    return checkpoint


def _find_checkpoint(resume: str, folder: Path) -> Path | None:
    if resume == "auto":
        found = checkpoints_in(folder / FOLDER)
        # A run that was killed before its first checkpoint starts again.
        return newest_intact(found) if found else None
    path = Path(resume)
    if not path.is_file():
        near = ", ".join(map(str, checkpoints_in(folder / FOLDER))) or "none"
        raise CheckpointError(f"{path}: no such checkpoint; in {folder} there are: {near}")
    older = [p for p in checkpoints_in(path.parent) if step_of(p) < step_of(path)]
    return newest_intact([path, *older])


def _stored(options: TrainOptions) -> dict[str, Any]:
    return {k: v for k, v in asdict(options).items() if k != "resume"}


def _refuse_other_options(options: TrainOptions, path: Path) -> None:
    try:
        before = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not readable as YAML ({error})") from error
    now = _stored(options)
    different = [
        f"{k}: {before.get(k)!r} then, {now.get(k)!r} now"
        for k in dict.fromkeys([*before, *now])
        if k not in FREE_ON_RESUME and before.get(k) != now.get(k)
    ]
    if different:
        raise ConfigError(
            f"cannot resume with other options than the run was started with ({path}); different: "
            f"{'; '.join(different)}. Give --config {path} to take all of them from there, or "
            "start a new run"
        )


@closed_process_group()
def run_training(options: TrainOptions, run: Run, checkpoint: Path | None) -> None:
    """Train to the end and leave model, figures and manifest in the run's folder.

    Parameters
    ----------
    options : TrainOptions
    run : Run
    checkpoint : Path or None
        From `find_start`.

    Raises
    ------
    TrainingError
        If the loss becomes NaN or infinite.
    Interrupted
        After SIGTERM or Ctrl-C, when everything is saved.
    """
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
        trainer.fit(run.task, data, ckpt_path=checkpoint, weights_only=True)
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
    model.save_pretrained(folder / MODEL)  # type: ignore[operator]
    facts = {**run.facts, "steps": step_of(last), "seed": options.seed, "versions": _versions()}
    write_json(folder / MODEL / "training.json", facts)
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
    with atomic_path(path.with_name(CONFIG)) as temporary:
        temporary.write_text(yaml.safe_dump(_stored(options), sort_keys=False))
    sessions = []
    if checkpoint is not None and path.is_file():
        sessions = json.loads(path.read_text())["sessions"]
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
    write_json(path, {**json.loads(path.read_text()), **content})


def _versions() -> dict[str, str]:
    found = {"python": python_version(), "lcplm-graph": __version__}
    for package in _PACKAGES:
        found[package] = version(package)
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
