"""What of an encoder is trained: adapters, all of it, or nothing."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from lcplm_graph.errors import ConfigError
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.models.checkpoints import first_line
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.esm2 import Esm2Encoder
from lcplm_graph.models.lora import LORA_TARGETS, lora_config
from lcplm_graph.process import initialised


def prepare(encoder: Encoder, options: FinetuneOptions) -> Any:
    """Make trainable what the mode says, in place.

    Parameters
    ----------
    encoder : Encoder
    options : FinetuneOptions

    Returns
    -------
    PeftModel or None
        The encoder's model with adapters, of mode lora.

    Raises
    ------
    ConfigError
        If the encoder has no weights, peft is missing, or no module is one of the targets.
    """
    encoder.requires_grad_(False)
    if options.mode == "head":
        return None
    if isinstance(encoder, CompositionEncoder):
        raise ConfigError(f"the encoder {encoder.name!r} has no weights to train; give --mode head")
    if options.mode == "full":
        _base(encoder).requires_grad_(True)
        return None
    targets = options.targets or _default_targets(encoder)
    if targets not in LORA_TARGETS:
        raise ConfigError(f"--targets is one of {', '.join(LORA_TARGETS)}, not {targets!r}")
    config = lora_config(targets, rank=options.rank, dropout=options.dropout)
    from peft import get_peft_model

    with initialised(options.seed), warnings.catch_warnings():
        # Of Hugging Face's two packages about each other.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return get_peft_model(encoder.model, config)  # type: ignore[arg-type]
        except ValueError as error:
            raise ConfigError(
                f"{encoder.name}: peft puts no adapter there ({first_line(error)}); choose other "
                f"--targets of {', '.join(LORA_TARGETS)}"
            ) from error


def save_and_merge(adapted: Any, folder: Path) -> None:
    """Write the adapters in peft's layout, and add what they learned to the weights beneath."""
    adapted.save_pretrained(folder, save_embedding_layers=False)
    adapted.merge_and_unload()


def _base(encoder: Encoder) -> torch.nn.Module:
    """Return what of an encoder makes its states: the output layer of a masked LM does not."""
    model: Any = getattr(encoder, "model", encoder)
    return model.base_model if isinstance(encoder, LcPlmEncoder) else model


def _default_targets(encoder: Encoder) -> str:
    if isinstance(encoder, LcPlmEncoder):
        return "projections"
    return "attention" if isinstance(encoder, Esm2Encoder) else "linear"
