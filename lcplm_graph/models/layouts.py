"""From the layouts a user may give (padded, packed, embeddings) to packed tokens and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lcplm_graph.errors import InputError
from lcplm_graph.io import warn_once
from lcplm_graph.tokens.packing import pad_mask_to_cu_seqlens, unpack


def tokens_of(input_ids: Tensor | None, inputs_embeds: Tensor | None, d_model: int) -> Tensor:
    """Return the token axes of the input: the ids, or one slice of the embeddings.

    Raises
    ------
    InputError
        Unless exactly one of the two is given, with a fitting dtype and width.
    """
    if input_ids is not None and inputs_embeds is None:
        if input_ids.is_floating_point() or input_ids.is_complex() or input_ids.dtype == torch.bool:
            raise InputError(f"input_ids must be integers, not {input_ids.dtype}")
        return input_ids
    if inputs_embeds is None or input_ids is not None:
        raise InputError("give either input_ids or inputs_embeds, and not both")
    if inputs_embeds.shape[-1] != d_model or not inputs_embeds.is_floating_point():
        raise InputError(
            f"inputs_embeds must be floating point with last axis {d_model}, "
            f"not {inputs_embeds.dtype} of shape {tuple(inputs_embeds.shape)}"
        )
    return inputs_embeds[..., 0]


def to_packed(
    hidden: Tensor,
    tokens: Tensor,
    attention_mask: Tensor | None,
    cu_seqlens: Tensor | None,
    pad_token_id: int,
) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Flatten any accepted layout; returns (T, d), boundaries, and the way back."""
    shape = tokens.shape
    if cu_seqlens is not None:
        if attention_mask is not None:
            raise InputError("give either attention_mask or cu_seqlens, and not both")
        if tokens.dim() != 1 and not (tokens.dim() == 2 and shape[0] == 1):
            raise InputError(
                f"packed input must be of shape (T,) or (1, T), not {tuple(shape)}; "
                "flatten the batch when giving cu_seqlens"
            )
        return hidden.reshape(-1, hidden.shape[-1]), cu_seqlens, lambda x: x.view(*shape, -1)
    if tokens.dim() != 2 or tokens.numel() == 0:
        raise InputError(
            f"padded input must be of shape (B, L) with B, L >= 1, not {tuple(shape)}; "
            "give cu_seqlens for packed tokens"
        )
    if attention_mask is None:
        if not tokens.is_floating_point() and bool(tokens.eq(pad_token_id).any()):
            warn_once(
                "input_ids holds <pad> but no attention_mask was given; pads are read as tokens",
                key="models.pads-without-mask",
            )
        attention_mask = torch.ones(shape, dtype=torch.bool, device=hidden.device)
    if attention_mask.shape != shape:
        raise InputError(
            f"attention_mask must be of shape {tuple(shape)}, not {tuple(attention_mask.shape)}"
        )
    indices, cu = pad_mask_to_cu_seqlens(attention_mask)
    flat = hidden.reshape(-1, hidden.shape[-1])
    if len(indices) == len(flat):
        return flat, cu, lambda x: x.view(*shape, -1)
    return flat[indices], cu, lambda x: unpack(x, indices, *shape)
