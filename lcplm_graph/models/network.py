"""`Network`: a masked LM read from its folder without Hugging Face, for encoding.

Importing Hugging Face's model classes takes several times as long as embedding a protein.  So a
folder that asks for nothing of theirs is read into this, which has the same parameters under the
same names; `lcplm_graph.models.modeling.of_network` makes the model of it when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.models.architecture import Architecture
from lcplm_graph.models.attached import call
from lcplm_graph.models.backbone import Backbone
from lcplm_graph.models.checkpoints import (
    first_line,
    read_json,
    read_tensors,
    say_licence,
)
from lcplm_graph.models.entrances import entrances_of
from lcplm_graph.models.folder import ModelFolder, Record
from lcplm_graph.models.names import CONFIG, PROMISE
from lcplm_graph.models.pooling import pooled_dim
from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.models.state_dicts import fit_state

_OWN = frozenset(Architecture.__dataclass_fields__)
_PLAIN: dict[str, Any] = {
    "model_type": "lc_plm",
    "architectures": ["LcPlmForMaskedLM"],
    "chunk_size_feed_forward": 0,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "is_encoder_decoder": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "problem_type": None,
    "return_dict": True,
}
"""What ``config.json`` says beside the architecture when nothing else was asked for."""
_REMARKS = {"auto_map", "transformers_version", "dtype", PROMISE}
_DTYPES = ("float32", "bfloat16", "float16")


class NetworkOutput(NamedTuple):
    """What `Network` returns: states (T, d_model), and logits (T, vocab_size) if asked for."""

    last_hidden_state: Tensor
    logits: Tensor | None = None


class _Body(nn.Module):
    """Embedding to final norm; called as `LcPlmModel` is with packed tokens."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.forgets = config.marker_step_bias

    def forward(
        self, input_ids: Tensor, *, cu_seqlens: Tensor, window: int | None = None
    ) -> NetworkOutput:
        hidden = self.backbone.embedding(input_ids)
        entrances = entrances_of(input_ids, None) if self.forgets else None
        states = self.backbone(hidden, cu_seqlens, window, entrances=entrances)
        return NetworkOutput(states)


class Network(nn.Module):
    """Parameters of an `LcPlmForMaskedLM`, called with packed tokens.

    Parameters
    ----------
    config : Architecture
    stored : dict
        The whole content of ``config.json``.
    record : Record
        What the model was trained on.
    folder : Path
        Where it was read.
    """

    def __init__(
        self, config: Architecture, stored: dict[str, Any], record: Record, folder: Path
    ) -> None:
        super().__init__()
        self.config, self.stored, self.record, self.folder = config, stored, record, folder
        self.bimamba = _Body(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.lm_head.weight = self.bimamba.backbone.embedding.weight
        self.relation: RelationDecoder | None = None
        if config.relation_channels:
            width = pooled_dim(config.d_model, config.pool)
            self.relation = RelationDecoder(
                width, config.relation_channels, config.relation_members
            )

    @property
    def base_model(self) -> nn.Module:
        """The encoder without its output layer."""
        return self.bimamba

    def get_output_embeddings(self) -> nn.Module:
        """Return the output layer."""
        return self.lm_head

    def forward(
        self, input_ids: Tensor, *, cu_seqlens: Tensor, window: int | None = None
    ) -> NetworkOutput:
        """Encode packed tokens and predict every one."""
        states = self.bimamba(input_ids, cu_seqlens=cu_seqlens, window=window).last_hidden_state
        return NetworkOutput(states, call(self.lm_head, states).float())


def read_network(folder: Path) -> Network | None:
    """Read a model's folder in float32, if it holds a masked LM and asks for nothing else.

    Parameters
    ----------
    folder : Path
        Of a checkpoint.

    Returns
    -------
    Network or None
        None for folders that only Hugging Face's classes can read as they are meant: with other
        heads, quantised weights, or options of theirs.

    Raises
    ------
    CheckpointError
        If files are missing or damaged, or do not fit each other, as `from_pretrained` says it.
    """
    stored = read_json(folder / CONFIG)
    if not _is_plain(stored):
        return None
    try:
        config = Architecture(**{key: stored[key] for key in _OWN & stored.keys()})
    except ConfigError as error:
        raise CheckpointError(f"{folder / CONFIG}: {first_line(error)}") from error
    own = ModelFolder(folder)
    record = own.record()
    say_licence(folder, config, own=own.training.is_file())
    tensors = read_tensors(folder, config)
    with torch.device("meta"):
        network = Network(config, stored, record, folder)
    state = fit_state(tensors, network.state_dict(), config, folder)
    network.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return network


def _is_plain(stored: dict[str, Any]) -> bool:
    if stored.get("architectures") != _PLAIN["architectures"] or "model_type" not in stored:
        return False
    rest = stored.keys() - _OWN - _REMARKS
    is_usual = all(key in _PLAIN and _PLAIN[key] == stored[key] for key in rest)
    return is_usual and stored.get("dtype", _DTYPES[0]) in _DTYPES
