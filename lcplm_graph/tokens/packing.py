"""Packed token streams: one flat token axis and `cu_seqlens`, as in variable-length attention.

`cu_seqlens` has S + 1 entries; stream ``s`` occupies tokens ``cu_seqlens[s]:cu_seqlens[s + 1]``.
It is the one switch that decides where state flows: within a stream always, between streams never.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.errors import InputError
from lcplm_graph.strings import string_list
from lcplm_graph.tokens.vocabulary import PAD, encode_protein


class PackedTokens(NamedTuple):
    """Token ids of several streams, end to end.

    Attributes
    ----------
    input_ids : Tensor, dtype=int64, shape=(T,)
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    """

    input_ids: Tensor
    cu_seqlens: Tensor

    @property
    def num_streams(self) -> int:
        """Number of streams S."""
        return len(self.cu_seqlens) - 1

    def to(self, device: torch.device | str) -> PackedTokens:
        """Return a copy on another device."""
        return PackedTokens(self.input_ids.to(device), self.cu_seqlens.to(device))


def pack(streams: Sequence[np.ndarray | Tensor | Sequence[int]]) -> PackedTokens:
    """Lay token arrays end to end.

    Parameters
    ----------
    streams : sequence of array-like, each of shape (L_s,)
        Token ids; none may be empty.

    Examples
    --------
    >>> pack([[0, 20, 2], [0, 15, 11, 2]]).cu_seqlens.tolist()
    [0, 3, 7]
    """
    arrays = [np.asarray(s, dtype=np.int64) for s in streams]
    if not arrays:
        raise InputError("there is nothing to pack: the list of streams is empty")
    lengths = np.array([len(a) for a in arrays])
    if (lengths == 0).any():
        raise InputError(f"stream {int(np.argmin(lengths))} is empty; every stream needs a token")
    return PackedTokens(torch.from_numpy(np.concatenate(arrays)), cu_seqlens_of(lengths))


def tokenize(sequences: Iterable[str], *, records: Iterable[str] | None = None) -> PackedTokens:
    """Turn proteins into packed streams ``<cls> residues <eos>``.

    Parameters
    ----------
    sequences : iterable of str
        See `lcplm_graph.strings.string_list`.
    records : iterable of str, optional
        Identifiers of the proteins, for messages.

    Examples
    --------
    >>> tokenize(["MKT", "GA"]).input_ids.tolist()
    [0, 20, 15, 11, 2, 0, 6, 5, 2]
    """
    texts = string_list(sequences)
    names: Sequence[str | int] = range(len(texts))
    if records is not None:
        names = string_list(records, "records")
        if len(names) != len(texts):
            raise InputError(f"{len(names)} records for {len(texts)} sequences")
    return pack([encode_protein(s, record=n) for s, n in zip(texts, names, strict=True)])


def cu_seqlens_of(lengths: Sequence[int] | np.ndarray | Tensor) -> Tensor:
    """Cumulative boundaries of streams with these lengths, int32, shape (S + 1,)."""
    if not isinstance(lengths, Tensor):
        array = np.asarray(lengths)
        if array.size and array.dtype.kind not in "iu":
            raise InputError(f"lengths of streams must be whole numbers, not {array.dtype}")
        lengths = torch.from_numpy(array.astype(np.int64))
    if lengths.dim() != 1:
        raise InputError(f"lengths of streams must be of shape (S,), not {tuple(lengths.shape)}")
    lengths = lengths.long()
    total = int(lengths.sum())
    if total >= 2**31:
        raise InputError(f"{total} tokens are too many for one packed batch (int32 boundaries)")
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)


def check_cu_seqlens(cu_seqlens: Tensor, num_tokens: int) -> None:
    """Raise `InputError` unless `cu_seqlens` partitions `num_tokens` tokens into streams."""
    if cu_seqlens.dtype != torch.int32 or cu_seqlens.dim() != 1 or len(cu_seqlens) < 2:
        raise InputError(
            "cu_seqlens must be int32 of shape (S + 1,) with S >= 1, not "
            f"{str(cu_seqlens.dtype).removeprefix('torch.')} of shape {tuple(cu_seqlens.shape)}"
        )
    if int(cu_seqlens[0]) != 0 or int(cu_seqlens[-1]) != num_tokens:
        raise InputError(
            f"cu_seqlens must run from 0 to the number of tokens, {num_tokens}, "
            f"not from {int(cu_seqlens[0])} to {int(cu_seqlens[-1])}"
        )
    steps = cu_seqlens[1:] - cu_seqlens[:-1]
    if bool((steps <= 0).any()):
        at = int((steps <= 0).nonzero()[0])
        raise InputError(
            f"cu_seqlens must increase strictly, but entry {at + 1} is {int(cu_seqlens[at + 1])} "
            f"after {int(cu_seqlens[at])}; empty streams are not allowed"
        )


def stream_ids(cu_seqlens: Tensor) -> Tensor:
    """Index of the stream that each token belongs to, int64, shape (T,).

    Examples
    --------
    >>> stream_ids(torch.tensor([0, 2, 5], dtype=torch.int32)).tolist()
    [0, 0, 1, 1, 1]
    """
    lengths = (cu_seqlens[1:] - cu_seqlens[:-1]).long()
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def positions(cu_seqlens: Tensor) -> Tensor:
    """Position of each token within its own stream, int64, shape (T,).

    Examples
    --------
    >>> positions(torch.tensor([0, 2, 5], dtype=torch.int32)).tolist()
    [0, 1, 0, 1, 2]
    """
    owner = stream_ids(cu_seqlens)
    return torch.arange(len(owner), device=owner.device) - cu_seqlens.long()[owner]


def pad_mask_to_cu_seqlens(attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Find the real tokens of a padded batch.

    Parameters
    ----------
    attention_mask : Tensor, shape=(B, L)
        1 (or True) at real tokens; pads may stand on either side.

    Returns
    -------
    indices : Tensor, dtype=int64, shape=(T,)
        Flat indices of the real tokens in row order.
    cu_seqlens : Tensor, dtype=int32, shape=(B + 1,)

    Raises
    ------
    InputError
        If a row has no real token, or real tokens with a gap between them.
    """
    mask = attention_mask.bool()
    lengths = mask.sum(1)
    if bool((lengths == 0).any()):
        row = int((lengths == 0).nonzero()[0])
        raise InputError(f"row {row} of attention_mask has no real token")
    rises = (mask[:, 1:] & ~mask[:, :-1]).sum(1) + mask[:, 0]
    if bool((rises > 1).any()):
        row = int((rises > 1).nonzero()[0])
        raise InputError(f"row {row} of attention_mask has pads between real tokens")
    return mask.flatten().nonzero()[:, 0], cu_seqlens_of(lengths.cpu()).to(mask.device)


def unpack(values: Tensor, indices: Tensor, batch_size: int, length: int) -> Tensor:
    """Put packed values back into a padded batch; pads get zeros.

    Parameters
    ----------
    values : Tensor, shape=(T, ...)
    indices : Tensor, dtype=int64, shape=(T,)
        As returned by `pad_mask_to_cu_seqlens`.
    batch_size, length : int
        B and L of the padded batch.

    Returns
    -------
    Tensor, shape=(B, L, ...)
    """
    out = values.new_zeros((batch_size * length, *values.shape[1:]))
    return out.index_copy(0, indices, values).unflatten(0, (batch_size, length))


def pad(packed: PackedTokens, *, left: bool = False, pad_id: int = PAD) -> tuple[Tensor, Tensor]:
    """Lay packed streams out as a padded batch.

    Returns
    -------
    input_ids : Tensor, dtype=int64, shape=(B, L)
    attention_mask : Tensor, dtype=int64, shape=(B, L)
    """
    lengths = (packed.cu_seqlens[1:] - packed.cu_seqlens[:-1]).long()
    longest = int(lengths.max())
    columns = torch.arange(longest, device=lengths.device)
    if left:
        mask = columns >= (longest - lengths)[:, None]
    else:
        mask = columns < lengths[:, None]
    ids = torch.full(mask.shape, pad_id, dtype=torch.int64, device=lengths.device)
    ids[mask] = packed.input_ids
    return ids, mask.long()
