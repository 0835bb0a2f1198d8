"""ESM C behind the common interface, through transformers, where its release has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lcplm_graph.errors import BackendError, CheckpointError
from lcplm_graph.models.checkpoints import first_line, read_json, resolve_checkpoint
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.models.folder import ModelFolder
from lcplm_graph.models.names import CONFIG
from lcplm_graph.models.state_dicts import refuse_not_finite
from lcplm_graph.tokens.packing import PackedTokens, pad, pad_mask_to_cu_seqlens


class EsmcEncoder(Encoder):
    """ESM Cambrian through transformers; its first 29 token ids are those of ESM-2.

    Parameters
    ----------
    model : EsmcModel
    name : str
    """

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name
        self.dim = model.config.hidden_size

    def encode(self, packed: PackedTokens) -> Tensor:
        """Return the last hidden states, shape (T, dim)."""
        input_ids, mask = pad(packed)
        states = self.model(input_ids, attention_mask=mask).last_hidden_state
        return states.flatten(0, 1)[pad_mask_to_cu_seqlens(mask)[0]].float()

    def _identity(self) -> str:
        return str(self.model.config.to_json_string())


def esmc_encoder(name: str, dtype: str | torch.dtype, **options: Any) -> EsmcEncoder:
    """Load ``esmc:...``, a folder or a hub id such as ``esmc:biohub/ESMC-300M-hf``.

    Raises
    ------
    BackendError
        If transformers is too old to know ESM C.
    CheckpointError
        If the files are missing or damaged, or a weight is missing or of the wrong shape.
    """
    try:
        from transformers import EsmcModel
    except ImportError as error:
        raise BackendError(
            "this transformers does not know ESM C; it came with 5.21, update it"
        ) from error
    source = name.removeprefix("esmc:")
    try:
        folder = resolve_checkpoint(source, **options)
    except CheckpointError as error:
        raise CheckpointError(
            f"{source}: no ESM C checkpoint to be had here ({error}); give a local folder, or "
            "fetch it where there is a network"
        ) from error
    kind = read_json(folder / CONFIG).get("model_type")
    if kind != "esmc":
        raise CheckpointError(f"{folder / CONFIG}: model_type is {kind!r}, not 'esmc'")
    try:
        loaded: Any = EsmcModel.from_pretrained(
            folder, dtype=dtype, use_safetensors=True,
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    except Exception as error:  # transformers raises many classes for a bad configuration
        raise CheckpointError(
            f"{folder}: not readable as an ESM C checkpoint ({first_line(error)})"
        ) from error
    model, info = loaded
    wrong = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if wrong:
        raise CheckpointError(
            f"{folder}: {len(wrong)} weights of ESM C are missing or of the wrong shape, the first "
            f"{wrong[0]}; the files do not belong to this configuration"
        )
    refuse_not_finite(model.state_dict(), folder)
    encoder = EsmcEncoder(model.eval(), name)
    encoder.record = ModelFolder(folder).record()
    return encoder
