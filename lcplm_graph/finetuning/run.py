"""A fine-tuning run: from a table to a folder with a model, its results and its pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lcplm_graph.callers import callers_generators, for_training
from lcplm_graph.evaluation.report import Report
from lcplm_graph.finetuning.adapt import prepare, save_and_merge
from lcplm_graph.finetuning.baselines import Answers, baseline_answers
from lcplm_graph.finetuning.batches import StepSource
from lcplm_graph.finetuning.data import (
    Data,
    describe,
    facts_of,
    leaked_pairs,
    read_data,
    seen_pairs,
)
from lcplm_graph.finetuning.labels import of_rows
from lcplm_graph.finetuning.metrics import CHOSEN_BY, METRICS
from lcplm_graph.finetuning.model import HeadOptions, PropertyModel
from lcplm_graph.finetuning.module import TRAIN_COLUMNS, FinetuneTask, Validate, load_best
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.finetuning.outputs import write_parts, write_predictions
from lcplm_graph.finetuning.plots import draw_predictions, draw_training
from lcplm_graph.finetuning.results import answers_on, report_of, valid_metrics
from lcplm_graph.finetuning.target import Array
from lcplm_graph.io import warn_once, written
from lcplm_graph.models.encoder import MAX_TOKENS, Encoder
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.folder import Record
from lcplm_graph.models.precision import warn_of_software_bfloat16
from lcplm_graph.pairs import IntArray
from lcplm_graph.process import chosen_device, initialised, keep_freed_memory, on_cpu
from lcplm_graph.provenance import package_versions
from lcplm_graph.training.checkpoints import FOLDER, keep_newest, step_of
from lcplm_graph.training.data import TrainData
from lcplm_graph.training.manifest import METRICS as METRICS_FILE
from lcplm_graph.training.manifest import MODEL, begin_session, end_session
from lcplm_graph.training.metrics import MetricsCsv
from lcplm_graph.training.resume import claimed, refuse_other_data
from lcplm_graph.training.trainer import make_trainer


def finetune(options: FinetuneOptions) -> Report:
    """Train, keep the best state, test it, and fill the run's folder.

    Parameters
    ----------
    options : FinetuneOptions

    Returns
    -------
    Report
        Of the parts that are only tested on; of ``valid`` if there is none.

    Raises
    ------
    DataError
        If the table is faulty; the message names row and column.
    ConfigError
        If options do not fit together, or the folder holds another run.
    TrainingError
        If the loss is not finite.
    Interrupted
        After SIGTERM or Ctrl-C, when everything is saved.
    """
    chosen_device(options.device)  # a wrong name is refused before a table is read
    with callers_generators(), for_training(), on_cpu(), claimed(options) as checkpoint:
        data = read_data(options)
        if unused := options.unused(data.partition.kind, data.target.kind):
            warn_once(
                f"--mode {options.mode}, {data.target.kind}, parts by {data.partition.kind}: "
                f"{', '.join(unused)} does nothing"
            )
        print(describe(data), flush=True)
        return _train(options, data, checkpoint)


def _train(options: FinetuneOptions, data: Data, checkpoint: Path | None) -> Report:
    folder = Path(options.out)
    encoder = load_encoder(options.encoder)
    started_from = {"encoder": options.encoder, "encoder_fingerprint": encoder.fingerprint()}
    facts = facts_of(options, data) | started_from
    refuse_other_data(options, facts, checkpoint)
    keep_freed_memory()
    before, leaked = encoder.record, leaked_pairs(encoder, data, allow=options.allow_leakage)
    model = _new_model(encoder, options, data)
    features = _fit_scale(model, options, data)
    adapted = prepare(encoder, options)
    source = StepSource(
        data.examples.proteins, data.examples.labels, data.target, data.partition.rows["train"],
        batch_size=options.batch_size, max_tokens=options.max_tokens, seed=options.seed,
        features=features,
    )  # fmt: skip
    steps = options.steps(source.per_epoch)
    task = FinetuneTask(model, options, steps)
    _say_size(task, options, steps)
    validate = Validate(
        folder, every=options.evaluation_steps(source.per_epoch), per_epoch=source.per_epoch,
        patience=options.patience, metric=CHOSEN_BY[data.target.kind],
        evaluate=lambda: valid_metrics(model, data, options, features),
    )  # fmt: skip
    trainer = _trainer(options, data, validate, steps, checkpoint)
    begin_session(options, facts, checkpoint, 1)
    _fit(trainer, task, source, folder, checkpoint)
    model.eval()
    facts |= {"best_step": validate.best_step, "versions": package_versions()}
    model.learn_distances(_distances(model, options, data, features))
    _export(model, adapted, folder / MODEL, before.followed_by(facts, seen_pairs(data)))
    report = _test(options, data, model, facts, features, leaked)
    draw_training(folder, CHOSEN_BY[data.target.kind], validate.best_step)
    report.save(folder)
    end_session(folder)
    return report


def _new_model(encoder: Encoder, options: FinetuneOptions, data: Data) -> PropertyModel:
    """Put a new head on the encoder; proteins too long for it are refused."""
    with initialised(options.seed):
        model = PropertyModel(
            encoder, data.target, paired=data.examples.proteins.paired, pool=options.pool,
            head=HeadOptions(options.channels, options.dropout),
        )  # fmt: skip
    sequences = data.examples.proteins.sequences
    encoder.check_lengths([len(s) for s in sequences], range(len(sequences)))
    model.to(chosen_device(options.device))
    return model


def _say_size(task: FinetuneTask, options: FinetuneOptions, steps: int) -> None:
    trained = sum(p.numel() for p in task.parameters() if p.requires_grad)
    print(
        f"{trained:,} of {sum(p.numel() for p in task.parameters()):,} weights are trained, at "
        f"most {steps:,} steps of {options.batch_size} rows",
        flush=True,
    )


def _fit(
    trainer: Trainer, task: FinetuneTask, source: StepSource, folder: Path, checkpoint: Path | None
) -> None:
    """Train, from the checkpoint if there is one, and go back to the best state."""
    task.train()
    with warnings.catch_warnings():
        # An encoder that stays as it is is not in training mode, and is not meant to be.
        warnings.filterwarnings("ignore", message="Found .* module.* in eval mode")
        warnings.filterwarnings("ignore", message=".*treespec, LeafSpec")  # Lightning's own
        with written(folder):
            trainer.fit(task, TrainData(source, 1), ckpt_path=checkpoint, weights_only=True)
    # A kill may have come between the last checkpoint and the removal of an older one.
    keep_newest(folder / FOLDER)
    load_best(task, folder)


def _trainer(
    options: FinetuneOptions,
    data: Data,
    validate: Validate,
    steps: int,
    checkpoint: Path | None,
) -> Trainer:
    folder = Path(options.out)
    accelerator = chosen_device(options.device).type
    if options.precision == "bf16-mixed" and accelerator == "cpu":
        warn_of_software_bfloat16("32-true")
    valid = [f"valid_{name}" for name in ("loss", *METRICS[data.target.kind])]
    start = -1 if checkpoint is None else step_of(checkpoint)
    return make_trainer(
        folder,
        validate,
        steps=steps,
        checkpoint_minutes=options.checkpoint_minutes,
        accelerator=accelerator,
        devices=1,
        precision=options.precision,
        logger=[MetricsCsv(folder / METRICS_FILE, [*TRAIN_COLUMNS, *valid], start)],
    )


def _fit_scale(model: PropertyModel, options: FinetuneOptions, data: Data) -> Tensor | None:
    """Fit the head's scale to training proteins; return features of all that stay as they are."""
    sequences = data.examples.proteins.sequences
    train = _trained_on(data)
    frozen = options.mode == "head" and not model.per_residue
    if not frozen:
        train = _some_of(train, options)
    chosen = list(sequences) if frozen else [sequences[i] for i in train.tolist()]
    batches = model.features_of(
        chosen, max_tokens=min(options.max_tokens, MAX_TOKENS), progress=True
    )
    if model.per_residue:
        parts = [f for _, f in batches]
        model.head.scale.fit(torch.cat(parts))
        return None
    width = model.head.width
    features = torch.empty(len(chosen), width, device=model.device)
    for batch, found in batches:
        features[torch.from_numpy(batch).to(model.device)] = found
    known = features[torch.from_numpy(train).to(model.device)] if frozen else features
    model.head.scale.fit(known)
    return features if frozen else None


def _trained_on(data: Data) -> IntArray:
    """Return which proteins are in the training part."""
    return np.unique(data.examples.proteins.rows[data.partition.rows["train"]])


def _some_of(train: IntArray, options: FinetuneOptions) -> IntArray:
    """Choose at most a thousand training proteins: enough to say what their features are like."""
    return np.sort(np.random.default_rng(options.seed).permutation(train)[:1000])


def _distances(
    model: PropertyModel, options: FinetuneOptions, data: Data, features: Tensor | None
) -> Array:
    """Return the distances of training proteins under the weights that were chosen."""
    train = _some_of(_trained_on(data), options)
    if features is not None:
        return model.head.distance(features[torch.from_numpy(train).to(model.device)]).cpu().numpy()
    sequences = [data.examples.proteins.sequences[i] for i in train.tolist()]
    return model.distances(sequences, max_tokens=options.max_tokens, progress=True)


def _test(
    options: FinetuneOptions,
    data: Data,
    model: PropertyModel,
    facts: dict[str, Any],
    features: Tensor | None,
    leaked: str,
) -> Report:
    """Answer for the parts to test on, and write and draw what was answered."""
    folder = Path(options.out)
    tests = data.partition.tests or ["valid"]
    own: Answers = {
        part: answers_on(model, data, part, options.max_tokens, features, progress=True)[0]
        for part in tests
    }
    mark = f"  {leaked}" if leaked else ""
    methods = {f"{options.encoder}, {options.mode}{mark}": own}
    if options.baselines:
        methods |= dict(baseline_answers(data.examples, data.partition, data.target, options))
    report = report_of(options, data, methods, tests, facts)
    write_parts(folder / "parts.tsv", data.examples, data.partition)
    write_predictions(folder / "predictions.tsv", data.examples, data.partition, data.target, own)
    for part in tests:
        labels = of_rows(data.examples.labels, data.partition.rows[part])
        name = "predictions.png" if part == tests[0] else f"predictions_{part}.png"
        title = f"{part}: {options.encoder}, {options.mode}"
        draw_predictions(folder / name, data.target, labels, own[part], title)
    return report


def _export(model: PropertyModel, adapted: Any, folder: Path, record: Record) -> None:
    # The adapter is small and of its own use; the folder's encoder has it merged.
    if adapted is None:
        model.save_pretrained(folder, record)
        return
    with TemporaryDirectory() as name:
        save_and_merge(adapted, Path(name))
        model.save_pretrained(folder, record, Path(name))
