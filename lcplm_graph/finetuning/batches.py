"""Training steps as a pure function of (seed, number), in pieces that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.finetuning.examples import Proteins
from lcplm_graph.finetuning.labels import flat, of_rows
from lcplm_graph.finetuning.target import Target
from lcplm_graph.pairs import IntArray
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.packing import PackedTokens, tokenize


class Piece(NamedTuple):
    """Rows of a step that go through the encoder together.

    Attributes
    ----------
    tokens : PackedTokens, optional
        Each protein once.
    features : Tensor, shape=(n, width), optional
        In place of the tokens, of an encoder that does not change.
    pairs : Tensor, dtype=int64, shape=(p, 2), optional
        Which of the proteins each row names.
    labels : Tensor
        As the loss takes them.
    """

    tokens: PackedTokens | None
    features: Tensor | None
    pairs: Tensor | None
    labels: Tensor


class Step(NamedTuple):
    """One optimiser step.

    Attributes
    ----------
    pieces : list of Piece
    labelled : float
        Rows, or residues, with a label.
    number : int
    """

    pieces: list[Piece]
    labelled: float
    number: int


class StepSource:
    """Steps over training rows: every epoch in an order of its own.

    Parameters
    ----------
    proteins : Proteins
    labels : see `lcplm_graph.finetuning.labels.Labels`
    target : Target
    rows : ndarray, dtype=int64
        The training rows.
    batch_size : int
        Rows of a step.
    max_tokens : int
        Of a piece; a longer protein is a piece of its own.
    seed : int
    features : Tensor, shape=(proteins, width), optional
        Of all proteins, if the encoder stays as it is.
    """

    def __init__(
        self,
        proteins: Proteins,
        labels: Any,
        target: Target,
        rows: IntArray,
        *,
        batch_size: int,
        max_tokens: int,
        seed: int,
        features: Tensor | None = None,
    ) -> None:
        self.proteins, self.labels, self.target, self.rows = proteins, labels, target, rows
        self.batch_size, self.max_tokens, self.seed = batch_size, max_tokens, seed
        self.features = features
        self._lengths = np.array([len(s) + 2 for s in proteins.sequences])
        self._order: tuple[int, IntArray] = (-1, rows)

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.rows) // self.batch_size)

    def batch(self, index: int) -> Step:
        """Return step `index`, always the same."""
        epoch, place = divmod(index, self.per_epoch)
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._order = (epoch, rng.permutation(self.rows))
        rows = self._order[1][place * self.batch_size : (place + 1) * self.batch_size]
        pieces = [self._piece(piece) for piece in self._cut(rows)]
        return Step(pieces, float(sum(count_labels(p.labels) for p in pieces)), index)

    def _cut(self, rows: IntArray) -> Iterator[IntArray]:
        """Divide rows so that the proteins of a piece fit in the budget."""
        if self.features is not None:
            yield rows
            return
        start, held, used = 0, set[int](), 0
        for place, row in enumerate(rows.tolist()):
            new = set(self.proteins.rows[row].tolist()) - held
            more = int(self._lengths[list(new)].sum())
            if place > start and used + more > self.max_tokens:
                yield rows[start:place]
                start, held, used = place, set(), 0
                new = set(self.proteins.rows[row].tolist())
                more = int(self._lengths[list(new)].sum())
            held |= new
            used += more
        yield rows[start:]

    def _piece(self, rows: IntArray) -> Piece:
        named = self.proteins.rows[rows]
        # Of equal sequences each keeps a place of its own, as each has its own label.
        proteins, pairs = named[:, 0], None
        if self.proteins.paired:
            proteins, place = np.unique(named, return_inverse=True)
            pairs = torch.from_numpy(place.reshape(named.shape))
        labels = flat(of_rows(self.labels, rows))
        tokens = None
        if self.features is None:
            tokens = tokenize(self._sequences(proteins.tolist()))
        features = None if self.features is None else self.features[torch.from_numpy(proteins)]
        return Piece(tokens, features, pairs, self.target.standardised(labels))

    def _sequences(self, proteins: Sequence[int]) -> list[str]:
        return [self.proteins.sequences[i] for i in proteins]


def count_labels(labels: Tensor) -> int:
    """Count rows, or residues, with a label, among labels as the loss takes them."""
    if labels.dtype == torch.int64:
        return int((labels != IGNORE).sum())
    return len(labels)
