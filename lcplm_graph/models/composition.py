"""Amino-acid composition as an encoder: the baseline that every learned one must beat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.models.encoder import Encoder, as_it_is
from lcplm_graph.models.pooling import POOLS
from lcplm_graph.strings import string_list
from lcplm_graph.tokens.packing import PackedTokens
from lcplm_graph.tokens.vocabulary import FIRST_RESIDUE, STANDARD_RESIDUES, encode_residues


class CompositionEncoder(Encoder):
    """Frequencies of the 20 amino acids, optionally with those of the 400 dipeptides.

    The baseline that every learned encoder must beat.  Letters other than the 20 count in the
    length only.  Residue states are one-hot, so ``pool="mean"`` gives the composition.

    Parameters
    ----------
    dipeptides : bool
        Append the frequencies of the 400 ordered pairs of neighbours.
    """

    pools = tuple(pool for pool in POOLS if pool != "cls")  # a token that is no residue

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
        one_hot = torch.zeros(len(index), self.dim, dtype=torch.float32, device=index.device)
        one_hot[known, index[known]] = 1.0
        if self.dipeptides:
            # <cls> and <eos> lie between proteins, so a pair never joins two of them.
            ends = (known[1:] & known[:-1]).nonzero()[:, 0] + 1
            pairs = index[ends - 1] * len(STANDARD_RESIDUES) + index[ends]
            one_hot[ends, len(STANDARD_RESIDUES) + pairs] = 1.0
        return one_hot

    def embed_batch(self, sequences: Iterable[str], pool: str | None = None) -> Tensor:
        """Embed one batch; the default pooling counts instead of building one-hot rows."""
        if pool not in (None, "mean"):
            return super().embed_batch(sequences, pool)
        return as_it_is(self._counted)(sequences)

    def _counted(self, sequences: Iterable[str]) -> Tensor:
        texts = string_list(sequences)
        size = len(STANDARD_RESIDUES)
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, sequence in zip(out, texts, strict=True):
            ids = encode_residues(sequence).astype(np.int64) - FIRST_RESIDUE
            known = (ids >= 0) & (ids < size)
            row[:size] = np.bincount(ids[known], minlength=size)[:size]
            if self.dipeptides:
                both = known[1:] & known[:-1]
                pairs = ids[:-1][both] * size + ids[1:][both]
                row[size:] = np.bincount(pairs, minlength=size * size)
            row /= len(ids)
        return torch.from_numpy(out)
