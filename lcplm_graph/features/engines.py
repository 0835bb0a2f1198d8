"""Who computes the batches of an `EmbedJob`: this process, or the workers of a Ray cluster.

An engine takes batches of sequences and gives their values in the same order.  The job alone
writes, so what is on disk, and how a killed job goes on, does not depend on the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from lcplm_graph.models.encoders import Encoder
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.process import reused_memory
from lcplm_graph.tokens.vocabulary import CLS, EOS


class Recipe(NamedTuple):
    """From a batch of sequences to the rows that are written.

    Attributes
    ----------
    pool : str or None
        As in `Encoder.embed`; None for one row per residue.
    dtype : str
        ``float32`` or ``float16``.

    Examples
    --------
    >>> from lcplm_graph.models.encoders import load_encoder
    >>> Recipe("mean", "float32").values(load_encoder("composition"), ["MKT", "MV"]).shape
    (2, 20)
    """

    pool: str | None
    dtype: str

    def values(self, encoder: Encoder, sequences: list[str]) -> np.ndarray:
        """Embed one batch as it is; rows of proteins, or of residues, in the order given."""
        with torch.inference_mode(), evaluating(encoder):
            if self.pool is None:
                packed = encoder.tokenize(sequences).to(encoder.device)
                inside = (packed.input_ids != CLS) & (packed.input_ids != EOS)
                values = encoder.encode(packed)[inside]
            else:
                values = encoder.embed_batch(sequences, self.pool)
        with np.errstate(over="ignore"):
            return values.float().cpu().numpy().astype(self.dtype)


Engine: TypeAlias = Callable[[Encoder, Recipe, Iterable[list[str]]], Iterator[np.ndarray]]


def local_engine(
    encoder: Encoder, recipe: Recipe, batches: Iterable[list[str]]
) -> Iterator[np.ndarray]:
    """Compute in this process, one batch after the other."""
    with reused_memory():
        for batch in batches:
            yield recipe.values(encoder, batch)
