"""Encoders that also say how likely each residue is: what zero-shot scores are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.esm2 import esm2_masked_lm
from lcplm_graph.process import checked_device
from lcplm_graph.tokens.packing import PackedTokens


class MaskedLM(Protocol):
    """An encoder with an output layer over the vocabulary of `lcplm_graph.tokens`."""

    name: str
    max_length: int | None

    def logits(self, packed: PackedTokens) -> Tensor:
        """Return one row of logits per token, float32 of shape (T, vocabulary)."""

    def fingerprint(self) -> str:
        """Sha256 over everything that decides the output."""

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""


def load_masked_lm(
    name: str | Path, device: str | torch.device | None = None, **options: Any
) -> MaskedLM:
    """Load an encoder together with its output layer.

    Parameters
    ----------
    name : str or path-like
        As in `load_encoder`: LC-PLM and ``"esm2:..."``; composition has no such layer.
    device : str or torch.device, optional
        Default: the CPU.
    **options
        As in `load_encoder`.

    Raises
    ------
    ConfigError
        If the encoder has no output layer.
    CheckpointError
        If a checkpoint cannot be read, or lacks the output layer.

    Examples
    --------
    >>> from lcplm_graph.tokens.packing import tokenize
    >>> load_masked_lm("random:1m").logits(tokenize(["MKT"])).shape
    torch.Size([5, 128])
    """
    text = str(name)
    if text.startswith("esm2:"):
        return esm2_masked_lm(text, "float32", options).to(checked_device(device or "cpu"))
    encoder = load_encoder(name, device, **options)
    if not hasattr(encoder, "logits"):
        raise ConfigError(
            f"{encoder.name} has no masked-LM head, so it cannot say how likely a residue is; "
            "name an LC-PLM or an ESM-2"
        )
    return cast(MaskedLM, encoder)
