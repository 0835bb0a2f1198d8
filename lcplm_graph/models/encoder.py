"""The interface of all encoders.

An encoder turns sequences into packed tokens, packed tokens into residue states, and residue
states into one vector a protein.  A protein's vector does not depend on its batch mates.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.models.attached import attached_code
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.models.folder import Record
from lcplm_graph.models.pooling import POOLS, check_pool, pool_residues, pooled_dim
from lcplm_graph.numeric import whole_number
from lcplm_graph.own_code import is_installed
from lcplm_graph.process import reused_memory
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.strings import string_list
from lcplm_graph.tokens.packing import PackedTokens, tokenize
from lcplm_graph.tokens.vocabulary import check_proteins

MAX_TOKENS = 4096
"""Default token budget of a batch; more tokens do not make the CPU faster."""


_ADAPTER_STATE = {"scaling", "_active_adapter", "_disable_adapters"}


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
    pool : str
        Pooling that serves its features best, used where none is named.
    pools : tuple of str
        Those that mean something for its states.
    record : Record
        What it was trained on; whatever is saved of it inherits that.
    """

    name: str
    dim: int
    max_length: int | None = None
    pool: str = "mean"
    pools: tuple[str, ...] = POOLS
    record: Record = Record()

    def extra_repr(self) -> str:
        """Show what it is called, how wide its states are and how they are pooled."""
        named = {key: getattr(self, key, None) for key in ("name", "dim", "pool")}
        return ", ".join(f"{key}={value!r}" for key, value in named.items())

    def tokenize(self, sequences: Iterable[str]) -> PackedTokens:
        """Turn sequences into packed tokens; nothing is ever cut.

        Raises
        ------
        InputError
            If a sequence is longer than `max_length`.
        SequenceError
            If a sequence is empty or holds a character that is not a letter.
        """
        texts = string_list(sequences)
        self.check_lengths([len(s) for s in texts], range(len(texts)))
        return tokenize(texts)

    @abstractmethod
    def encode(self, packed: PackedTokens) -> Tensor:
        """Return one float32 state per token, shape (T, dim); differentiable where it can be."""

    def embed(
        self,
        sequences: Iterable[str],
        pool: str | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        progress: bool = False,
    ) -> Tensor:
        """Embed proteins in evaluation mode, without gradients, in length-sorted batches.

        Parameters
        ----------
        sequences : iterable of str
            Also a generator, or a column of a table: see `lcplm_graph.strings.string_list`.
        pool : str, optional
            See `lcplm_graph.models.pooling`; by default what the encoder recommends (`self.pool`).
        max_tokens : int
            Tokens per batch; a longer protein is a batch of its own and is never cut.
        progress : bool
            Show a progress bar in residues.

        Returns
        -------
        Tensor, dtype=float32, shape=(n, dim), or (n, 2 dim) for ``mean_std``
            In the order given, on the CPU.

        Raises
        ------
        ConfigError
            If the pooling is unknown, or has no meaning for this encoder.
        InputError
            If `sequences` hold something else than strings, or one longer than `max_length`; or
            `max_tokens` is no whole number from 1.
        SequenceError
            If a sequence is empty or holds a character that is not a letter; before any work.
        """
        pool = self.chosen_pool(pool)
        texts = self._checked(sequences)
        lengths = np.array([len(s) for s in texts], dtype=np.int64)
        out = torch.empty(len(texts), pooled_dim(self.dim, pool), dtype=torch.float32, device="cpu")
        bar = tqdm(total=int(lengths.sum()), unit="res", unit_scale=True, disable=not progress)
        with torch.inference_mode(), evaluating(self), reused_memory(), bar:
            for batch in length_sorted_batches(lengths, max_tokens):
                chosen = [texts[i] for i in batch]
                out[torch.from_numpy(batch)] = self.embed_batch(chosen, pool).float().cpu()
                bar.update(int(lengths[batch].sum()))
        return out

    def embed_residues(
        self, sequences: Iterable[str], *, max_tokens: int = MAX_TOKENS, progress: bool = False
    ) -> list[Tensor]:
        """Embed residues in evaluation mode, without gradients, in length-sorted batches.

        Parameters
        ----------
        sequences, max_tokens, progress
            As in `embed`.

        Returns
        -------
        list of Tensor, dtype=float32, shape=(L, dim)
            One row a residue, without ``<cls>`` and ``<eos>``; in the order given, on the CPU.

        Raises
        ------
        InputError, SequenceError
            As `embed`.
        """
        texts = self._checked(sequences)
        lengths = np.array([len(s) for s in texts], dtype=np.int64)
        out: list[Tensor] = [torch.empty(0, device="cpu")] * len(texts)
        bar = tqdm(total=int(lengths.sum()), unit="res", unit_scale=True, disable=not progress)
        # Tensors of inference mode could not be trained on.
        with torch.no_grad(), evaluating(self), reused_memory(), bar:
            for batch in length_sorted_batches(lengths, max_tokens):
                packed = self.tokenize([texts[i] for i in batch]).to(self.device)
                states = self.encode(packed).float().cpu()
                bounds = packed.cu_seqlens.tolist()
                for i, begin, end in zip(batch, bounds, bounds[1:], strict=False):
                    out[i] = states[begin + 1 : end - 1].clone()
                bar.update(int(lengths[batch].sum()))
        return out

    def embed_batch(self, sequences: Iterable[str], pool: str | None = None) -> Tensor:
        """Embed one batch as it is; differentiable if gradients are on."""
        pool = self.chosen_pool(pool)
        packed = as_it_is(self.tokenize)(sequences).to(self.device)
        return pool_residues(self.encode(packed), packed, pool)

    def forward(self, sequences: Iterable[str], pool: str | None = None) -> Tensor:
        """Embed one batch, as `embed_batch`; so hooks, containers and wrappers of torch work."""
        return self.embed_batch(sequences, pool)

    def chosen_pool(self, pool: str | None = None) -> str:
        """Return the pooling that was asked for, or else the one that it recommends.

        Raises
        ------
        UnknownNameError
            If there is no such pooling.
        ConfigError
            If it has no meaning for this encoder.
        """
        if pool is None:
            return self.pool
        check_pool(pool)
        if pool not in self.pools:
            raise ConfigError(
                f"pooling {pool} has no meaning for {self.name}; take one of "
                f"{', '.join(self.pools)}"
            )
        return pool

    def check_lengths(
        self, lengths: Sequence[int] | np.ndarray, names: Sequence[str | int]
    ) -> None:
        """Refuse proteins that are longer than the encoder takes.

        Parameters
        ----------
        lengths : sequence of int, shape=(n,)
            In residues.
        names : sequence of str or int
            Of the proteins, for the message.

        Raises
        ------
        InputError
            If one is longer than `max_length`.
        """
        if self.max_length is None:
            return
        long = np.flatnonzero(np.asarray(lengths) > self.max_length)
        if len(long):
            first = int(long[0])
            raise InputError(
                f"{self.name} takes at most {self.max_length} residues, but {len(long)} proteins "
                f"are longer (the first: {names[first]!r}, {lengths[first]} residues); leave them "
                "out or use an encoder without a limit"
            )

    def fingerprint(self) -> str:
        """Sha256 over everything that decides the encoder's output; the key of feature caches.

        Code of your own that is attached to it (a hook, a patched or replaced module) has another
        value in every process, because it may have changed.
        """
        digest = hashlib.sha256(self._identity().encode())
        for key, value in sorted(self.state_dict().items()):
            _hash_into(digest, key, value)
        ours = is_installed(type(self).__module__.partition(".")[0])
        for name, module in self.named_modules():
            if code := attached_code(module, of_our_own=ours):
                digest.update(f"{name} {code}".encode())
            # How an adapter is weighted, and whether it is switched on, is not a tensor.
            for key in sorted(_ADAPTER_STATE & module.__dict__.keys()):
                digest.update(f"{name}.{key}={module.__dict__[key]!r}".encode())
        return digest.hexdigest()

    def seen_edges(self) -> np.ndarray | None:
        """Sorted hashes of the protein pairs it was trained on; None if there were none."""
        return self.record.seen_edges

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def precision(self) -> str:
        """Dtype of the parameters, ``float32`` or ``bfloat16``; float32 if there are none."""
        dtypes = (p.dtype for p in self.parameters() if p.is_floating_point())
        return str(next(dtypes, torch.float32)).removeprefix("torch.")

    def _identity(self) -> str:
        return type(self).__name__

    def _checked(self, sequences: Iterable[str]) -> list[str]:
        """Return the sequences as a list; before any work it is clear that all can be taken."""
        texts = string_list(sequences)
        names = sequences.ids if isinstance(sequences, SequenceStore) else range(len(texts))
        self.check_lengths([len(s) for s in texts], names)
        check_proteins(texts, names)
        return texts


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that `torch.compile` leaves as it is, as it cannot compile texts."""
    # Not `torch.compiler.disable` as a decorator, which takes a second to import.
    return torch.compiler.disable(function) if torch.compiler.is_compiling() else function


def _hash_into(digest: hashlib._Hash, key: str, value: Any) -> None:
    """Add one entry of a state dict; quantised modules keep tuples and dtypes there."""
    if isinstance(value, tuple):
        for number, part in enumerate(value):
            _hash_into(digest, f"{key}.{number}", part)
    elif not isinstance(value, Tensor):
        digest.update(f"{key}{value!r}".encode())
    else:
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        plain = value.detach().cpu()
        plain = plain.int_repr() if plain.is_quantized else plain
        digest.update(plain.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


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

    Raises
    ------
    InputError
        If `max_tokens` is no whole number from 1.

    Examples
    --------
    >>> [b.tolist() for b in length_sorted_batches(np.array([5, 90, 8, 7]), 20)]
    [[1], [2, 3], [0]]
    """
    max_tokens = whole_number(max_tokens, "max_tokens")
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    batch: list[int] = []
    used = 0
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
