"""Score protein pairs by what stage 2 taught an encoder, with no training by the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.encoders import (
    MAX_TOKENS,
    Encoder,
    LcPlmEncoder,
    as_encoder,
    length_sorted_batches,
)
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.models.pooling import pool_spans
from lcplm_graph.models.relation import RelationDecoder, marker_log_odds
from lcplm_graph.models.unlike import warn_of_unlike
from lcplm_graph.process import reused_memory
from lcplm_graph.strings import string_pairs
from lcplm_graph.tokens.packing import PackedTokens, pack
from lcplm_graph.tokens.vocabulary import MASK, encode_residues, pair_walk

Pairs = Sequence[tuple[str, str]]
WAYS = ("decoder", "stream", "marker")
_PAIRS_AT_ONCE = 8192


def score_pairs(
    encoder: Encoder | str | Path,
    pairs: Iterable[tuple[str, str]],
    *,
    by: Literal["decoder", "stream", "marker"] | None = None,
    max_tokens: int = MAX_TOKENS,
    progress: bool = False,
) -> Tensor:
    """Score pairs of proteins as edges by what stage 2 taught the encoder to say.

    Parameters
    ----------
    encoder : LcPlmEncoder or Esm2Encoder, or str
        An LC-PLM-G, or an ESM-2-G, or the name of one (``"lcplm-g-2m"``): without stage 2 the
        scores mean nothing.
    pairs : iterable of (str, str)
        Sequences of the two proteins; see `lcplm_graph.strings.string_pairs`.
    by : {"decoder", "stream", "marker"}, optional
        ``decoder`` encodes each protein once, by itself, and decodes pairs of pooled states.
        ``stream`` lays a pair out as a walk of two proteins, ``<cls> [BON] a [EON] <mask> [BON] b
        [EON] <eos>``, and decodes the two states there together with the marker. ``marker`` takes
        ``logit([EDGE]) - logit([NO_EDGE])`` of the masked marker alone. The last two average over
        both orders. Default: ``decoder`` if the model has one, else ``marker``, as published
        checkpoints need.
    max_tokens : int
        Tokens per batch; a longer protein or pair is a batch of its own and is never cut.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Tensor, dtype=float32, shape=(n,)
        Log-odds of an edge, not calibrated.  For a few residues or one letter over and over they
        can be huge: by ``decoder``, a warning counts and names proteins unlike those that it was
        trained on.

    Raises
    ------
    ConfigError
        If the encoder has no masked-LM head, or no relation decoder where one is asked for.
    InputError
        If `pairs` are not pairs of strings.
    SequenceError
        If a sequence is empty or holds a character that is not a letter.
    """
    encoder = as_encoder(encoder)
    decoder: RelationDecoder | None = getattr(encoder, "relation", None)
    if decoder is None and not isinstance(encoder, LcPlmEncoder):
        raise ConfigError(
            f"{encoder.name} has no masked-LM head; scoring pairs needs an LC-PLM encoder"
        )
    texts = string_pairs(pairs)
    by = by or ("marker" if decoder is None else "decoder")
    if by not in WAYS:
        raise ConfigError(f"by={by!r} is not a way to score pairs; choose one of {', '.join(WAYS)}")
    if decoder is None and by != "marker":
        raise ConfigError(
            f"{encoder.name} has no relation decoder; score by='marker', or train stage 2"
        )
    if by == "decoder":
        assert decoder is not None  # checked above
        return _by_decoder(encoder, decoder, texts, max_tokens, progress)
    if not isinstance(encoder, LcPlmEncoder):
        raise ConfigError(f"{encoder.name} scores pairs by='decoder' only; it is not an LC-PLM")
    return _in_streams(encoder, decoder if by == "stream" else None, texts, max_tokens, progress)


def _by_decoder(
    encoder: Encoder, decoder: RelationDecoder, pairs: Pairs, max_tokens: int, progress: bool
) -> Tensor:
    """Encode every distinct protein once, then decode the pairs."""
    place: dict[str, int] = {}
    ends = torch.tensor(
        [[place.setdefault(s, len(place)) for s in pair] for pair in pairs],
        dtype=torch.int64,
        device="cpu",
    ).view(-1, 2)
    pooled = encoder.embed(list(place), encoder.pool, max_tokens=max_tokens, progress=progress)
    pooled = pooled.to(encoder.device)
    far = decoder.standardised(pooled).square().mean(dim=1)
    warn_of_unlike(far.cpu(), list(place), what="scores")
    with torch.inference_mode(), evaluating(decoder):
        h = decoder.embed(pooled)
        chunks = [
            decoder(h[:, chunk[:, 0]], h[:, chunk[:, 1]]).cpu()
            for chunk in ends.split(_PAIRS_AT_ONCE)
        ]
    return torch.cat(chunks) if chunks else torch.empty(0, dtype=torch.float32, device="cpu")


def stream_states(
    encoder: LcPlmEncoder,
    pairs: Iterable[tuple[str, str]],
    *,
    max_tokens: int = MAX_TOKENS,
    progress: bool = False,
) -> Tensor:
    """Pool the two proteins of every pair inside a stream of both, the first one first.

    Parameters
    ----------
    encoder, pairs, max_tokens, progress
        As in `score_pairs`.

    Returns
    -------
    Tensor, dtype=float32, shape=(n, 2, width)
    """
    streams = [_stream(a, b, number) for number, (a, b) in enumerate(string_pairs(pairs))]

    def of_batch(packed: PackedTokens, markers: Tensor) -> Tensor:
        return torch.stack(_states_and_marker(encoder, packed, markers)[:2], dim=1)

    return _over_streams(encoder, streams, of_batch, max_tokens, progress)


def _in_streams(
    encoder: LcPlmEncoder,
    decoder: RelationDecoder | None,
    pairs: Pairs,
    max_tokens: int,
    progress: bool,
) -> Tensor:
    streams = [
        _stream(a, b, number) for number, pair in enumerate(pairs) for a, b in (pair, pair[::-1])
    ]

    def of_batch(packed: PackedTokens, markers: Tensor) -> Tensor:
        if decoder is None:
            at = packed.cu_seqlens[:-1].long() + markers
            return marker_log_odds(encoder.logits(packed)[at])
        a, b, marker = _states_and_marker(encoder, packed, markers)
        return decoder(decoder.embed(a), decoder.embed(b), marker)

    return _over_streams(encoder, streams, of_batch, max_tokens, progress).view(-1, 2).mean(1)


def _over_streams(
    encoder: LcPlmEncoder,
    streams: Sequence[tuple[np.ndarray, int]],
    of_batch: Callable[[PackedTokens, Tensor], Tensor],
    max_tokens: int,
    progress: bool,
) -> Tensor:
    """Compute something of every stream, from a batch and the places of its masked markers."""
    lengths = np.array([len(ids) for ids, _ in streams], dtype=np.int64)
    found: list[Tensor] = []
    batches = length_sorted_batches(lengths, max_tokens)
    bar = tqdm(total=len(streams), unit="stream", disable=not progress)
    with torch.inference_mode(), evaluating(encoder), reused_memory(), bar:
        for batch in batches:
            packed = pack([streams[i][0] for i in batch]).to(encoder.device)
            markers = torch.tensor([streams[i][1] for i in batch], device=encoder.device)
            found.append(of_batch(packed, markers).float().cpu())
            bar.update(len(batch))
    if not found:
        return torch.empty(0, dtype=torch.float32, device="cpu")
    order = torch.from_numpy(np.concatenate(batches))
    return torch.cat(found)[order.argsort()]


def _states_and_marker(
    encoder: LcPlmEncoder, packed: PackedTokens, markers: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    starts = packed.cu_seqlens.long()
    at = starts[:-1] + markers
    output = encoder.model(
        packed.input_ids, cu_seqlens=packed.cu_seqlens, output_hidden_states=True
    )
    spans = (
        torch.stack([starts[:-1] + 2, at - 1], dim=1),
        torch.stack([at + 2, starts[1:] - 2], dim=1),
    )
    pool = encoder.model.config.pool
    left, right = (pool_spans(output.hidden_states[-1], span, pool) for span in spans)
    return left, right, marker_log_odds(output.logits[at])


def _stream(a: str, b: str, number: int) -> tuple[np.ndarray, int]:
    """Token ids of a pair and the position of its masked marker."""
    record = f"of pair number {number}"
    left, right = encode_residues(a, record=record), encode_residues(b, record=record)
    return pair_walk(left, right, MASK), len(left) + 3
