"""Encoders behind one small interface: LC-PLM, ESM-2, and amino-acid composition.

An encoder turns sequences into packed tokens, packed tokens into residue states, and residue
states into one vector a protein.  A protein's vector does not depend on its batch mates.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lcplm_graph.errors import CheckpointError, ConfigError, InputError, UnknownNameError
from lcplm_graph.models.config import PRESETS, LcPlmConfig
from lcplm_graph.models.pooling import check_pool, pool_residues, pooled_dim
from lcplm_graph.tokens.packing import PackedTokens, pad, pad_mask_to_cu_seqlens, tokenize
from lcplm_graph.tokens.vocabulary import (
    FIRST_RESIDUE,
    STANDARD_RESIDUES,
    encode_residues,
)

MAX_TOKENS = 4096
"""Default token budget of a batch; more tokens do not make the CPU faster."""

WEIGHTS_DIR = Path(__file__).parent / "weights"


class Encoder(nn.Module):
    """Base class of all encoders.

    Attributes
    ----------
    name : str
        What `load_encoder` was asked for.
    dim : int
        Width of the residue states.
    max_length : int or None
        Residues the encoder takes at most; None if there is no limit.
    """

    name: str
    dim: int
    max_length: int | None = None

    def tokenize(self, sequences: Sequence[str]) -> PackedTokens:
        """Turn sequences into packed tokens; nothing is ever cut.

        Raises
        ------
        InputError
            If a sequence is longer than `max_length`.
        SequenceError
            If a sequence is empty or holds a character that is no letter.
        """
        self._check_lengths(sequences)
        return tokenize(sequences)

    @abstractmethod
    def encode(self, packed: PackedTokens) -> Tensor:
        """Return one float32 state per token, shape (T, dim); differentiable where it can be."""

    def embed(
        self,
        sequences: Sequence[str],
        pool: str = "mean",
        *,
        max_tokens: int = MAX_TOKENS,
        progress: bool = False,
    ) -> Tensor:
        """Embed proteins, without gradients, in length-sorted batches.

        Parameters
        ----------
        sequences : sequence of str
        pool : {"mean", "mean_std", "cls", "max"}
            See `lcplm_graph.models.pooling`.
        max_tokens : int
            Tokens per batch; a longer protein is a batch of its own and is never cut.
        progress : bool
            Show a progress bar in residues.

        Returns
        -------
        Tensor, dtype=float32, shape=(n, dim), or (n, 2 dim) for ``mean_std``
            In the order given, on the CPU.
        """
        check_pool(pool)
        if isinstance(sequences, str):
            raise InputError("expected a list of sequences, got one string; wrap it in a list")
        self._check_lengths(sequences)
        lengths = np.array([len(s) for s in sequences])
        out = torch.empty(len(sequences), pooled_dim(self.dim, pool))
        bar = tqdm(total=int(lengths.sum()), unit="res", unit_scale=True, disable=not progress)
        with torch.inference_mode(), bar:
            for batch in length_sorted_batches(lengths, max_tokens):
                chosen = [sequences[i] for i in batch]
                out[torch.from_numpy(batch)] = self.embed_batch(chosen, pool).float().cpu()
                bar.update(int(lengths[batch].sum()))
        return out

    def embed_batch(self, sequences: Sequence[str], pool: str = "mean") -> Tensor:
        """Embed one batch as it is; differentiable if gradients are on."""
        packed = self.tokenize(sequences).to(self.device)
        return pool_residues(self.encode(packed), packed, pool)

    def fingerprint(self) -> str:
        """Sha256 over everything that decides the encoder's output; the key of feature caches."""
        digest = hashlib.sha256(self._identity().encode())
        for key, tensor in sorted(self.state_dict().items()):
            digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def seen_edges(self) -> np.ndarray | None:
        """Sorted hashes of the protein pairs stage 2 trained on; None if it saw no graph."""
        return None

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def _identity(self) -> str:
        return type(self).__name__

    def _check_lengths(self, sequences: Sequence[str]) -> None:
        if self.max_length is None:
            return
        long = [i for i, s in enumerate(sequences) if len(s) > self.max_length]
        if long:
            raise InputError(
                f"{self.name} takes at most {self.max_length} residues, but {len(long)} sequences "
                f"are longer (the first: number {long[0]}, {len(sequences[long[0]])} residues); "
                "leave them out or use an encoder without a limit"
            )


def length_sorted_batches(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Group proteins of similar length so that no batch exceeds the budget, longest first.

    Parameters
    ----------
    lengths : ndarray, dtype=int, shape=(n,)
        In residues; two tokens a protein are added.
    max_tokens : int

    Returns
    -------
    list of ndarray of int64
        Every index once.  A protein above the budget is alone in its batch.

    Examples
    --------
    >>> [b.tolist() for b in length_sorted_batches(np.array([5, 90, 8, 7]), 20)]
    [[1], [2, 3], [0]]
    """
    if max_tokens < 1:
        raise InputError(f"max_tokens must be at least 1, not {max_tokens}")
    order = np.argsort(-lengths, kind="stable")
    batches, batch, used = [], [], 0
    for i in order:
        tokens = int(lengths[i]) + 2
        if batch and used + tokens > max_tokens:
            batches.append(np.array(batch, dtype=np.int64))
            batch, used = [], 0
        batch.append(int(i))
        used += tokens
    if batch:
        batches.append(np.array(batch, dtype=np.int64))
    return batches


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
        model: nn.Module,
        name: str = "lcplm",
        *,
        seen_edges: np.ndarray | None = None,
        window: int = 2 * MAX_TOKENS,
    ) -> None:
        super().__init__()
        self.model, self.name, self.window = model, name, window
        self.dim = model.config.d_model
        self._seen_edges = seen_edges

    def encode(self, packed: PackedTokens) -> Tensor:
        """Return the states after the final norm, shape (T, dim)."""
        output = self.model.bimamba(
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

    def __init__(self, model: nn.Module, name: str) -> None:
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


class CompositionEncoder(Encoder):
    """Frequencies of the 20 amino acids, optionally with those of the 400 dipeptides.

    The baseline that every learned encoder must beat.  Letters other than the 20 count in the
    length only.  Residue states are one-hot, so ``pool="mean"`` gives the composition.

    Parameters
    ----------
    dipeptides : bool
        Append the frequencies of the 400 ordered pairs of neighbours.
    """

    def __init__(self, dipeptides: bool = False) -> None:
        super().__init__()
        self.dipeptides = dipeptides
        self.name = "dipeptide" if dipeptides else "composition"
        self.dim = 420 if dipeptides else 20

    def _identity(self) -> str:
        return self.name

    def encode(self, packed: PackedTokens) -> Tensor:
        """Return one-hot residues (and, for dipeptides, the pair a residue ends), (T, dim)."""
        index = packed.input_ids - FIRST_RESIDUE
        known = (index >= 0) & (index < len(STANDARD_RESIDUES))
        one_hot = torch.zeros(len(index), self.dim)
        one_hot[known, index[known]] = 1.0
        if self.dipeptides:
            # <cls> and <eos> lie between proteins, so a pair never joins two of them.
            ends = (known[1:] & known[:-1]).nonzero()[:, 0] + 1
            pairs = index[ends - 1] * len(STANDARD_RESIDUES) + index[ends]
            one_hot[ends, len(STANDARD_RESIDUES) + pairs] = 1.0
        return one_hot

    def embed_batch(self, sequences: Sequence[str], pool: str = "mean") -> Tensor:
        """Embed one batch; the default pooling counts instead of building one-hot rows."""
        if pool != "mean":
            return super().embed_batch(sequences, pool)
        size = len(STANDARD_RESIDUES)
        out = np.zeros((len(sequences), self.dim), dtype=np.float32)
        for row, sequence in zip(out, sequences, strict=True):
            ids = encode_residues(sequence).astype(np.int64) - FIRST_RESIDUE
            known = (ids >= 0) & (ids < size)
            row[:size] = np.bincount(ids[known], minlength=size)[:size]
            if self.dipeptides:
                both = known[1:] & known[:-1]
                pairs = ids[:-1][both] * size + ids[1:][both]
                row[size:] = np.bincount(pairs, minlength=size * size)
            row /= len(ids)
        return torch.from_numpy(out)


def load_encoder(name: str | Path, **options: Any) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    name : str or path-like
        ``"composition"`` or ``"dipeptide"``; ``"lcplm-1m"`` and other shipped names; ``"random:8m"``
        (an untrained encoder of a preset's shape, the same for every call; ``"random:8m:7"`` for
        seed 7); ``"esm2:facebook/esm2_t6_8M_UR50D"`` or ``"esm2:path"``; a folder of a checkpoint
        or of a training run; a hub id such as ``"amazon-science/LC-PLM"``.
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
    if text.startswith("lcplm-") and not Path(text).exists():
        return _lcplm_encoder(_shipped(text), text, options)
    return _lcplm_encoder(name, text, options)


def _no_options(name: str, options: dict[str, Any]) -> None:
    if options:
        raise ConfigError(f"encoder {name!r} takes no options, got {', '.join(options)}")


def shipped_encoders() -> list[str]:
    """Names of the pretrained encoders inside this package."""
    if not WEIGHTS_DIR.is_dir():
        return []
    return sorted(p.name for p in WEIGHTS_DIR.iterdir() if (p / "config.json").is_file())


def _shipped(name: str) -> Path:
    if name not in shipped_encoders():
        known = ", ".join(shipped_encoders()) or "none in this version"
        raise UnknownNameError(
            f"no encoder {name!r} ships with this package; shipped: {known}; "
            f"untrained ones: {', '.join('random:' + p for p in PRESETS)}"
        )
    return WEIGHTS_DIR / name


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
    "CompositionEncoder",
    "Encoder",
    "Esm2Encoder",
    "LcPlmEncoder",
    "length_sorted_batches",
    "load_encoder",
    "shipped_encoders",
]
