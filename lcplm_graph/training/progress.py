"""A progress bar in optimiser steps: time left, tokens per second, loss."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from lcplm_graph.training.metrics import Rows


class Progress(Callback):
    """Show how far training is.

    Parameters
    ----------
    metrics : Rows
        Where the loss and the speed come from.
    """

    def __init__(self, metrics: Rows) -> None:
        self.metrics = metrics
        self._bar: tqdm | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar where the run stands."""
        if trainer.is_global_zero:
            self._bar = tqdm(
                total=trainer.max_steps,
                initial=trainer.global_step,
                unit="step",
                dynamic_ncols=True,
                mininterval=1.0,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance after an optimiser step."""
        if self._bar is None:
            return
        last = self.metrics.last
        if "loss" in last:
            text = f"loss {last['loss']:.4f}, {self.metrics.rate:,.0f} {self.metrics.unit}/s"
            self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(trainer.global_step - self._bar.n)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the bar."""
        self._close()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
