"""A run's folder, and the Lightning trainer that fills it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.io import whole_folder, written
from lcplm_graph.models.checkpoints import first_line
from lcplm_graph.models.folder import ModelFolder, Record
from lcplm_graph.process import keep_freed_memory
from lcplm_graph.provenance import package_versions
from lcplm_graph.training.checkpoints import (
    FOLDER,
    checkpoints_in,
    keep_newest,
    newest_intact,
    step_of,
)
from lcplm_graph.training.data import BatchSource, TrainData, is_first_process
from lcplm_graph.training.manifest import (
    METRICS,
    MODEL,
    begin_session,
    end_session,
)
from lcplm_graph.training.metrics import TRAIN_COLUMNS, Evaluate, Metrics, MetricsCsv
from lcplm_graph.training.module import MaskedLMTask
from lcplm_graph.training.options import TrainOptions
from lcplm_graph.training.parallel import closed_process_group, trainer_layout
from lcplm_graph.training.resume import refuse_other_data
from lcplm_graph.training.trainer import make_trainer


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
    CheckpointError
        If the checkpoint is of another model, or of other trained parameters.
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
        begin_session(options, run.facts, checkpoint, 0)
    else:
        metrics = Metrics(options.log_every, options.eval_every, run.evaluate)
        try:
            trainer = _trainer(options, run, metrics, start)
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise ConfigError(
                f"Lightning refuses these devices or this strategy: {error}"
            ) from error
        begin_session(options, run.facts, checkpoint, trainer.world_size)
        data = TrainData(run.source, options.accumulate, options.workers)
        try:
            # Lightning and TensorBoard write in their own ways.
            with written(folder):
                trainer.fit(run.task, data, ckpt_path=checkpoint, weights_only=True)
        except (RuntimeError, ValueError) as error:
            if checkpoint is not None and "loading state_dict" in str(error):
                raise CheckpointError(
                    f"{checkpoint}: its tensors do not fit this model ({first_line(error)})"
                ) from error
            if checkpoint is not None and "loaded state dict" in str(error):
                raise CheckpointError(
                    f"{checkpoint}: its optimiser trained other parameters than this run would, as "
                    "earlier versions did with --freeze and --relation marker; start a new run"
                ) from error
            raise
    if is_first_process():
        # A kill may have come between the last checkpoint and the removal of an older one.
        keep_newest(folder / FOLDER)
        _export(folder, run, options)


def _trainer(options: TrainOptions, run: Run, metrics: Metrics, start: int) -> Trainer:
    folder = Path(options.out)
    trainer = make_trainer(
        folder,
        metrics,
        steps=options.steps,
        checkpoint_minutes=options.checkpoint_minutes,
        **trainer_layout(options),
        precision=options.precision,
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.clip,
        logger=False,
        use_distributed_sampler=False,
    )
    # These write, and a run whose devices are refused leaves nothing.
    columns = (*TRAIN_COLUMNS, *run.columns)
    tensorboard = TensorBoardLogger(
        folder, name="", version="tensorboard", purge_step=max(start, 0) + 1 if start >= 0 else None
    )
    trainer.loggers = [MetricsCsv(folder / METRICS, columns, start), tensorboard]
    return trainer


def _export(folder: Path, run: Run, options: TrainOptions) -> None:
    """Write the model from the last checkpoint: one way for every strategy and resumption."""
    last = newest_intact(checkpoints_in(folder / FOLDER))
    state = torch.load(last, map_location="cpu", weights_only=True)["state_dict"]
    model = run.task.whole_model()
    # The task may have parts of its own, such as the contrastive projection.
    prefix = "model."
    state = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    for name, value in model.state_dict().items():
        if value.dim() == 0 and name in state:  # sharded, it was a vector of length 1
            state[name] = state[name].reshape(())
    model.load_state_dict(state)
    facts = {
        **run.facts,
        "steps": step_of(last),
        "seed": options.seed,
        "versions": package_versions(),
    }
    seen = None if run.seen_edges is None else run.seen_edges()
    with whole_folder(folder / MODEL) as made:
        model.save_pretrained(made)  # type: ignore[operator]
        ModelFolder(made).write_record(run.before.followed_by(facts, seen))
    run.finish(folder)
    end_session(folder)
