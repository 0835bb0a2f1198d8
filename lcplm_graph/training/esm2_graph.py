"""ESM-2 in stage 2: the paper's control ESM-2-G, on the same streams, bank and decoder."""

from __future__ import annotations

import copy
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.esm2 import RELATION, Esm2Encoder, esm2_for_training
from lcplm_graph.models.folder import Record
from lcplm_graph.models.lora import import_peft
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.models.pooling import pooled_dim
from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.process import initialised
from lcplm_graph.tokens.vocabulary import TOKENS
from lcplm_graph.training.architectures import Esm2ForPacked, load_trainable

_LORA_TARGETS = ["query", "key", "value", "dense"]


class Esm2OnGraph(Esm2ForPacked):
    """ESM-2's masked LM over packed streams with graph markers, and a relation decoder.

    Parameters
    ----------
    esm2 : transformers.EsmForMaskedLM
        Its vocabulary gets the four graph markers if it has none.
    relation : RelationDecoder, optional
        Of an earlier stage 2.
    record : Record
        What it was trained on before.
    lora : int
        Rank of adapters of all linear layers (LoRA, Hu et al. 2021); then of the other weights only
        embeddings and output layer are trained.  0 trains everything.
    """

    esm2: Any

    def __init__(
        self, esm2: Any, relation: RelationDecoder | None, record: Record, lora: int = 0
    ) -> None:
        super().__init__(esm2.config, esm2)
        _add_markers(esm2)
        self.relation, self.record = relation, record
        if lora:
            self.esm2 = _adapted(esm2, lora)

    @property
    def body(self) -> Any:
        """The `EsmModel` inside, whatever is around it."""
        return self.esm2.base_model.model.esm if self._is_adapted else self.esm2.esm

    @property
    def _is_adapted(self) -> bool:
        return hasattr(self.esm2, "peft_config")

    def add_relation_decoder(self, channels: int, members: int) -> RelationDecoder:
        """Add an untrained decoder of pairs, in place of one that is there."""
        width = pooled_dim(self.config.hidden_size, self.config.pool)
        self.relation = RelationDecoder(width, channels, members)
        self.config.relation_channels, self.config.relation_members = channels, members
        return self.relation

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write a checkpoint that transformers reads, adapters merged and the decoder in it."""
        whole = copy.deepcopy(self.esm2).merge_and_unload() if self._is_adapted else self.esm2
        state = dict(whole.state_dict())
        if self.relation is not None:
            state |= {f"{RELATION}{k}": v for k, v in self.relation.state_dict().items()}
        whole.save_pretrained(folder, state_dict=state)


class _Esm2Trained(Esm2Encoder):
    """Embeds with a model that is in training."""

    def __init__(self, model: Esm2OnGraph, name: str) -> None:
        super().__init__(model.body, name)
        self.pool = model.config.pool


GraphModel = LcPlmForMaskedLM | Esm2OnGraph
"""What stage 2 trains with a relation decoder."""


def load_for_graph(name: str, lora: int = 0) -> tuple[GraphModel, LcPlmEncoder | Esm2Encoder]:
    """Load a model for stage 2, and an encoder that embeds with it.

    Parameters
    ----------
    name : str
        An LC-PLM, or ``esm2:`` and a folder or hub id.
    lora : int
        See `Esm2OnGraph`; 0 for an LC-PLM.

    Raises
    ------
    ConfigError
        If the encoder is neither, adapters are asked of an LC-PLM, or an ESM-2 has learned
        positions, which end before a walk does.
    """
    if not name.startswith("esm2:"):
        if lora:
            raise ConfigError("--lora is for esm2: encoders; train an LC-PLM whole")
        encoder = load_trainable(name)
        assert isinstance(encoder.model, LcPlmForMaskedLM)  # the others have no output layer
        return encoder.model, encoder
    esm2, relation, record = esm2_for_training(name)
    if esm2.config.position_embedding_type != "rotary":
        raise ConfigError(f"{name}: stage 2 needs an ESM-2 with rotary positions; walks are long")
    model = Esm2OnGraph(esm2, relation, record, lora)
    return model, _Esm2Trained(model, name)


def freeze_first(model: GraphModel, count: int) -> None:
    """Leave the embedding and the first layers as they are, if any layer.

    Raises
    ------
    ConfigError
        If there are fewer layers.
    """
    if not count:
        return
    if isinstance(model, Esm2OnGraph):
        layers, embedding = model.body.encoder.layer, model.body.embeddings
    else:
        layers, embedding = model.bimamba.backbone.layers, model.bimamba.backbone.embedding
    if count > len(layers):
        raise ConfigError(f"--freeze {count} is more than the {len(layers)} layers of this encoder")
    for part in (embedding, *layers[:count]):
        part.requires_grad_(False)


def _add_markers(esm2: Any) -> None:
    have = esm2.config.vocab_size
    if have < len(TOKENS):
        with initialised(0):
            esm2.resize_token_embeddings(len(TOKENS), mean_resizing=False)
        bias: Tensor = esm2.lm_head.bias.data
        esm2.lm_head.bias = nn.Parameter(torch.cat([bias, bias.new_zeros(len(TOKENS) - have)]))


def _adapted(esm2: Any, rank: int) -> Any:
    peft = import_peft()
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_targets(esm2))
    with initialised(0):
        adapted = peft.get_peft_model(esm2, config)
    base: Any = adapted.base_model.model
    for part in (base.esm.embeddings.word_embeddings, base.lm_head):
        part.requires_grad_(True)
    return adapted


def _targets(esm2: Any) -> list[str]:
    """Names of the linear layers inside the encoder; the output layer has a `dense`, too."""
    return [
        name
        for name, module in esm2.named_modules()
        if ".encoder.layer." in name
        and isinstance(module, nn.Linear)
        and name.rpartition(".")[2] in _LORA_TARGETS
    ]
