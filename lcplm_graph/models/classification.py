"""Heads on the encoder in Hugging Face's shape: one label a protein (or pair), or one a residue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.utils import ModelOutput

from lcplm_graph.errors import InputError
from lcplm_graph.models.attached import call
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.core import LcPlmModel, as_asked, token_loss
from lcplm_graph.models.names import MANY_LABELS, ONE_LABEL, REGRESSION, Problem
from lcplm_graph.models.pooling import pool_residues, pooled_dim
from lcplm_graph.models.pretrained import LcPlmPreTrainedModel
from lcplm_graph.tokens.packing import PackedTokens, pad_mask_to_cu_seqlens


@dataclass
class ClassifierOutput(ModelOutput):
    """Output of the classification models.

    Attributes
    ----------
    loss : Tensor, shape=(), optional
    logits : Tensor, dtype=float32, shape=(B, num_labels) or (B, L, num_labels)
    hidden_states : tuple of Tensor, optional
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class _Classifier(LcPlmPreTrainedModel):
    """The encoder, dropout and a linear map to `num_labels`."""

    _new_parts = ("classifier.",)

    def __init__(self, config: LcPlmConfig, width: int) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels or 0
        self.bimamba = LcPlmModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(width, self.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is getattr(self, "classifier", None):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.bimamba.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.bimamba.set_input_embeddings(value)


class LcPlmForSequenceClassification(_Classifier):
    """One prediction a stream: of a protein's property, or of a pair of proteins.

    The residue states are pooled as ``config.pool`` says, markers left out, and mapped to
    ``config.num_labels`` values.  The loss is that of ``config.problem_type``, which is found from
    the first labels if it is not set: regression for one value, cross-entropy for integers, binary
    cross-entropy otherwise.

    Parameters
    ----------
    config : LcPlmConfig

    Examples
    --------
    >>> from lcplm_graph.tokens.packing import pad, tokenize
    >>> config = LcPlmConfig(d_model=32, n_layer=2, num_labels=3, pool="mean_std")
    >>> ids, mask = pad(tokenize(["MKTAYIAK", "GA"]))
    >>> LcPlmForSequenceClassification(config).eval()(ids, mask).logits.shape
    torch.Size([2, 3])
    """

    def __init__(self, config: LcPlmConfig) -> None:
        super().__init__(config, pooled_dim(config.d_model, config.pool))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        window: int | None = None,
    ) -> ClassifierOutput | tuple[Any, ...]:
        """Encode, pool and predict.

        Parameters
        ----------
        input_ids, attention_mask, cu_seqlens
            As in `LcPlmModel.forward`.
        labels : Tensor, optional
            Integers (B,) for one label, floats (B, num_labels) for many, floats (B,) or
            (B, num_labels) for regression.
        inputs_embeds : Tensor, optional
            As in `LcPlmModel.forward`; all of a stream is pooled then, markers too, as nothing
            tells them from residues.
        output_attentions, output_hidden_states, return_dict, window
            As in `LcPlmModel.forward`.

        Returns
        -------
        ClassifierOutput, or a tuple of its fields that are not None

        Raises
        ------
        InputError
            If the labels do not have the shape that the problem asks for.
        """
        encoded = self.bimamba(
            input_ids, attention_mask, inputs_embeds=inputs_embeds, cu_seqlens=cu_seqlens,
            output_attentions=output_attentions, output_hidden_states=output_hidden_states,
            return_dict=True, window=window,
        )  # fmt: skip
        states, packed = _packed(encoded.last_hidden_state, input_ids, attention_mask, cu_seqlens)
        pooled = pool_residues(states, packed, self.config.pool)
        logits = call(self.classifier, self.dropout(pooled)).float()
        loss = None if labels is None else self._loss(logits, labels.to(logits.device))
        output = ClassifierOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return as_asked(output, return_dict, self.config)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type is None:
            self.config.problem_type = _problem(self.num_labels, labels)
        kind, wanted = self.config.problem_type, tuple(logits.shape)
        if kind == ONE_LABEL or (kind == REGRESSION and labels.dim() == 1 and wanted[1] == 1):
            wanted = wanted[:1]
        if tuple(labels.shape) != wanted:
            raise InputError(
                f"labels for {kind} must be of shape {wanted}, not {tuple(labels.shape)}"
            )
        if kind == ONE_LABEL:
            return F.cross_entropy(logits, labels.long())
        if kind == MANY_LABELS:
            return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        if kind == REGRESSION:
            return F.mse_loss(logits.view(labels.shape), labels.to(logits.dtype))
        raise InputError(
            f"problem_type must be {REGRESSION}, {ONE_LABEL} or {MANY_LABELS}, not {kind!r}"
        )


class LcPlmForTokenClassification(_Classifier):
    """One label a residue, such as its secondary structure.

    Parameters
    ----------
    config : LcPlmConfig
        With `num_labels`.
    """

    accepts_loss_kwargs = True

    def __init__(self, config: LcPlmConfig) -> None:
        super().__init__(config, config.d_model)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        window: int | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> ClassifierOutput | tuple[Any, ...]:
        """Encode and label every token.

        Parameters
        ----------
        input_ids, attention_mask, inputs_embeds, cu_seqlens
            As in `LcPlmModel.forward`.
        labels : Tensor, dtype=int64, shape of `input_ids`, optional
            -100 where there is no label: at markers, and at residues that have none.
        output_attentions, output_hidden_states, return_dict, window
            As in `LcPlmModel.forward`.
        num_items_in_batch : int or Tensor, optional
            As in `LcPlmForMaskedLM.forward`.

        Returns
        -------
        ClassifierOutput, or a tuple of its fields that are not None
        """
        encoded = self.bimamba(
            input_ids, attention_mask, inputs_embeds=inputs_embeds, cu_seqlens=cu_seqlens,
            output_attentions=output_attentions, output_hidden_states=output_hidden_states,
            return_dict=True, window=window,
        )  # fmt: skip
        logits = call(self.classifier, self.dropout(encoded.last_hidden_state)).float()
        loss = None if labels is None else token_loss(logits, labels, num_items_in_batch)
        output = ClassifierOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return as_asked(output, return_dict, self.config)


def _packed(
    states: Tensor,
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    cu_seqlens: Tensor | None,
) -> tuple[Tensor, PackedTokens]:
    """Bring states and ids to one flat token axis."""
    flat = states.flatten(0, -2)
    # -1 is not a marker, so that all of a stream given as embeddings is pooled.
    ids = flat.new_full((len(flat),), -1).long() if input_ids is None else input_ids.flatten()
    if cu_seqlens is not None:
        return flat, PackedTokens(ids, cu_seqlens)
    if attention_mask is None:
        attention_mask = states.new_ones(states.shape[:2])
    real, cu_seqlens = pad_mask_to_cu_seqlens(attention_mask)
    return flat[real], PackedTokens(ids[real], cu_seqlens)


def _problem(num_labels: int, labels: Tensor) -> Problem:
    if num_labels == 1:
        return REGRESSION
    return MANY_LABELS if labels.is_floating_point() or labels.dim() > 1 else ONE_LABEL
