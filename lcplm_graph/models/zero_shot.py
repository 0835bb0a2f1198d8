"""Score protein pairs by the relation marker itself, with no head and no training."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lcplm_graph.errors import ConfigError
from lcplm_graph.models.encoders import MAX_TOKENS, Encoder, LcPlmEncoder, length_sorted_batches
from lcplm_graph.process import reused_memory
from lcplm_graph.strings import string_pairs
from lcplm_graph.tokens.packing import PackedTokens, pack
from lcplm_graph.tokens.vocabulary import BON, CLS, EDGE, EON, EOS, MASK, NO_EDGE, encode_residues


def score_pairs(
    encoder: Encoder,
    pairs: Iterable[tuple[str, str]],
    *,
    max_tokens: int = MAX_TOKENS,
    progress: bool = False,
) -> Tensor:
    """Score pairs of proteins as edges by what stage 2 taught the encoder to say.

    A pair is laid out as a walk of two proteins with the relation marker masked,
    ``<cls> [BON] a [EON] <mask> [BON] b [EON] <eos>``; the score is
    ``logit([EDGE]) - logit([NO_EDGE])`` there, averaged over both orders of the pair.

    Parameters
    ----------
    encoder : LcPlmEncoder
        Its markers mean something only after stage 2.
    pairs : iterable of (str, str)
        Sequences of the two proteins; see `lcplm_graph.strings.string_pairs`.
    max_tokens : int
        Tokens per batch; a longer pair is a batch of its own and is never cut.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Tensor, dtype=float32, shape=(n,)
        Log-odds of an edge.

    Raises
    ------
    ConfigError
        If the encoder has no masked-LM head.
    InputError
        If `pairs` are no pairs of strings.
    SequenceError
        If a sequence is empty or holds a character that is no letter.
    """
    if not isinstance(encoder, LcPlmEncoder):
        raise ConfigError(
            f"{encoder.name} has no masked-LM head; scoring pairs needs an LC-PLM encoder"
        )
    texts = string_pairs(pairs)
    streams = [
        _stream(a, b, number) for number, pair in enumerate(texts) for a, b in (pair, pair[::-1])
    ]
    lengths = np.array([len(ids) for ids, _ in streams], dtype=np.int64)
    scores = torch.empty(len(streams), dtype=torch.float32)
    bar = tqdm(total=len(texts), unit="pair", disable=not progress)
    with torch.inference_mode(), reused_memory(), bar:
        for batch in length_sorted_batches(lengths, max_tokens):
            packed = pack([streams[i][0] for i in batch])
            markers = torch.tensor([streams[i][1] for i in batch])
            scores[torch.from_numpy(batch)] = _marker_scores(encoder, packed, markers)
            bar.update(len(batch) / 2)
    return scores.view(-1, 2).mean(1)


def _marker_scores(encoder: LcPlmEncoder, packed: PackedTokens, markers: Tensor) -> Tensor:
    at = packed.cu_seqlens[:-1].long() + markers
    logits = encoder.logits(packed.to(encoder.device))[at.to(encoder.device)]
    return (logits[:, EDGE] - logits[:, NO_EDGE]).float().cpu()


def _stream(a: str, b: str, number: int) -> tuple[np.ndarray, int]:
    """Token ids of a pair and the position of its masked marker."""
    record = f"of pair number {number}"
    left, right = encode_residues(a, record=record), encode_residues(b, record=record)
    parts = ([CLS, BON], left, [EON, MASK, BON], right, [EON, EOS])
    return np.concatenate(parts).astype(np.int64), len(left) + 3
