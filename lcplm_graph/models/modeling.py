"""LC-PLM in Hugging Face's shape: the encoder, the masked LM and the classification models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.utils import ModelOutput

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.attached import call
from lcplm_graph.models.bimamba import MambaDirection
from lcplm_graph.models.classification import (
    LcPlmForSequenceClassification,
    LcPlmForTokenClassification,
)
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.core import EncoderOutput, LcPlmModel, as_asked, token_loss
from lcplm_graph.models.network import Network
from lcplm_graph.models.pooling import pooled_dim
from lcplm_graph.models.pretrained import LcPlmPreTrainedModel
from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.models.state_dicts import EMBEDDING, OUTPUT

__all__ = [
    "EncoderOutput",
    "LcPlmForMaskedLM",
    "LcPlmForSequenceClassification",
    "LcPlmForTokenClassification",
    "LcPlmModel",
    "LcPlmPreTrainedModel",
    "MaskedLMOutput",
]


@dataclass
class MaskedLMOutput(ModelOutput):
    """Output of `LcPlmForMaskedLM`.

    Attributes
    ----------
    loss : Tensor, shape=(), optional
        Mean cross-entropy over the labels that are not -100.
    logits : Tensor, dtype=float32, shape=(B, L, vocab_size) or (T, vocab_size)
    hidden_states : tuple of Tensor, optional
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class LcPlmForMaskedLM(LcPlmPreTrainedModel):
    """The encoder with an output layer over the vocabulary.

    Parameters
    ----------
    config : LcPlmConfig
    """

    # Hugging Face's `Trainer` looks for this before it gives `num_items_in_batch`.
    accepts_loss_kwargs = True
    _tied_weights_keys = {OUTPUT: EMBEDDING}  # noqa: RUF012 (name and type are Hugging Face's)

    def __init__(self, config: LcPlmConfig) -> None:
        super().__init__(config)
        self.bimamba = LcPlmModel(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.lm_head.weight = self.bimamba.backbone.embedding.weight
        self.relation: RelationDecoder | None = None
        if config.relation_channels:
            self.add_relation_decoder(config.relation_channels, config.relation_members)
        self.post_init()

    def add_relation_decoder(self, channels: int, members: int) -> RelationDecoder:
        """Add an untrained decoder of pairs, in place of one that is there.

        Parameters
        ----------
        channels, members : int
            See `RelationDecoder`.
        """
        self.config.relation_channels, self.config.relation_members = channels, members
        width = pooled_dim(self.config.d_model, self.config.pool)
        self.relation = RelationDecoder(width, channels, members)
        return self.relation

    def add_marker_steps(self, value: float = 0.0) -> None:
        """Let every layer learn how far to forget what was before a protein of a stream.

        Parameters
        ----------
        value : float
            Of the biases on the step size: 0 changes nothing, a large one forgets all.

        Raises
        ------
        ConfigError
            If the layers have such biases.
        """
        if self.config.marker_step_bias:
            raise ConfigError("this model has marker steps; it is trained on with what they are")
        self.config.marker_step_bias = True
        for module in self.modules():
            if isinstance(module, MambaDirection):
                module.add_marker_step(value)

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.bimamba.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the output layer."""
        return self.lm_head

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
    ) -> MaskedLMOutput | tuple[Any, ...]:
        """Encode and predict every token.

        Parameters
        ----------
        input_ids, attention_mask, inputs_embeds, cu_seqlens
            As in `LcPlmModel.forward`.
        labels : Tensor, dtype=int64, shape of `input_ids`, optional
            Tokens to predict, -100 where there is nothing to predict.
        output_attentions, output_hidden_states, return_dict, window
            As in `LcPlmModel.forward`.
        num_items_in_batch : int or Tensor, optional
            Divide the summed loss by this number; Hugging Face's `Trainer` gives the labels of all
            batches of an optimiser step.

        Returns
        -------
        MaskedLMOutput, or a tuple of its fields that are not None
        """
        encoded = self.bimamba(
            input_ids, attention_mask, inputs_embeds=inputs_embeds, cu_seqlens=cu_seqlens,
            output_attentions=output_attentions, output_hidden_states=output_hidden_states,
            return_dict=True, window=window,
        )  # fmt: skip
        logits = call(self.lm_head, encoded.last_hidden_state).float()
        loss = None if labels is None else token_loss(logits, labels, num_items_in_batch)
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return as_asked(output, return_dict, self.config)


def of_network(network: Network) -> LcPlmForMaskedLM:
    """Return Hugging Face's model around the modules of a network, which are shared, not copied."""
    config = LcPlmConfig.from_dict(dict(network.stored))
    config.vocab_size = network.config.vocab_size
    with torch.device("meta"):
        model = LcPlmForMaskedLM(config)
    model.bimamba.backbone = network.bimamba.backbone
    model.lm_head, model.relation = network.lm_head, network.relation
    model.record = network.record
    config._name_or_path = model.name_or_path = str(network.folder)
    return model.train(network.training)


def model_class(config: Mapping[str, Any]) -> type[LcPlmPreTrainedModel]:
    """Return the class that a ``config.json`` names; the published ones name the masked LM."""
    named = config.get("architectures")
    name = named[0] if isinstance(named, list) and named else None
    classes = (LcPlmModel, LcPlmForSequenceClassification, LcPlmForTokenClassification)
    return next((cls for cls in classes if cls.__name__ == name), LcPlmForMaskedLM)


AutoConfig.register(LcPlmConfig.model_type, LcPlmConfig, exist_ok=True)
for _auto, _model in {
    AutoModel: LcPlmModel,
    AutoModelForMaskedLM: LcPlmForMaskedLM,
    AutoModelForSequenceClassification: LcPlmForSequenceClassification,
    AutoModelForTokenClassification: LcPlmForTokenClassification,
}.items():
    _auto.register(LcPlmConfig, _model, exist_ok=True)
