"""ESM-2 behind the common interface, through transformers, from weights that fit or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.models.checkpoints import (
    count_layers,
    first_line,
    read_json,
    refuse_integers,
    stored_shapes,
    stored_tensors,
)
from lcplm_graph.models.config_checks import Bounds, check_number
from lcplm_graph.models.folder import ModelFolder, Record
from lcplm_graph.models.from_transformers import PaddedEncoder, find_folder, load_whole
from lcplm_graph.models.names import CONFIG
from lcplm_graph.models.pooling import check_pool, pooled_dim
from lcplm_graph.models.relation import RelationDecoder
from lcplm_graph.tokens.packing import PackedTokens

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM, EsmModel

_TITLE = "ESM-2"
_LAYER = re.compile(r"(?:^|\.)encoder\.layer\.(\d+)\.")
# Predicts contacts from attention; the residue states do not depend on it.
_NOT_NEEDED = "contact_head."
RELATION = "relation."
"""How the names of the relation decoder's weights begin."""


class Esm2Encoder(PaddedEncoder):
    """ESM-2 (Lin et al. 2023) through transformers.

    Parameters
    ----------
    model : EsmModel
    name : str
    relation : RelationDecoder, optional
        Of an ESM-2-G, see `lcplm_graph.stage2`.
    record : Record, optional
        What it was trained on; default: what the folder says that the model was loaded from.
    """

    def __init__(
        self,
        model: EsmModel,
        name: str,
        relation: RelationDecoder | None = None,
        record: Record | None = None,
    ) -> None:
        super().__init__()
        self.model, self.name = model, name
        if record is None and model.name_or_path:
            record = ModelFolder(model.name_or_path).record()
        self.record = record or Record()
        if relation is not None:
            self.relation = relation
        self.dim = model.config.hidden_size
        self.pool = getattr(model.config, "pool", self.pool)
        if model.config.position_embedding_type == "absolute":
            # Two positions are taken by <cls> and <eos>, and numbering starts after <pad>.
            self.max_length = model.config.max_position_embeddings - 4


class Esm2MaskedLM(Esm2Encoder):
    """ESM-2 with its output layer.

    Parameters
    ----------
    model : EsmForMaskedLM
    name : str
    record : Record, optional
        As of `Esm2Encoder`.
    """

    def __init__(self, model: EsmForMaskedLM, name: str, record: Record | None = None) -> None:
        super().__init__(model.esm, name, record=record)
        self.lm_head = model.lm_head

    def logits(self, packed: PackedTokens) -> Tensor:
        """Return the masked-LM logits, shape (T, 33)."""
        return self.lm_head(self.encode(packed).to(self.lm_head.dense.weight.dtype)).float()


def esm2_encoder(name: str, dtype: str | torch.dtype, **options: Any) -> Esm2Encoder:
    """Load ``esm2:...``, a folder or a hub id.

    Raises
    ------
    CheckpointError
        If the files are missing or damaged, or a weight is missing or of the wrong shape.
    """
    from transformers import EsmModel

    model, folder = _load(EsmModel, name, dtype, options, add_pooling_layer=False)
    return Esm2Encoder(model, name, _relation(folder, model.config), ModelFolder(folder).record())


def esm2_for_training(name: str) -> tuple[EsmForMaskedLM, RelationDecoder | None, Record]:
    """Load ``esm2:...`` for stage 2: the masked LM, its decoder and its past, if it has any.

    Raises as `esm2_encoder`.
    """
    from transformers import EsmForMaskedLM

    model, folder = _load(EsmForMaskedLM, name, torch.float32, {})
    model.config.pool = getattr(model.config, "pool", "mean")
    return model, _relation(folder, model.config), ModelFolder(folder).record()


def _relation(folder: Path, config: Any) -> RelationDecoder | None:
    """Read the decoder of pairs that stage 2 put beside ESM-2's weights."""
    if not getattr(config, "relation_channels", 0):
        return None
    width = pooled_dim(config.hidden_size, getattr(config, "pool", "mean"))
    members = getattr(config, "relation_members", 4)
    with torch.device("meta"):  # of no size until its weights are seen to fit
        decoder = RelationDecoder(width, config.relation_channels, members)
    stored = {
        key.removeprefix(RELATION): value
        for key, value in stored_tensors(folder).items()
        if key.startswith(RELATION)
    }
    try:
        decoder.load_state_dict(stored, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder}: its relation decoder does not fit {CONFIG} ({first_line(error)})"
        ) from error
    return decoder.eval()


def esm2_masked_lm(name: str, dtype: str | torch.dtype, options: dict[str, Any]) -> Esm2MaskedLM:
    """Load ``esm2:...`` with its output layer; raises as `esm2_encoder`."""
    from transformers import EsmForMaskedLM

    model, folder = _load(EsmForMaskedLM, name, dtype, options)
    return Esm2MaskedLM(model, name, ModelFolder(folder).record()).eval()


def _load(
    model_class: Any, name: str, dtype: str | torch.dtype, options: dict[str, Any], **shape: Any
) -> tuple[Any, Path]:
    folder = find_folder(name.removeprefix("esm2:"), _TITLE, options)
    _check_config(folder)
    model = load_whole(model_class, folder, _TITLE, dtype, not_needed=_NOT_NEEDED, **shape)
    return model, folder


def _check_config(folder: Path) -> None:
    """Refuse a configuration that asks for another model than the weights are of."""
    stored = read_json(folder / CONFIG)
    if stored.get("model_type") != "esm":
        raise CheckpointError(
            f"{folder / CONFIG}: model_type is {stored.get('model_type')!r}, not 'esm'"
        )
    try:
        _check_values(stored)
    except ConfigError as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from error
    if not stored.get("quantization_config"):
        refuse_integers(folder)
    shapes = stored_shapes(folder)
    layers = count_layers(shapes, _LAYER)
    if stored.get("num_hidden_layers") != layers:
        raise CheckpointError(
            f"{folder}: the weights have {layers} layers of ESM-2, but {CONFIG} says "
            f"{json.dumps(stored.get('num_hidden_layers'))}; the files do not belong together"
        )
    rows = [shape for key, shape in shapes.items() if key.endswith("word_embeddings.weight")]
    asked = (stored.get("vocab_size"), stored.get("hidden_size"))
    if asked not in rows:
        raise CheckpointError(
            f"{folder}: {CONFIG} asks for an embedding of shape {asked}, but the weights hold "
            f"{rows or 'none'}; the files do not belong together"
        )


def _check_values(stored: dict[str, Any]) -> None:
    """Check what transformers takes as it is, and what stage 2 wrote beside it."""
    rows: Any = stored.get("vocab_size")
    check_number("vocab_size", rows, Bounds(int, 1, 1 << 24))
    # Transformers takes None for any, and fails on the first sequence without the first two.
    needed = ("pad_token_id", "mask_token_id")
    for name in (*needed, "eos_token_id", "bos_token_id", "cls_token_id"):
        if name in needed or stored.get(name) is not None:
            check_number(name, stored.get(name), Bounds(int, 0, rows - 1))
    positions = stored.get("position_embedding_type", "absolute")
    if positions not in ("absolute", "rotary"):
        raise ConfigError(f"position_embedding_type is absolute or rotary, not {positions!r:.50}")
    check_number("layer_norm_eps", stored.get("layer_norm_eps", 1e-12), Bounds(float, 0, 1))
    check_number("relation_channels", stored.get("relation_channels", 0), Bounds(int, 0, 1 << 20))
    check_number("relation_members", stored.get("relation_members", 1), Bounds(int, 1, 1 << 10))
    check_pool(stored.get("pool", "mean"))
