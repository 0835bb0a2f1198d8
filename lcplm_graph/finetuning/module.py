"""`FinetuneTask`: the Lightning module; and what evaluates, keeps the best state and stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lcplm_graph.errors import CheckpointError, TrainingError
from lcplm_graph.finetuning.batches import Piece, Step
from lcplm_graph.finetuning.model import PropertyModel
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.heads.dropout import seeded_dropout
from lcplm_graph.io import atomic_path
from lcplm_graph.models.checkpoints import first_line
from lcplm_graph.process import seeded
from lcplm_graph.training.metrics import Rows
from lcplm_graph.training.optim import learning_rate_factor, no_decay_names

BEST = "best.safetensors"
TRAIN_COLUMNS = ("step", "epoch", "lr", "loss", "gradient_norm", "rows_per_second", "seconds")
_LOG_EVERY = 10


class FinetuneTask(LightningModule):
    """Train what of a model asks for gradients, one step of whole rows at a time.

    The pieces of a step are encoded one after the other and their gradients added, so that the
    memory they take does not change what is learned.

    Parameters
    ----------
    model : PropertyModel
    options : FinetuneOptions
    steps : int
        Of the whole run, for the schedule.
    """

    def __init__(self, model: PropertyModel, options: FinetuneOptions, steps: int) -> None:
        super().__init__()
        self.model, self.options, self.steps = model, options, steps
        # What stays as it is need not be in a checkpoint.
        self.automatic_optimization = self.strict_loading = False

    def train(self, mode: bool = True) -> FinetuneTask:
        """Switch dropout on or off; an encoder that stays as it is keeps still."""
        super().train(mode)
        if self.options.mode == "head":
            self.model.encoder.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return what is trained, and the scale of the head's features."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        kept = {name for name, p in self.named_parameters() if p.requires_grad}
        return {k: v for k, v in state.items() if k in kept or k.startswith("model.head.")}

    def logits(self, piece: Piece) -> Tensor:
        """Return the logits of a piece's rows."""
        if piece.features is not None:
            return self.model.head(piece.features, piece.pairs)
        assert piece.tokens is not None  # one of the two is there
        return self.model(piece.tokens, piece.pairs)

    def training_step(self, batch: Step, batch_idx: int) -> dict[str, Any]:
        """Take one optimiser step."""
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        optimizer.zero_grad()  # type: ignore[union-attr]
        total = torch.zeros((), device=self.device)
        key = hash((self.options.seed, batch.number)) % 2**31
        devices = [self.device] if self.device.type == "cuda" else []
        # Dropout depends on the number of the step alone, so that a resumed run is the same.
        with seeded(key, devices), seeded_dropout(key):
            for piece in batch.pieces:
                loss = self.model.target.loss(self.logits(piece), piece.labels, batch.labelled)
                self.manual_backward(loss)
                total += loss.detach()
        if not torch.isfinite(total):
            raise TrainingError(
                f"the loss is {float(total)} at step {batch.number + 1}; lower --lr or --head-lr"
            )
        norm = nn.utils.clip_grad_norm_(
            [p for p in self.parameters() if p.grad is not None], self.options.clip
        )
        if not torch.isfinite(norm):
            raise TrainingError(
                f"the gradient is not finite at step {batch.number + 1}; lower --lr or --head-lr"
            )
        optimizer.step()  # type: ignore[union-attr]
        # The head's rate, before the schedule moves on to the next step.
        rate = optimizer.param_groups[-1]["lr"]  # type: ignore[union-attr]
        schedule.step()  # type: ignore[union-attr]
        rows = sum(len(p.labels) if p.pairs is None else len(p.pairs) for p in batch.pieces)
        return {"loss": total, "rows": rows, "gradient_norm": float(norm), "lr": rate}

    def configure_optimizers(self) -> Any:
        """AdamW with a rate for the encoder and one for the head, warm-up and cosine."""
        options = self.options
        plain = {f"model.{name}" for name in no_decay_names(self.model)}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                rate = options.head_lr if name.startswith("model.head.") else options.encoder_lr
                decay = 0.0 if name in plain else options.weight_decay
                groups.setdefault((rate, decay), []).append(parameter)
        optimizer = torch.optim.AdamW(
            [
                {"params": parameters, "lr": rate, "weight_decay": decay}
                for (rate, decay), parameters in groups.items()
            ]
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: learning_rate_factor(
                step, steps=self.steps, warmup=options.warmup, schedule="cosine"
            ),
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}


Evaluate = Callable[[], dict[str, float]]


class Validate(Rows):
    """Evaluate on the validation rows, keep the best state on disk, and stop in time.

    Its counters are part of the checkpoint, so a resumed run stops where the run without a kill
    would have stopped.

    Parameters
    ----------
    folder : Path
        The best state becomes ``best.safetensors`` there.
    every : int
        Steps between evaluations; there is one after the last step in any case.
    per_epoch : int
        Steps of an epoch, for the rows.
    patience : int
    metric : str
        The column that is to grow.
    evaluate : callable
        Returns the validation columns.
    """

    unit = "rows"

    def __init__(
        self,
        folder: Path,
        *,
        every: int,
        per_epoch: int,
        patience: int,
        metric: str,
        evaluate: Evaluate,
    ) -> None:
        self.path, self.every, self.per_epoch = folder / BEST, every, per_epoch
        self.patience, self.metric, self.evaluate = patience, metric, evaluate
        self.best, self.best_step, self.without = float("-inf"), 0, 0
        self.last: dict[str, float] = {}
        self.rate = 0.0
        self._losses: list[float] = []
        self._rows, self._clock, self._start = 0, 0.0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the counters."""
        return {
            "best": self.best, "best_step": self.best_step, "without": self.without,
            "losses": self._losses,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from saved counters."""
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
        self.without, self._losses = state_dict["without"], list(state_dict["losses"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate before the first step of a new run."""
        self._start = self._clock = perf_counter()
        if trainer.global_step == 0:
            self.write(trainer, 0, self._evaluated(trainer, pl_module))
        trainer.should_stop = self.without >= self.patience

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss; perhaps evaluate and write a row."""
        self._losses.append(float(outputs["loss"]))
        self._rows += outputs["rows"]
        step = trainer.global_step
        evaluates = step % self.every == 0 or step == trainer.max_steps
        if not evaluates and step % _LOG_EVERY:
            return
        seconds = perf_counter() - self._clock
        self.rate = self._rows / max(seconds, 1e-9)
        row = {
            "epoch": round(step / self.per_epoch, 4),
            "lr": outputs["lr"],
            "loss": sum(self._losses) / len(self._losses),
            "gradient_norm": outputs["gradient_norm"],
            "rows_per_second": round(self.rate, 2),
            "seconds": round(perf_counter() - self._start, 2),
        }
        self._losses, self._rows = [], 0
        if evaluates:
            row |= self._evaluated(trainer, pl_module)
        self.write(trainer, step, row)
        self._clock = perf_counter()

    def _evaluated(self, trainer: Trainer, task: LightningModule) -> dict[str, float]:
        task.eval()
        with trainer.strategy.precision_plugin.forward_context():
            found = self.evaluate()
        task.train()
        # A metric that is not defined, as of rows of one class, does not count as a gain.
        value = found[f"valid_{self.metric}"]
        if not trainer.global_step:
            return found  # by chance the best on few rows, but its head is random
        if value > self.best:
            self.best, self.best_step, self.without = value, trainer.global_step, 0
            state = {k: v.detach().cpu().contiguous() for k, v in task.state_dict().items()}
            with atomic_path(self.path) as temporary:
                save_file(state, temporary)
        else:
            self.without += 1
        if self.without >= self.patience:
            trainer.should_stop = True
        return found


def load_best(task: FinetuneTask, folder: Path) -> None:
    """Put the best state back into the task's model.

    Raises
    ------
    TrainingError
        If no evaluation gave a number.
    CheckpointError
        If the file is damaged.
    """
    path = folder / BEST
    if not path.is_file():
        raise TrainingError(
            f"{folder}: no evaluation on the validation rows gave a number; they are too few or "
            "of one class, so choose another split"
        )
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: not readable ({first_line(error)}); start a new run"
        ) from error
    # What is not trained is not in the file, so that loading itself cannot be strict.
    if _shapes(state) != _shapes(task.state_dict()):
        raise CheckpointError(
            f"{path}: its tensors are not those that this run trains; start a new run"
        )
    task.load_state_dict(state, strict=False)


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
