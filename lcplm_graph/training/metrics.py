"""metrics.csv: one row a step, whole, in order, never twice, also over kills and resumptions."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from lcplm_graph.errors import DataError
from lcplm_graph.io import atomic_path
from lcplm_graph.training.data import Batch, is_first_process
from lcplm_graph.training.module import SCORES, MaskedLMTask, means

TRAIN_COLUMNS = (
    "step", "tokens", "lr", "loss", "residue_loss", "residue_accuracy",
    "gradient_norm", "tokens_per_second", "seconds",
)  # fmt: skip
RELATION_COLUMNS = ("relation_loss", "relation_accuracy")
PAIR_COLUMNS = ("pair_loss", "pair_accuracy")
CONTRASTIVE_COLUMNS = ("contrastive_loss", "contrastive_accuracy")
CHANCE = {
    "relation_loss": math.log(2), "relation_auroc": 0.5, "pair_loss": math.log(2),
    "pair_auroc": 0.5,
}  # fmt: skip
"""What a guess reaches: half of the relations and of the pairs are edges."""

Logits = Callable[[Tensor, Tensor], Tensor]
"""Maps (input_ids, cu_seqlens) to logits (T, V)."""
Evaluate = Callable[[Logits, torch.device], dict[str, float]]


class MetricsCsv(Logger):
    """A Lightning logger that appends rows to a CSV file with fixed columns.

    Parameters
    ----------
    path : path-like
    columns : sequence of str
        The first is ``step``.
    start : int
        Rows of later steps are left from a run that was killed after its last checkpoint; they
        are removed, since these steps run again.  -1 removes all.
    """

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str], start: int) -> None:
        super().__init__()
        self.path, self.columns = Path(path), list(columns)
        self._begin(start)

    @rank_zero_only
    def _begin(self, start: int) -> None:
        kept = [row for row in read_metrics(self.path) if row["step"] <= start]
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: _text(v) for k, v in row.items()} for row in kept)

    @property
    def name(self) -> str:
        """Nothing: the file is named by its path."""
        return ""

    @property
    def version(self) -> str:
        """Nothing: the file is named by its path."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row in one write, so that a kill leaves a whole row or none."""
        row = {"step": step, **metrics}
        line = ",".join(_text(row.get(c, float("nan"))) for c in self.columns) + "\n"
        with open(self.path, "a") as file:
            file.write(line)


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Read metrics.csv; empty cells become NaN, and a last line cut short by a kill is left out.

    Returns
    -------
    list of dict
        One per row, by column.

    Raises
    ------
    DataError
        If a cell is not a number, or a row has more or fewer cells than there are columns.
    """
    path = Path(path)
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"not readable as text ({error})", path=path) from error
    lines = text[: text.rfind("\n") + 1].split("\n")[:-1]
    columns = lines[0].split(",") if lines else []
    if lines and (columns[0] != "step" or len(set(columns)) != len(columns)):
        raise DataError("expected a header of different columns, the first step", path=path, line=1)
    return [_row(columns, line, path, number) for number, line in enumerate(lines[1:], 2)]


def _row(columns: list[str], line: str, path: Path, number: int) -> dict[str, float]:
    cells = line.split(",")
    if len(cells) != len(columns):
        raise DataError(
            f"{len(cells)} cells under {len(columns)} columns; remove the line", path=path,
            line=number,
        )  # fmt: skip
    try:
        return {k: float(v) if v else float("nan") for k, v in zip(columns, cells, strict=True)}
    except ValueError as error:
        raise DataError(f"{error}; remove the line", path=path, line=number) from error


def _text(value: Any) -> str:
    number = float(value)
    if number != number:
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


class Rows(Callback):
    """Writes the rows of a run, and remembers the last one, for the progress bar.

    Attributes
    ----------
    last : dict of str to float
    rate : float
        How many of `unit` a second.
    unit : str
    """

    last: dict[str, float]
    rate: float
    unit: str

    def write(self, trainer: Trainer, step: int, row: dict[str, float]) -> None:
        """Log a row, without what is not a number."""
        self.last = row
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if v == v}, step)


class Metrics(Rows):
    """Sum up scores between rows, evaluate on held-out data, write the rows.

    The sums are part of the checkpoint, so a resumed run writes the rows that the run without
    a kill would have written (times apart).

    Parameters
    ----------
    log_every, eval_every : int
        In optimiser steps.
    evaluate : callable
        Gives the held-out columns of a row.
    """

    unit = "tokens"

    def __init__(self, log_every: int, eval_every: int, evaluate: Evaluate) -> None:
        self.log_every, self.eval_every, self.evaluate = log_every, eval_every, evaluate
        self.scores = torch.zeros(len(SCORES), dtype=torch.float64, device="cpu")
        self.tokens = 0
        self.rate = 0.0
        self.last: dict[str, float] = {}
        self._timed_tokens, self._clock, self._start = 0, 0.0, 0.0
        self._trainer: Trainer | None = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Keep the trainer: the state is summed over its ranks."""
        self._trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        """Return the sums since the last row and the tokens so far, over all ranks."""
        return {"scores": self._sum(self.scores).tolist(), "tokens": self._sum_int(self.tokens)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from saved sums; they are those of all ranks, so one rank takes them."""
        if is_first_process():
            self.scores = torch.tensor(state_dict["scores"], dtype=torch.float64, device="cpu")
            self.tokens = state_dict["tokens"]

    def on_train_start(self, trainer: Trainer, pl_module: MaskedLMTask) -> None:  # type: ignore[override]
        """Evaluate before the first step of a new run."""
        self._start = perf_counter()
        if trainer.global_step == 0:
            self.write(trainer, 0, {"tokens": 0, **self._evaluated(trainer, pl_module)})
        self._clock = perf_counter()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: MaskedLMTask, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Add a batch; at the end of an optimiser step perhaps write a row."""
        self.scores += outputs["scores"].double().cpu()
        self.tokens += len(batch.input_ids)
        self._timed_tokens += len(batch.input_ids)
        step = trainer.global_step
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        is_last = step == trainer.max_steps
        evaluates = step % self.eval_every == 0 or is_last
        if evaluates or step % self.log_every == 0:
            row = self._train_row(trainer, pl_module)
            if evaluates:
                row |= self._evaluated(trainer, pl_module)
            self.write(trainer, step, row)

    def _train_row(self, trainer: Trainer, task: MaskedLMTask) -> dict[str, float]:
        seconds = perf_counter() - self._clock
        row = means(self._sum(self.scores))
        loss = 0.0
        weights = {
            "residue": 1.0,
            "relation": task.relation_weight,
            "contrastive": task.contrastive_weight,
            "pair": task.pair_weight,
        }
        for kind, weight in weights.items():
            term = row[f"{kind}_loss"]
            if term == term:
                loss += weight * term
        self.rate = self._sum_int(self._timed_tokens) / max(seconds, 1e-9)
        # The scheduler has already moved on to the next step.
        used = task.lr_schedulers().lr_lambdas[0](trainer.global_step - 1)  # type: ignore[union-attr]
        row |= {
            "tokens": self._sum_int(self.tokens),
            "lr": task.shown_rate * used,
            "loss": loss,
            "gradient_norm": task.gradient_norm,
            "tokens_per_second": round(self.rate, 1),
            "seconds": round(perf_counter() - self._start, 2),
        }
        self.scores.zero_()
        self._timed_tokens, self._clock = 0, perf_counter()
        return row

    def _evaluated(self, trainer: Trainer, task: MaskedLMTask) -> dict[str, float]:
        """Run the evaluation on every rank alike: right for any way of sharding the weights."""
        task.eval()
        forward = trainer.strategy.model
        assert forward is not None  # there is a model while training
        with torch.no_grad(), trainer.strategy.precision_plugin.forward_context():
            result = self.evaluate(forward, task.device)
        task.train()
        self._clock = perf_counter()
        return result

    def _sum(self, scores: Tensor) -> Tensor:
        assert self._trainer is not None
        device = self._trainer.strategy.root_device
        total = scores.to(device) if device.type != "mps" else scores.float().to(device)
        reduced = self._trainer.strategy.reduce(total.clone(), reduce_op="sum")
        return torch.as_tensor(reduced, device=device).double().cpu()

    def _sum_int(self, value: int) -> int:
        return int(self._sum(torch.tensor([float(value)], dtype=torch.float64, device="cpu"))[0])
