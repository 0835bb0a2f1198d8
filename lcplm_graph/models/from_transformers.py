"""Encoders that transformers has: loaded whole or not at all, and called on padded batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lcplm_graph.errors import CheckpointError
from lcplm_graph.models.checkpoints import first_line, resolve_checkpoint
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.models.state_dicts import refuse_not_finite
from lcplm_graph.tokens.packing import PackedTokens, pad, pad_mask_to_cu_seqlens


class PaddedEncoder(Encoder):
    """An encoder whose `model` is one of transformers' and takes padded batches."""

    model: Any

    def encode(self, packed: PackedTokens) -> Tensor:
        """Return the last hidden states, shape (T, dim)."""
        input_ids, mask = pad(packed)
        states = self.model(input_ids, attention_mask=mask).last_hidden_state
        return states.flatten(0, 1)[pad_mask_to_cu_seqlens(mask)[0]].float()

    def _identity(self) -> str:
        return str(self.model.config.to_json_string())


def find_folder(source: str, title: str, options: dict[str, Any]) -> Path:
    """Find the folder of a checkpoint, as `resolve_checkpoint` does.

    Raises
    ------
    CheckpointError
        If it is neither here nor to be had from the hub.
    """
    try:
        return resolve_checkpoint(source, **options)
    except CheckpointError as error:
        raise CheckpointError(
            f"{source}: no {title} checkpoint to be had here ({error}); give a local folder, or "
            "fetch it where there is a network"
        ) from error


def load_whole(
    model_class: Any,
    folder: Path,
    title: str,
    dtype: str | torch.dtype,
    *,
    not_needed: str | None = None,
    **shape: Any,
) -> Any:
    """Load a model of transformers, of which no weight may be missing.

    Parameters
    ----------
    model_class : type
        Of transformers.
    folder : Path
    title : str
        What the model is called, for messages.
    dtype : str or torch.dtype
    not_needed : str, optional
        In the names of weights that may be missing.
    **shape
        Of the model, for `from_pretrained`.

    Raises
    ------
    CheckpointError
        If the files are damaged, or a weight is missing, of the wrong shape or not finite.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    # What is missing is refused below; the table that says so otherwise would come first.
    logging.set_verbosity_error()
    try:
        loaded: Any = model_class.from_pretrained(
            folder, dtype=dtype, use_safetensors=True,
            output_loading_info=True, ignore_mismatched_sizes=True, **shape,
        )  # fmt: skip
    except Exception as error:  # transformers raises many classes for a bad configuration
        raise CheckpointError(
            f"{folder}: not readable as an {title} checkpoint ({first_line(error)})"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    model, info = loaded
    missing = [k for k in info["missing_keys"] if not_needed is None or not_needed not in k]
    wrong = sorted({*missing, *(key for key, *_ in info["mismatched_keys"])})
    if wrong:
        raise CheckpointError(
            f"{folder}: {len(wrong)} weights of {title} are missing or of the wrong shape, the "
            f"first {wrong[0]}; the files do not belong to this configuration"
        )
    refuse_not_finite(model.state_dict(), folder)
    return model.eval()
