"""What a masked-LM loss must beat: predictions from counts of residues and of their neighbours.

With 80/10/10 corruption a tenth of the scored positions shows the right answer and a tenth a
random one, so a predictor that knows only that is already well below the unigram entropy.  The
floors here know it, too, and are computed on the very positions that the model is scored on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.masking import IGNORE, is_residue
from lcplm_graph.tokens.packing import stream_ids
from lcplm_graph.tokens.vocabulary import (
    FIRST_RESIDUE,
    LAST_RESIDUE,
    MASK,
    STANDARD_RESIDUES,
    encode_residues,
)

_KINDS = LAST_RESIDUE - FIRST_RESIDUE + 1
_DIRICHLET = 120.0
_SAMPLED = 10_000
_REACH = 4
_NEIGHBOUR_WEIGHT = 0.75


def residue_frequencies(store: SequenceStore, rows: np.ndarray, seed: int = 0) -> Tensor:
    """Frequencies of the 25 residue letters in at most 10,000 random proteins of `rows`.

    Returns
    -------
    Tensor, dtype=float64, shape=(25,)
        Each at least that of one pseudocount.
    """
    counts = np.ones(_KINDS)
    for ids in _sample(store, rows, seed):
        counts += np.bincount(ids[_is_letter(ids)], minlength=_KINDS)
    return torch.from_numpy(counts / counts.sum())


def neighbour_frequencies(store: SequenceStore, rows: np.ndarray, seed: int = 0) -> Tensor:
    """Frequencies of residue letters at the distances -4 to 4 from a letter, without 0.

    Returns
    -------
    Tensor, dtype=float64, shape=(8, 25, 25)
        By distance (-4, ..., -1, 1, ..., 4), letter, and letter at that distance from it, summing
        to 1 over the last; counted in the proteins of `residue_frequencies`, with one pseudocount.
    """
    counts = np.ones((_REACH, _KINDS, _KINDS))
    for ids in _sample(store, rows, seed):
        for distance in range(1, min(_REACH, len(ids) - 1) + 1):
            left, right = ids[:-distance], ids[distance:]
            both = _is_letter(left) & _is_letter(right)
            codes = left[both] * _KINDS + right[both]
            found = np.bincount(codes, minlength=_KINDS * _KINDS)
            counts[distance - 1] += found.reshape(_KINDS, _KINDS)
    table = torch.from_numpy(np.concatenate([counts[::-1].transpose(0, 2, 1), counts]))
    return table / table.sum(2, keepdim=True)


def _sample(store: SequenceStore, rows: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yield proteins as numbers of residue letters, some outside 0..24."""
    for row in np.random.default_rng(seed).permutation(rows)[:_SAMPLED]:
        yield encode_residues(store[int(row)]).astype(np.int64) - FIRST_RESIDUE


def _is_letter(numbers: np.ndarray) -> np.ndarray:
    return (numbers >= 0) & (numbers < _KINDS)


def unigram_losses(input_ids: Tensor, labels: Tensor, frequencies: Tensor) -> Tensor:
    """Loss of the corpus's residue frequencies at every scored position, float64 (k,)."""
    asked = labels != IGNORE
    prior = frequencies.expand(int(asked.sum()), -1)
    return _losses(prior, input_ids[asked], labels[asked])


def composition_losses(
    input_ids: Tensor, cu_seqlens: Tensor, labels: Tensor, frequencies: Tensor
) -> Tensor:
    """Loss of each protein's own visible residue frequencies, float64 (k,).

    They are smoothed by a Dirichlet prior: the corpus's frequencies, worth 120 residues.
    """
    asked = labels != IGNORE
    own = _own_frequencies(input_ids, cu_seqlens, frequencies)
    return _losses(own[stream_ids(cu_seqlens)[asked]], input_ids[asked], labels[asked])


def neighbour_losses(
    input_ids: Tensor, cu_seqlens: Tensor, labels: Tensor, frequencies: Tensor, neighbours: Tensor
) -> Tensor:
    """Loss of composition and the visible neighbours up to four residues away, float64 (k,).

    Naive Bayes: the protein's own frequencies times those of each visible neighbour given the
    residue, these to the power of 0.75, since neighbours are not independent of one another.

    Parameters
    ----------
    input_ids, cu_seqlens, labels : Tensor
    frequencies : Tensor, shape=(25,)
        From `residue_frequencies`.
    neighbours : Tensor, shape=(8, 25, 25)
        From `neighbour_frequencies`.
    """
    asked = (labels != IGNORE).nonzero()[:, 0]
    owner = stream_ids(cu_seqlens)
    own = _own_frequencies(input_ids, cu_seqlens, frequencies)
    logits = own[owner[asked]].log()
    distances = [d for d in range(-_REACH, _REACH + 1) if d]
    for distance, table in zip(distances, neighbours.log(), strict=True):
        at = (asked + distance).clamp(0, len(input_ids) - 1)
        used = is_residue(input_ids[at]) & (owner[at] == owner[asked]) & (at == asked + distance)
        letters = input_ids[at[used]] - FIRST_RESIDUE
        logits[used] += _NEIGHBOUR_WEIGHT * table[:, letters].T
    return _losses(logits.softmax(1), input_ids[asked], labels[asked])


def _own_frequencies(input_ids: Tensor, cu_seqlens: Tensor, frequencies: Tensor) -> Tensor:
    """Smoothed frequencies of each stream's visible residues, shape (S, 25)."""
    owner = stream_ids(cu_seqlens)
    visible = is_residue(input_ids)
    counts = frequencies.new_zeros(len(cu_seqlens) - 1, _KINDS, dtype=torch.float64)
    where = (owner[visible], input_ids[visible] - FIRST_RESIDUE)
    counts.index_put_(where, counts.new_ones(len(where[0])), accumulate=True)
    smoothed = counts + _DIRICHLET * frequencies
    return smoothed / smoothed.sum(1, keepdim=True)


def _losses(prior: Tensor, shown: Tensor, truth: Tensor) -> Tensor:
    """-log P(truth | what is shown there), given P(residue) = `prior`, shape (k, 25)."""
    truth = (truth - FIRST_RESIDUE)[:, None]
    posterior = prior.clone()
    seen = (shown != MASK).nonzero()[:, 0]
    # A scored residue that is not masked was kept or replaced by one of 20, equally often.
    weight = prior.new_full((len(seen), _KINDS), 1 / len(STANDARD_RESIDUES))
    weight.scatter_add_(1, (shown[seen] - FIRST_RESIDUE)[:, None], weight.new_ones(len(seen), 1))
    posterior[seen] = posterior[seen] * weight
    posterior = posterior / posterior.sum(1, keepdim=True)
    return -posterior.gather(1, truth)[:, 0].log()
