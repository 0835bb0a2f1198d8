"""`MaskedLMTask`: the Lightning module of both stages."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lcplm_graph.errors import TrainingError
from lcplm_graph.tokens.masking import IGNORE, is_relation
from lcplm_graph.tokens.packing import PackedTokens
from lcplm_graph.tokens.vocabulary import EDGE, NO_EDGE
from lcplm_graph.training.contrastive import HomologyContrast
from lcplm_graph.training.data import Batch, TrainData
from lcplm_graph.training.optim import learning_rate_factor, no_decay_names
from lcplm_graph.training.options import TrainOptions

SCORES = (
    "residue_loss", "residue_correct", "residues",
    "relation_loss", "relation_correct", "relations",
    "contrastive_loss", "contrastive_correct", "views",
    "pair_loss", "pair_correct", "pairs",
)  # fmt: skip
"""What a training step sums up, in this order; losses in nats."""


def score(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum up loss and hits over masked residues and over masked relation markers.

    Parameters
    ----------
    logits : Tensor, shape=(T, V)
    labels : Tensor, dtype=int64, shape=(T,)
        -100 where nothing is asked.

    Returns
    -------
    Tensor, dtype=float32, shape=(6,)
        In the order of `SCORES`.  A residue is hit by the most probable token, a marker if the
        right one of the two is the more probable.
    """
    asked = labels != IGNORE
    logits, labels = logits[asked].float(), labels[asked]
    loss = F.cross_entropy(logits, labels, reduction="none")
    marker = is_relation(labels)
    residue = ~marker
    hit = logits.detach().argmax(1) == labels
    marker_hit = torch.zeros_like(marker)
    if logits.shape[1] > NO_EDGE:
        says_edge = logits.detach()[:, EDGE] > logits.detach()[:, NO_EDGE]
        marker_hit = says_edge == (labels == EDGE)
    return torch.stack(
        [
            (loss * residue).sum(),
            (hit & residue).sum(),
            residue.sum(),
            (loss * marker).sum(),
            (marker_hit & marker).sum(),
            marker.sum(),
        ]
    )


def means(scores: Tensor) -> dict[str, float]:
    """Mean losses and accuracies of summed scores; NaN where nothing was asked."""

    def mean(total: float, count: float) -> float:
        return total / count if count else float("nan")

    kinds = ("residue", "relation", "contrastive", "pair")
    result: dict[str, float] = {}
    for kind, (loss, hits, count) in zip(kinds, scores.view(-1, 3).tolist(), strict=False):
        result |= {f"{kind}_loss": mean(loss, count), f"{kind}_accuracy": mean(hits, count)}
    return result


class MaskedLMTask(LightningModule):
    """Train a masked language model on packed batches.

    Parameters
    ----------
    model : nn.Module
        Called as ``model(input_ids, cu_seqlens=...)``, gives an output with `logits`.
    options : TrainOptions
    relation_weight : float
        Weight of the relation markers' mean loss beside the residues' mean loss.
    contrastive : HomologyContrast, optional
        Term for batches with pairs of homologues.
    contrastive_weight : float
        Its weight beside the residues' mean loss.
    """

    def __init__(
        self,
        model: nn.Module,
        options: TrainOptions,
        relation_weight: float = 1.0,
        contrastive: HomologyContrast | None = None,
        contrastive_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.model, self.options, self.relation_weight = model, options, relation_weight
        self.pair_weight = 0.0
        self.contrastive, self.contrastive_weight = contrastive, contrastive_weight
        self._no_decay = {f"model.{name}" for name in no_decay_names(model)}
        self._bad: list[int] = []
        # In a tuple, so that it is not part of this module.
        self._blank: tuple[nn.Module, ...] = ()
        self.gradient_norm = float("nan")

    def configure_model(self) -> None:
        """Shard the parameters, if that is the strategy."""
        if self.device_mesh is None or self._blank:
            return
        from lcplm_graph.training.parallel import shard

        # Sharding changes the model for good; what is exported is a whole one.
        self._blank = (copy.deepcopy(self.model).to("meta"),)
        mesh = self.device_mesh["data_parallel"]
        shard(self.model, mesh)
        if self.contrastive is not None:
            shard(self.contrastive, mesh)

    def whole_model(self) -> nn.Module:
        """Return the model on the CPU, not sharded; its values are then no longer those here."""
        return self._blank[0].to_empty(device="cpu") if self._blank else self.model.cpu()

    def forward(self, input_ids: Tensor, cu_seqlens: Tensor) -> Tensor:
        """Return logits, shape (T, V)."""
        return self.model(input_ids, cu_seqlens=cu_seqlens).logits

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Return the loss of a batch, and its summed scores."""
        ids, cu_seqlens = batch.input_ids, batch.cu_seqlens
        contrasted = torch.zeros(3, dtype=torch.float32, device=ids.device)
        if self.contrastive is None or batch.pairs is None:
            logits = self(ids, cu_seqlens)
        else:
            output = self.model(ids, cu_seqlens=cu_seqlens, output_hidden_states=True)
            logits, states = output.logits, output.hidden_states[-1]
            contrasted = self.contrastive(states, PackedTokens(ids, cu_seqlens), batch.pairs)
        return self.finish_step(batch, logits, torch.zeros_like(contrasted), contrasted)

    def finish_step(
        self, batch: Batch, logits: Tensor, paired: Tensor, contrasted: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Add up the terms of the loss.

        Parameters
        ----------
        batch : Batch
        logits : Tensor, shape=(T, V)
        paired, contrasted : Tensor, shape=(3,)
            Summed loss, hits and number of pairs for the relation decoder, and of homologous views.
        """
        contrasted = torch.zeros_like(paired) if contrasted is None else contrasted
        scores = torch.cat([score(logits, batch.labels), contrasted, paired])
        weights = (1.0, self.relation_weight, self.contrastive_weight, self.pair_weight)
        loss = torch.zeros_like(scores[0])
        for weight, (total, _, count) in zip(weights, scores.view(-1, 3), strict=True):
            loss = loss + weight * total / count.clamp(min=1)
        if not torch.isfinite(loss.detach()):
            self._bad.append(batch.number)
        return {"loss": loss, "scores": scores.detach()}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Measure the gradient; stop before a gradient that is not finite touches the weights."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.gradient_norm = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        if self._bad or not math.isfinite(self.gradient_norm):
            number = self.trainer.global_step + 1
            batches = self._due_batches()
            what = f"loss in batches {self._bad}" if self._bad else "gradient"
            raise TrainingError(
                f"the {what} is not finite at step {number} (batches {batches[0]} to "
                f"{batches[-1]}, gradient norm {self.gradient_norm}); training stopped before the "
                "weights changed and no checkpoint was touched; resume with a lower learning rate "
                "in a new run, or look at these batches"
            )

    def _due_batches(self) -> range:
        data: TrainData = self.trainer.datamodule  # type: ignore[attr-defined]
        return data.due()

    def learning_rate(self, name: str) -> float:
        """Return the highest learning rate of a parameter by its name."""
        return self.options.lr

    @property
    def shown_rate(self) -> float:
        """The highest learning rate of what is trained, for metrics.csv."""
        return self.options.lr

    def configure_optimizers(self) -> Any:
        """AdamW in groups, and learning rates that are a function of the step alone."""
        options = self.options
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                decay = 0.0 if name in self._no_decay else options.weight_decay
                groups.setdefault((self.learning_rate(name), decay), []).append(parameter)
        # Not the fused one: Lightning refuses to clip its gradients in mixed precision.
        optimizer = torch.optim.AdamW(
            [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()],
            lr=options.lr,
            betas=(0.9, 0.98),
        )

        def factor(step: int) -> float:
            return learning_rate_factor(
                step, steps=options.steps, warmup=options.warmup, schedule=options.schedule
            )

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
