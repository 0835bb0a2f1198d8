"""What a masked-LM loss must beat: predictions that look at residue frequencies only.

With 80/10/10 corruption a tenth of the scored positions shows the right answer and a tenth a
random one, so a predictor that knows only that is already well below the unigram entropy.  The
floors here know it, too, and are computed on the very positions that the model is scored on.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.datasets.sequences import SequenceStore
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


def residue_frequencies(store: SequenceStore, rows: np.ndarray, seed: int = 0) -> Tensor:
    """Frequencies of the 25 residue letters in at most 10,000 random proteins of `rows`.

    Returns
    -------
    Tensor, dtype=float64, shape=(25,)
        Each at least that of one pseudocount.
    """
    chosen = np.random.default_rng(seed).permutation(rows)[:_SAMPLED]
    counts = np.ones(_KINDS)
    for row in chosen:
        ids = encode_residues(store[int(row)]).astype(np.int64)
        kept = ids[(ids >= FIRST_RESIDUE) & (ids <= LAST_RESIDUE)] - FIRST_RESIDUE
        counts += np.bincount(kept, minlength=_KINDS)
    return torch.from_numpy(counts / counts.sum())


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
    owner = stream_ids(cu_seqlens)
    visible = is_residue(input_ids)
    counts = torch.zeros(len(cu_seqlens) - 1, _KINDS, dtype=torch.float64)
    where = (owner[visible], input_ids[visible] - FIRST_RESIDUE)
    counts.index_put_(where, torch.ones(len(where[0]), dtype=torch.float64), accumulate=True)
    smoothed = counts + _DIRICHLET * frequencies
    smoothed = smoothed / smoothed.sum(1, keepdim=True)
    asked = labels != IGNORE
    return _losses(smoothed[owner[asked]], input_ids[asked], labels[asked])


def _losses(prior: Tensor, shown: Tensor, truth: Tensor) -> Tensor:
    """-log P(truth | what is shown there), given P(residue) = `prior`, shape (k, 25)."""
    truth = (truth - FIRST_RESIDUE)[:, None]
    posterior = prior.clone()
    seen = (shown != MASK).nonzero()[:, 0]
    # A scored residue that is not masked was kept or replaced by one of 20, equally often.
    weight = torch.full((len(seen), _KINDS), 1 / len(STANDARD_RESIDUES), dtype=prior.dtype)
    weight.scatter_add_(
        1, (shown[seen] - FIRST_RESIDUE)[:, None], torch.ones(len(seen), 1, dtype=prior.dtype)
    )
    posterior[seen] = posterior[seen] * weight
    posterior = posterior / posterior.sum(1, keepdim=True)
    return -posterior.gather(1, truth)[:, 0].log()
