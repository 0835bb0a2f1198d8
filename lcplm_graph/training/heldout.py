"""Stage 1's held-out losses by length bin, as trained and mask-only, beside their floors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.errors import ConfigError
from lcplm_graph.tokens.masking import IGNORE, mask_tokens
from lcplm_graph.tokens.packing import tokenize
from lcplm_graph.training.corpus import Corpus, length_bin, length_edges
from lcplm_graph.training.data import Batch, keyed_generator
from lcplm_graph.training.floors import (
    composition_losses,
    neighbour_frequencies,
    neighbour_losses,
    residue_frequencies,
    unigram_losses,
)
from lcplm_graph.training.metrics import Logits
from lcplm_graph.training.module import score

AS_TRAINED, MASK_ONLY = "valid_loss", "valid_mask_only_loss"
HELD_OUT = "held_out.json"
ACCURACY = "valid_mask_only_accuracy"


class Bin(NamedTuple):
    """Held-out proteins of one length bin.

    Attributes
    ----------
    edge : int
        Upper end of the bin.
    proteins : int
    batches : dict
        By way of masking, ``valid_loss`` (80/10/10) or ``valid_mask_only_loss``.
    floors : dict
        By way of masking, mean losses ``unigram``, ``composition`` and ``neighbours``.
    """

    edge: int
    proteins: int
    batches: dict[str, list[Batch]]
    floors: dict[str, dict[str, float]]


class HeldOutByLength:
    """Evaluate a masked LM on held-out proteins, by length bin.

    Proteins are whole, however long: this is where a model shows what it does beyond the lengths
    it was trained on.  The figures over all bins weigh bins by residues, and each bin has about
    as many, so they are not those of the corpus's own mixture of lengths.

    Parameters
    ----------
    corpus : Corpus
    max_tokens : int
        Tokens of a batch; a longer protein is a batch of its own.

    Raises
    ------
    ConfigError
        If no residue of the held-out proteins is masked, because there are so few.
    """

    def __init__(self, corpus: Corpus, max_tokens: int) -> None:
        training = np.flatnonzero(corpus.is_training)
        self.counts = (
            residue_frequencies(corpus.store, training),
            neighbour_frequencies(corpus.store, training),
        )
        lengths = corpus.store.lengths[corpus.held_out]
        edges, numbers = length_edges(int(lengths.max())), length_bin(lengths)
        bins = [
            _make_bin(corpus, corpus.held_out[numbers == n], edges[n], max_tokens, self.counts)
            for n in np.unique(numbers)
        ]
        # A loss of no position is not a number.
        self.bins = [b for b in bins if _scored_in(b)]
        if not self.bins:
            raise ConfigError(
                f"the {len(lengths)} held-out proteins have {int(lengths.sum())} residues, none of "
                "which is masked; hold more out (--eval-tokens), or choose another --split-seed"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the figures: over all bins, then by bin."""
        by_bin = [f"{way}_{b.edge}" for way in (AS_TRAINED, MASK_ONLY) for b in self.bins]
        return (AS_TRAINED, MASK_ONLY, ACCURACY, *by_bin)

    def __call__(self, logits: Logits, device: torch.device) -> dict[str, float]:
        """Return all figures, losses in nats per masked residue."""
        result: dict[str, float] = {}
        for way in (AS_TRAINED, MASK_ONLY):
            totals = []
            for b in self.bins:
                total = torch.stack([_scored(logits, x, device) for x in b.batches[way]]).sum(0)
                result[f"{way}_{b.edge}"] = float(total[0] / total[2])
                totals.append(total)
            over_all = torch.stack(totals).sum(0)
            result[way] = float(over_all[0] / over_all[2])
            if way == MASK_ONLY:
                result[ACCURACY] = float(over_all[1] / over_all[2])
        return result

    def floors(self, way: str) -> dict[str, float]:
        """Mean losses of the floors over all bins, at the positions that a model is scored on."""
        weights = [_scored_in(b) for b in self.bins]
        return {
            name: float(np.average([b.floors[way][name] for b in self.bins], weights=weights))
            for name in self.bins[0].floors[way]
        }

    def report(self) -> dict[str, Any]:
        """Floors and sizes of the bins, for held_out.json."""
        return {
            "unit": "nats per masked residue",
            "edges": [b.edge for b in self.bins],
            "proteins": [b.proteins for b in self.bins],
            "floors": {
                way: {name: [b.floors[way][name] for b in self.bins] for name in names}
                for way, names in self.bins[0].floors.items()
            },
        }


def _scored_in(one: Bin) -> int:
    """Count the scored positions of a bin, the same ones in both ways of masking."""
    return sum(int((x.labels != IGNORE).sum()) for x in one.batches[MASK_ONLY])


def _scored(logits: Logits, batch: Batch, device: torch.device) -> Tensor:
    ids, cu_seqlens = batch.input_ids.to(device), batch.cu_seqlens.to(device)
    return score(logits(ids, cu_seqlens), batch.labels.to(device)).double().cpu()


def _make_bin(
    corpus: Corpus, rows: np.ndarray, edge: int, max_tokens: int, counts: tuple[Tensor, Tensor]
) -> Bin:
    batches: dict[str, list[Batch]] = {AS_TRAINED: [], MASK_ONLY: []}
    for index, group in enumerate(_groups(corpus.store.lengths[rows], max_tokens)):
        packed = tokenize([corpus.store[int(row)] for row in rows[group]])
        for way, kept in batches.items():
            masked = mask_tokens(
                packed.input_ids,
                mask_only=way == MASK_ONLY,
                generator=keyed_generator(0, edge, index),
            )
            kept.append(Batch(masked.input_ids, packed.cu_seqlens, masked.labels, index))
    floors = {way: _floors(kept, counts) for way, kept in batches.items()}
    return Bin(edge, len(rows), batches, floors)


def _groups(lengths: np.ndarray, max_tokens: int) -> Iterator[slice]:
    """Cut a list of proteins where a batch is full."""
    first, used = 0, 0
    for i, length in enumerate(lengths):
        if i > first and used + length + 2 > max_tokens:
            yield slice(first, i)
            first, used = i, 0
        used += int(length) + 2
    yield slice(first, len(lengths))


def _floors(batches: list[Batch], counts: tuple[Tensor, Tensor]) -> dict[str, float]:
    losses = [floor_losses(batch, counts) for batch in batches]
    return {name: float(torch.cat([x[name] for x in losses]).mean()) for name in losses[0]}


def floor_losses(batch: Batch, counts: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Losses of the three floors at the scored positions of a batch, float64 (k,) each.

    Parameters
    ----------
    batch : Batch
    counts : (Tensor, Tensor)
        From `residue_frequencies` and `neighbour_frequencies`, as in `HeldOutByLength.counts`.
    """
    ids, cu_seqlens, labels = batch.input_ids, batch.cu_seqlens, batch.labels
    frequencies, neighbours = counts
    return {
        "unigram": unigram_losses(ids, labels, frequencies),
        "composition": composition_losses(ids, cu_seqlens, labels, frequencies),
        "neighbours": neighbour_losses(ids, cu_seqlens, labels, frequencies, neighbours),
    }
