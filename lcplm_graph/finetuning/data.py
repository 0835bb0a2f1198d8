"""What a run learns from: the table read, divided into parts, and described."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lcplm_graph.errors import ConfigError, DataError, LeakageError
from lcplm_graph.evaluation.guard import LEAKED
from lcplm_graph.finetuning.examples import Columns, Examples, read_examples
from lcplm_graph.finetuning.from_tape import is_tape, tape_examples
from lcplm_graph.finetuning.labels import flat, of_rows
from lcplm_graph.finetuning.metrics import CHOSEN_BY, HEADINGS, measure
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.finetuning.partition import Leakage, Partition, divide, leakage
from lcplm_graph.finetuning.table import read_table_file
from lcplm_graph.finetuning.target import Kind, Target
from lcplm_graph.heads.names import sequences_of
from lcplm_graph.io import sha256_of
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.pairs import distinct, pair_hashes
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.leakage import saw_edges


class Data(NamedTuple):
    """What a run learns from: examples, their parts, the target, and what the parts share."""

    examples: Examples
    partition: Partition
    target: Target
    shared: dict[str, Leakage]


def read_data(options: FinetuneOptions) -> Data:
    """Read the table, divide its rows, and see what the parts have in common."""
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
    target = _target(options, examples, partition)
    _check_valid(examples, partition, target)
    return Data(examples, partition, target, leakage(examples, partition, options.search))


def _read(options: FinetuneOptions) -> Examples:
    if is_tape(options.table):
        given = [f"--{name}" for name in ("task", "sequence", "label", "id", "sequences", "part")
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
    known = sequences_of(options.sequences) if options.sequences else None
    examples = read_examples(table, columns, task, known, options.split == "column")
    if options.task == "pair" and not examples.proteins.paired:
        raise ConfigError(
            f"--task pair needs two columns of sequences; name them with --sequence A B (the "
            f"columns are {table.names})"
        )
    return examples


def _target(options: FinetuneOptions, examples: Examples, partition: Partition) -> Target:
    train = of_rows(examples.labels, partition.rows["train"])
    if examples.kind != "regression":
        classes = flat(train)
        if examples.kind != "multilabel" and len(np.unique(classes[classes >= 0])) < 2:
            raise ConfigError(
                "the training rows of this split are of one class only; choose another --seed or "
                "--split"
            )
        return Target(examples.kind, examples.label_names)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = float(np.mean(train)), float(np.std(train))
    if not np.isfinite([mean, spread]).all():
        raise DataError(
            f"the labels reach {float(np.abs(train).max()):.3g}, too far to be standardised; give "
            "them in other units, or their logarithms",
            path=options.table,
        )
    return Target("regression", examples.label_names, mean, spread or 1.0)


def _check_valid(examples: Examples, partition: Partition, target: Target) -> None:
    """Refuse validation rows on which not even the right answers have the metric that chooses."""
    labels = of_rows(examples.labels, partition.rows["valid"])
    one_hot = np.eye(max(len(target.names), 1))
    if isinstance(labels, list):
        right: Any = [one_hot[np.maximum(of_residues, 0)] for of_residues in labels]
    else:
        right = one_hot[labels] if target.kind == "multiclass" else labels.astype(float)
    metric = CHOSEN_BY[target.kind]
    if np.isnan(measure(target, labels, right)[metric]):
        raise ConfigError(
            f"{HEADINGS[metric]}, which the best state is chosen by, has no value on the "
            f"{len(partition.rows['valid'])} validation rows: they are too few, or all alike; give "
            "another --seed or --split, or a larger --valid"
        )


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


def facts_of(options: FinetuneOptions, data: Data) -> dict[str, Any]:
    """Say what the run learns from, for ``run.json`` and the record of the model."""
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
    found["examples_sha256"] = _examples_sha256(data.examples)
    return found


def _examples_sha256(examples: Examples) -> str:
    """Sha256 of sequences, rows and labels, wherever they were read."""
    digest = hashlib.sha256("\n".join(examples.proteins.sequences).encode())
    labels = examples.labels if isinstance(examples.labels, list) else [examples.labels]
    for array in (examples.proteins.rows, *labels):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def seen_pairs(data: Data) -> np.ndarray | None:
    """Hashes of the training pairs, on which this model must not be tested."""
    if not data.examples.proteins.paired:
        return None
    return distinct(pair_hashes(*_pairs(data, ["train", "valid"])))


def leaked_pairs(encoder: Encoder, data: Data, *, allow: bool = False) -> str:
    """Refuse an encoder that was shown pairs which it would be tested on.

    Returns
    -------
    str
        Empty, or ``LEAKED``, to be printed beside every number of this encoder.

    Raises
    ------
    LeakageError
        If it was shown any, and `allow` is False.
    """
    seen, tests = encoder.seen_edges(), data.partition.tests or ["valid"]
    if seen is None or not data.examples.proteins.paired:
        return ""
    digests, pairs = _pairs(data, tests)
    count = saw_edges(seen, digests, pairs)
    if count and not allow:
        raise LeakageError(
            f"{encoder.name} was trained on {count} of the {len(pairs)} pairs that it would be "
            f"tested on here ({', '.join(tests)}); take another encoder or other pairs; "
            "--allow-leakage goes on all the same, and marks its numbers LEAKED"
        )
    return LEAKED if count else ""


def _pairs(data: Data, parts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the proteins' digests, whatever they are called, and the pairs of some parts."""
    proteins = data.examples.proteins
    rows = np.concatenate([data.partition.rows[part] for part in parts])
    names = map(str, range(len(proteins.sequences)))
    digests = SequenceStore.from_records(names, proteins.sequences).digests()
    return digests, proteins.rows[rows]
