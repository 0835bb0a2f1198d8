"""A fine-tuning run: from a table to a folder with a model, its results and its pictures."""

from __future__ import annotations

import logging
import warnings
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lcplm_graph.errors import ConfigError
from lcplm_graph.evaluation.report import Report, shown
from lcplm_graph.finetuning.adapt import prepare, save_and_merge
from lcplm_graph.finetuning.baselines import Answers, baseline_answers, row_logits
from lcplm_graph.finetuning.batches import StepSource
from lcplm_graph.finetuning.examples import Columns, Examples, read_examples
from lcplm_graph.finetuning.from_tape import is_tape, tape_examples
from lcplm_graph.finetuning.metrics import CHOSEN_BY, HEADINGS, METRICS, measure, with_intervals
from lcplm_graph.finetuning.model import HeadOptions, PropertyModel
from lcplm_graph.finetuning.module import TRAIN_COLUMNS, FinetuneTask, Validate, load_best
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.finetuning.outputs import write_parts, write_predictions
from lcplm_graph.finetuning.partition import Leakage, Partition, divide, labelled, leakage
from lcplm_graph.finetuning.plots import draw_predictions, draw_training
from lcplm_graph.finetuning.table import read_table_file
from lcplm_graph.finetuning.target import Array, Kind, Target
from lcplm_graph.io import sha256_of
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.folder import ModelFolder, Record, model_folder
from lcplm_graph.models.shipped import shipped_encoders, shipped_folder
from lcplm_graph.pairs import pair_hashes
from lcplm_graph.process import chosen_device, keep_freed_memory
from lcplm_graph.proteins.store import SequenceStore, read_fasta_files
from lcplm_graph.training.checkpoints import FOLDER, AtomicCheckpointIO, TimedCheckpoints, step_of
from lcplm_graph.training.data import TrainData
from lcplm_graph.training.manifest import METRICS as METRICS_FILE
from lcplm_graph.training.manifest import MODEL, begin_session, end_session, package_versions
from lcplm_graph.training.memory import ReturnMemory
from lcplm_graph.training.metrics import MetricsCsv
from lcplm_graph.training.progress import Progress
from lcplm_graph.training.resume import claimed, refuse_other_data


class Data(NamedTuple):
    """What a run learns from: examples, their parts, the target, and what the parts share."""

    examples: Examples
    partition: Partition
    target: Target
    shared: dict[str, Leakage]


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
    with claimed(options) as checkpoint:
        data = read_data(options)
        print(describe(data), flush=True)
        return _train(options, data, checkpoint)


def read_data(options: FinetuneOptions) -> Data:
    """Read the table, share its rows out, and see what the parts have in common."""
    examples = _read(options)
    partition = divide(
        examples,
        "column" if examples.parts is not None else options.split,
        valid=options.valid,
        test=options.test,
        identity=options.identity,
        seed=options.seed,
        search=options.search,
    )
    target = _target(examples, partition)
    return Data(examples, partition, target, leakage(examples, partition, options.search))


def _read(options: FinetuneOptions) -> Examples:
    if is_tape(options.table):
        given = [f"--{name}" for name in ("task", "sequence", "label", "sequences", "part")
                 if getattr(options, name)]  # fmt: skip
        if given:
            raise ConfigError(
                f"a folder of TAPE's files says itself what {', '.join(given)} would say"
            )
        return tape_examples(options.table, options.level)
    if options.level is not None:
        raise ConfigError("--level is of TAPE's files, which lie in a folder")
    task: Kind | None = "binary" if options.task == "pair" else options.task
    table = read_table_file(options.table)
    columns = Columns(options.sequence, options.label, options.id, options.part)
    known = read_fasta_files(options.sequences) if options.sequences else None
    examples = read_examples(table, columns, task, known, options.split == "column")
    if options.task == "pair" and not examples.proteins.paired:
        raise ConfigError(
            f"--task pair needs two columns of sequences; name them with --sequence A B (the "
            f"columns are {table.names})"
        )
    return examples


def _target(examples: Examples, partition: Partition) -> Target:
    train = labelled(examples.labels, partition.rows["train"])
    if examples.kind != "regression":
        flat = np.concatenate(train) if isinstance(train, list) else train
        if examples.kind != "multilabel" and len(np.unique(flat[flat >= 0])) < 2:
            raise ConfigError(
                "the training rows of this split are of one class only; choose another --seed or "
                "--split"
            )
        return Target(examples.kind, examples.label_names)
    spread = float(np.std(train))
    return Target("regression", examples.label_names, float(np.mean(train)), spread or 1.0)


def describe(data: Data) -> str:
    """Say what was read and how it was divided, in a few lines."""
    examples, partition = data.examples, data.partition
    what = "pairs" if examples.proteins.paired else "proteins"
    names = data.target.names
    labels = {
        "regression": f"{names[0]}, mean {data.target.mean:.4g}, spread {data.target.spread:.4g}",
        "multilabel": f"{len(names):,} labels",
    }.get(examples.kind, f"classes {', '.join(names[:8])}{', ...' if names[8:] else ''}")
    if examples.kind == "binary":
        labels += f"; probabilities are of {names[1]!r}"
    sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in partition.rows.items())
    left = partition.facts.get("rows_left_out")
    lines = [
        f"{len(examples):,} rows of {what} ({len(examples.proteins.sequences):,} sequences), "
        f"{examples.kind}: {labels}",
        f"split by {partition.kind}: {sizes}{f'; {left:,} rows in no part' if left else ''}",
        *(f"{name}: {shared}" for name, shared in data.shared.items()),
    ]
    return "\n".join(lines)


def _train(options: FinetuneOptions, data: Data, checkpoint: Path | None) -> Report:
    folder = Path(options.out)
    encoder = load_encoder(options.encoder)
    started_from = {"encoder": options.encoder, "encoder_fingerprint": encoder.fingerprint()}
    facts = _facts(options, data) | started_from
    refuse_other_data(options, facts, checkpoint)
    keep_freed_memory()
    before = _record_of(options.encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = PropertyModel(
            encoder, data.target, paired=data.examples.proteins.paired, pool=options.pool,
            head=HeadOptions(options.channels, options.dropout),
        )  # fmt: skip
    _check_lengths(encoder, data.examples)
    model.to(chosen_device(options.device))
    features = _fit_scale(model, options, data)
    adapted = prepare(encoder, options)
    source = StepSource(
        data.examples.proteins, data.examples.labels, data.target, data.partition.rows["train"],
        batch_size=options.batch_size, max_tokens=options.max_tokens, seed=options.seed,
        features=features,
    )  # fmt: skip
    steps = options.steps(source.per_epoch)
    task = FinetuneTask(model, options, steps)
    trained = sum(p.numel() for p in task.parameters() if p.requires_grad)
    print(
        f"{trained:,} of {sum(p.numel() for p in task.parameters()):,} weights are trained, at "
        f"most {steps:,} steps of {options.batch_size} rows",
        flush=True,
    )
    validate = Validate(
        folder, every=options.evaluation_steps(source.per_epoch), per_epoch=source.per_epoch,
        patience=options.patience, metric=CHOSEN_BY[data.target.kind],
        evaluate=lambda: _evaluate(model, data, options, features),
    )  # fmt: skip
    trainer = _trainer(options, data, validate, steps, checkpoint)
    begin_session(options, facts, checkpoint, 1)
    task.train()
    with warnings.catch_warnings():
        # An encoder that stays as it is is not in training mode, and is not meant to be.
        warnings.filterwarnings("ignore", message="Found .* module.* in eval mode")
        trainer.fit(task, TrainData(source, 1), ckpt_path=checkpoint, weights_only=True)
    load_best(task, folder)
    return _finish(options, data, model, adapted, facts, before, validate, features)


def _trainer(
    options: FinetuneOptions,
    data: Data,
    validate: Validate,
    steps: int,
    checkpoint: Path | None,
) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    folder = Path(options.out)
    valid = [f"valid_{name}" for name in ("loss", *METRICS[data.target.kind])]
    start = -1 if checkpoint is None else step_of(checkpoint)
    return Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator=chosen_device(options.device).type,
        devices=1,
        precision=options.precision,
        logger=[MetricsCsv(folder / METRICS_FILE, [*TRAIN_COLUMNS, *valid], start)],
        callbacks=[
            validate,
            Progress(validate),
            TimedCheckpoints(folder / FOLDER, options.checkpoint_minutes),
            ReturnMemory(),
        ],
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _fit_scale(model: PropertyModel, options: FinetuneOptions, data: Data) -> Tensor | None:
    """Fit the head's scale to training proteins; return features of all that stay as they are."""
    sequences = data.examples.proteins.sequences
    train = np.unique(data.examples.proteins.rows[data.partition.rows["train"]])
    frozen = options.mode == "head" and not model.per_residue
    if not frozen:
        # A thousand proteins say what scale the features have.
        train = np.sort(np.random.default_rng(options.seed).permutation(train)[:1000])
    chosen = list(sequences) if frozen else [sequences[i] for i in train.tolist()]
    if model.per_residue:
        parts = [f for _, f in model.features_of(chosen, progress=True)]
        model.head.scale.fit(torch.cat(parts))
        return None
    width = model.head.width
    features = torch.empty(len(chosen), width, device=model.device)
    for batch, found in model.features_of(chosen, progress=True):
        features[torch.from_numpy(batch).to(model.device)] = found
    known = features[torch.from_numpy(train).to(model.device)] if frozen else features
    model.head.scale.fit(known)
    return features if frozen else None


def _answers(
    model: PropertyModel, data: Data, part: str, max_tokens: int, features: Tensor | None,
    progress: bool = False,
) -> tuple[Array | list[Array], Any]:  # fmt: skip
    """Return answers and logits on a part."""
    rows = data.partition.rows[part]
    named = data.examples.proteins.rows[rows]
    if features is not None:
        logits: Any = row_logits(model, data.examples, rows, features)
    else:
        proteins, place = np.unique(named, return_inverse=True)
        sequences = [data.examples.proteins.sequences[i] for i in proteins.tolist()]
        place = place.reshape(named.shape)
        found = model.logits(
            sequences, place if data.examples.proteins.paired else None,
            max_tokens=max_tokens, progress=progress,
        )  # fmt: skip
        if isinstance(found, list):
            logits = [found[i] for i in place[:, 0].tolist()]
        else:
            logits = found if data.examples.proteins.paired else found[place[:, 0]]
    if isinstance(logits, list):
        return [data.target.answers(rows) for rows in logits], torch.cat(logits)
    return data.target.answers(logits), logits


def _evaluate(
    model: PropertyModel, data: Data, options: FinetuneOptions, features: Tensor | None
) -> dict[str, float]:
    """Return loss and metrics of the validation rows."""
    labels = labelled(data.examples.labels, data.partition.rows["valid"])
    answers, logits = _answers(model, data, "valid", options.max_tokens, features)
    flat = np.concatenate(labels) if isinstance(labels, list) else labels
    total = float((flat >= 0).sum()) if flat.dtype == np.int64 else float(len(flat))
    loss = data.target.loss(logits.float(), data.target.standardised(flat), max(total, 1.0))
    values = measure(data.target, labels, answers)
    return {"valid_loss": float(loss), **{f"valid_{k}": v for k, v in values.items()}}


def _finish(
    options: FinetuneOptions,
    data: Data,
    model: PropertyModel,
    adapted: Any,
    facts: dict[str, Any],
    before: Record,
    validate: Validate,
    features: Tensor | None,
) -> Report:
    folder, metric = Path(options.out), CHOSEN_BY[data.target.kind]
    model.eval()
    # The adapter is small and of its own use; the folder's encoder has it merged.
    facts = facts | {"best_step": validate.best_step, "versions": package_versions()}
    record = before.followed_by(facts, _seen_pairs(data))
    _export(model, adapted, folder / MODEL, record)
    tests = data.partition.tests or ["valid"]
    own: Answers = {
        part: _answers(model, data, part, options.max_tokens, features, progress=True)[0]
        for part in tests
    }
    methods = {f"{options.encoder}, {options.mode}": own}
    if options.baselines:
        methods |= dict(baseline_answers(data.examples, data.partition, data.target, options))
    report = _report(options, data, methods, tests, facts)
    write_parts(folder / "parts.tsv", data.examples, data.partition)
    write_predictions(folder / "predictions.tsv", data.examples, data.partition, data.target, own)
    draw_training(folder, metric, validate.best_step)
    for part in tests:
        labels = labelled(data.examples.labels, data.partition.rows[part])
        name = "predictions.png" if part == tests[0] else f"predictions_{part}.png"
        title = f"{part}: {options.encoder}, {options.mode}"
        draw_predictions(folder / name, data.target, labels, own[part], title)
    report.save(folder)
    end_session(folder)
    return report


def _export(model: PropertyModel, adapted: Any, folder: Path, record: Record) -> None:
    if adapted is None:
        model.save_pretrained(folder, record)
        return
    with TemporaryDirectory() as name:
        save_and_merge(adapted, Path(name))
        model.save_pretrained(folder, record, Path(name))


def _report(
    options: FinetuneOptions,
    data: Data,
    methods: dict[str, Answers],
    tests: list[str],
    facts: dict[str, Any],
) -> Report:
    kind = data.target.kind
    headings = {name: HEADINGS[name] for name in METRICS[kind]}
    if kind == "residue":
        headings["accuracy"] = f"Q{len(data.target.names)}"
    report = Report(
        f"Fine-tuned on {Path(options.table).name}: {kind}",
        {"part": "part", "model": "model", **headings},
        facts={
            "rows": facts["rows"],
            "proteins": facts["proteins"],
            "split": ", ".join(f"{k} {shown(v)}" for k, v in data.partition.facts.items()),
            "best step": facts["best_step"],
        },
        notes=[
            f"The state kept is the best on valid by {headings[CHOSEN_BY[kind]]}; intervals: "
            f"bootstrap over proteins.",
        ],
    )
    report.facts |= {f"leakage, {name}": str(shared) for name, shared in data.shared.items()}
    if not data.partition.tests:
        report.notes.append("No part is left to test on: the model was chosen on valid too.")
    for part in tests:
        rows = data.partition.rows[part]
        labels = labelled(data.examples.labels, rows)
        for name, answers in methods.items():
            if part in answers:
                values = with_intervals(
                    data.target, labels, answers[part], data.examples.proteins.rows[rows],
                    resamples=options.resamples, seed=options.seed,
                )  # fmt: skip
                defined = {k: None if v != v else v for k, v in values.items()}
                report.rows.append({"part": part, "model": name, "rows": len(rows), **defined})
    return report


def _facts(options: FinetuneOptions, data: Data) -> dict[str, Any]:
    path = Path(options.table)
    found: dict[str, Any] = {
        "finetuned": True,
        "file": str(path),
        "kind": data.target.kind,
        "paired": data.examples.proteins.paired,
        "rows": len(data.examples),
        "proteins": len(data.examples.proteins.sequences),
        "parts": {name: len(rows) for name, rows in data.partition.rows.items()},
        "split": data.partition.facts,
        "mode": options.mode,
        "seed": options.seed,
        "leakage": {name: asdict(shared) for name, shared in data.shared.items()},
    }
    if path.is_file():
        found["sha256"] = sha256_of(path)
    return found


def _seen_pairs(data: Data) -> np.ndarray | None:
    """Hashes of the training pairs, on which this model must not be tested."""
    proteins = data.examples.proteins
    if not proteins.paired:
        return None
    rows = np.concatenate([data.partition.rows["train"], data.partition.rows["valid"]])
    names = map(str, range(len(proteins.sequences)))
    digests = SequenceStore.from_records(names, proteins.sequences).digests()
    return np.unique(pair_hashes(digests, np.sort(proteins.rows[rows], axis=1)))


def _record_of(encoder: str) -> Record:
    if encoder in shipped_encoders():
        return ModelFolder(shipped_folder(encoder)).record()
    folder = model_folder(encoder.split(":", 1)[1] if encoder.startswith("esm") else encoder)
    return ModelFolder(folder).record() if folder.is_dir() else Record()


def _check_lengths(encoder: Encoder, examples: Examples) -> None:
    encoder._check_lengths(examples.proteins.sequences, range(len(examples.proteins.sequences)))
