"""Learned encoders behind the common interface, and `load_encoder` for all of them by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoder import MAX_TOKENS, Encoder, length_sorted_batches
from lcplm_graph.models.shipped import shipped_encoders, shipped_folder
from lcplm_graph.tokens.packing import PackedTokens, pad, pad_mask_to_cu_seqlens

if TYPE_CHECKING:
    from transformers import EsmModel

    from lcplm_graph.models.modeling import LcPlmForMaskedLM


class LcPlmEncoder(Encoder):
    """LC-PLM: linear in length, no limit, exact for any batch.

    Parameters
    ----------
    model : LcPlmForMaskedLM
    name : str
    seen_edges : ndarray of uint64, optional
        Sorted hashes of the pairs of stage 2.
    window : int
        Without gradients, batches of more tokens are encoded in windows of so many tokens.
    """

    def __init__(
        self,
        model: LcPlmForMaskedLM,
        name: str = "lcplm",
        *,
        seen_edges: np.ndarray | None = None,
        window: int = 2 * MAX_TOKENS,
    ) -> None:
        super().__init__()
        self.model, self.name, self.window = model, name, window
        self.dim = model.config.d_model
        self.pool = model.config.pool
        self._seen_edges = seen_edges

    def encode(self, packed: PackedTokens) -> Tensor:
        """Return the states after the final norm, shape (T, dim)."""
        output = self.model.base_model(
            packed.input_ids, cu_seqlens=packed.cu_seqlens, window=self.window
        )
        return output.last_hidden_state

    def logits(self, packed: PackedTokens) -> Tensor:
        """Return the masked-LM logits, shape (T, vocab_size)."""
        output = self.model(packed.input_ids, cu_seqlens=packed.cu_seqlens, window=self.window)
        return output.logits

    def seen_edges(self) -> np.ndarray | None:
        """Sorted hashes of the protein pairs stage 2 trained on; None if it saw no graph."""
        return self._seen_edges

    def _identity(self) -> str:
        config = self.model.config
        keys = ("ssm_cfg", "bidirectional", "bidirectional_strategy", "norm_epsilon")
        return json.dumps({k: getattr(config, k) for k in keys}, sort_keys=True)


class Esm2Encoder(Encoder):
    """ESM-2 (Lin et al. 2023) through transformers.

    Parameters
    ----------
    model : EsmModel
    name : str
    """

    def __init__(self, model: EsmModel, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name
        self.dim = model.config.hidden_size
        if model.config.position_embedding_type == "absolute":
            # Two positions are taken by <cls> and <eos>, and numbering starts after <pad>.
            self.max_length = model.config.max_position_embeddings - 4

    def encode(self, packed: PackedTokens) -> Tensor:
        """Return the last hidden states, shape (T, dim)."""
        input_ids, mask = pad(packed)
        states = self.model(input_ids, attention_mask=mask).last_hidden_state
        return states.flatten(0, 1)[pad_mask_to_cu_seqlens(mask)[0]].float()

    def _identity(self) -> str:
        return self.model.config.to_json_string()


def load_encoder(name: str | Path, **options: Any) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    name : str or path-like
        ``"composition"`` or ``"dipeptide"``; ``"lcplm-1m"`` and other shipped names;
        ``"random:8m"`` (an untrained encoder of a preset's shape, the same for every call;
        ``"random:8m:7"`` for seed 7); ``"esm2:facebook/esm2_t6_8M_UR50D"`` or ``"esm2:path"``;
        a folder of a checkpoint or of a training run; a hub id such as
        ``"amazon-science/LC-PLM"``.
    **options
        ``revision`` and ``local_files_only`` for hub ids.

    Returns
    -------
    Encoder
        In evaluation mode, on the CPU.

    Raises
    ------
    UnknownNameError
        If a shipped name or preset is not known.
    CheckpointError
        If a checkpoint cannot be read.

    Examples
    --------
    >>> load_encoder("composition").embed(["MKTAYIAK", "GGGG"]).shape
    torch.Size([2, 20])
    """
    text = str(name)
    if text in ("composition", "dipeptide"):
        _no_options(text, options)
        return CompositionEncoder(dipeptides=text == "dipeptide").eval()
    if text.startswith("random:"):
        _no_options(text, options)
        return _random_encoder(text)
    if text.startswith("esm2:"):
        return _esm2_encoder(text, options)
    if text in shipped_encoders() or (text.startswith("lcplm-") and not Path(text).exists()):
        return _lcplm_encoder(shipped_folder(text), text, options)
    return _lcplm_encoder(name, text, options)


def _no_options(name: str, options: dict[str, Any]) -> None:
    if options:
        raise ConfigError(f"encoder {name!r} takes no options, got {', '.join(options)}")


def _lcplm_encoder(source: str | Path, name: str, options: dict[str, Any]) -> LcPlmEncoder:
    from lcplm_graph.models.checkpoints import resolve_checkpoint
    from lcplm_graph.models.modeling import LcPlmForMaskedLM

    run = Path(source) / "model"
    folder = resolve_checkpoint(run if (run / "config.json").is_file() else source, **options)
    model = LcPlmForMaskedLM.from_pretrained(folder)
    model.name_or_path = name
    edges = folder / "seen_edges.npy"
    seen = np.load(edges, allow_pickle=False) if edges.is_file() else None
    return LcPlmEncoder(model, name, seen_edges=seen).eval()


def _random_encoder(name: str) -> LcPlmEncoder:
    from lcplm_graph.models.modeling import LcPlmForMaskedLM

    _, preset, *seed = name.split(":")
    config = LcPlmConfig.from_preset(preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed[0]) if seed else 0)
        model = LcPlmForMaskedLM(config)
    return LcPlmEncoder(model.eval(), name).eval()


def _esm2_encoder(name: str, options: dict[str, Any]) -> Esm2Encoder:
    from transformers import EsmModel

    source = name.removeprefix("esm2:")
    try:
        model = EsmModel.from_pretrained(source, add_pooling_layer=False, **options)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{source}: no ESM-2 checkpoint to be had here ({str(error).splitlines()[0]}); give a "
            "local folder, or fetch it where there is a network"
        ) from error
    return Esm2Encoder(model.eval(), name).eval()


__all__ = [
    "MAX_TOKENS",
    "CompositionEncoder",
    "Encoder",
    "Esm2Encoder",
    "LcPlmEncoder",
    "length_sorted_batches",
    "load_encoder",
]
