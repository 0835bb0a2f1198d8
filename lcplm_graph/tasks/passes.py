"""Many forward passes over token streams: batched to a budget, seen at chosen positions only.

A stream's result does not depend on its batch mates, and streams of any length run whole: the
encoder of LC-PLM takes what is longer than a window in pieces, with the state carried across.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from lcplm_graph.models.encoder import MAX_TOKENS
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.models.masked_lm import MaskedLM
from lcplm_graph.numeric import Float32Array, whole_number
from lcplm_graph.process import reused_memory
from lcplm_graph.tokens.packing import pack
from lcplm_graph.tokens.vocabulary import FIRST_RESIDUE, LAST_RESIDUE

COLUMNS = slice(FIRST_RESIDUE, LAST_RESIDUE + 1)
"""Token ids of `lcplm_graph.tokens.vocabulary.RESIDUES`, in its order: the columns of a table."""


class Stream(NamedTuple):
    """Tokens of one pass, and the positions whose predictions are wanted.

    Attributes
    ----------
    ids : ndarray, dtype=int64, shape=(L,)
    at : ndarray, dtype=int64, shape=(k,)
    """

    ids: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]


def run_passes(
    lm: MaskedLM,
    streams: Iterable[Stream],
    *,
    max_tokens: int = MAX_TOKENS,
    log_probabilities: bool = True,
    bar: tqdm | None = None,
) -> Iterator[Float32Array]:
    """Yield the predictions of each stream, in order.

    Parameters
    ----------
    lm : MaskedLM
    streams : iterable of Stream
    max_tokens : int
        Tokens per batch; a longer stream is a batch of its own and is never cut.
    log_probabilities : bool
        Normalise over the whole vocabulary; else raw logits.
    bar : tqdm, optional
        Told the tokens that are done.

    Yields
    ------
    ndarray, dtype=float32, shape=(k, 25)
        One column for each letter of `RESIDUES`.
    """
    max_tokens = whole_number(max_tokens, "max_tokens")
    with reused_memory():
        for batch in _batches(streams, max_tokens):
            yield from _run_batch(lm, batch, log_probabilities)
            if bar is not None:
                bar.update(sum(len(stream.ids) for stream in batch))


def _run_batch(lm: MaskedLM, batch: list[Stream], log_probabilities: bool) -> list[Float32Array]:
    packed = pack([stream.ids for stream in batch])
    starts = packed.cu_seqlens[:-1].tolist()
    at = np.concatenate([stream.at + start for stream, start in zip(batch, starts, strict=True)])
    with torch.inference_mode(), evaluating(lm):
        logits = lm.logits(packed.to(lm.device))[torch.from_numpy(at).to(lm.device)].float()
        if log_probabilities:
            logits = logits.log_softmax(-1)
        values = logits[:, COLUMNS].cpu().numpy()
    return np.split(values, np.cumsum([len(stream.at) for stream in batch])[:-1])


def _batches(streams: Iterable[Stream], max_tokens: int) -> Iterator[list[Stream]]:
    batch: list[Stream] = []
    used = 0
    for stream in streams:
        if batch and used + len(stream.ids) > max_tokens:
            yield batch
            batch, used = [], 0
        batch.append(stream)
        used += len(stream.ids)
    if batch:
        yield batch
