"""Fit a relation decoder on frozen states: before stage 2, and as the control of what it gained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import AdamW
from tqdm import tqdm

from lcplm_graph.callers import for_training
from lcplm_graph.models.relation import Dropout, RelationDecoder
from lcplm_graph.process import initialised, on_cpu, one_thread, without_autocast
from lcplm_graph.seeds import derived_seed
from lcplm_graph.splits.split import Labelled, Split
from lcplm_graph.training.data import DROPOUT_MASKS, PAIRS_OF_A_FIT, keyed_generator
from lcplm_graph.training.optim import learning_rate_factor

CHANNELS, MEMBERS = 128, 4
"""Width of the decoder, and how many networks it is the mean of."""
DROPOUT = 0.2
_HALF = 1024
# Seeds of negatives for each seed of a fit.
_BLOCKS = 1000
NEGATIVES_FOR = 100
"""Steps with the same negatives to draw from."""


def new_decoder(width: int, seed: int) -> RelationDecoder:
    """Return an untrained decoder of the shape that stage 2 trains, the same for the same seed."""
    with initialised(seed):
        return RelationDecoder(width, CHANNELS, MEMBERS)


@for_training()
def fit_decoder(
    decoder: RelationDecoder, bank: Tensor, split: Split, *, steps: int, seed: int
) -> RelationDecoder:
    """Train the decoder alone on frozen states of single proteins.

    Parameters
    ----------
    decoder : RelationDecoder
    bank : Tensor, shape=(num_nodes, width)
    split : Split
        Its training edges, and negatives that are drawn anew every hundred steps.
    steps : int
        Of 2048 pairs, half of them negatives; none: only the statistics are set.
    seed : int

    Returns
    -------
    RelationDecoder
        The same, in place.
    """
    decoder.observe(bank[np.unique(split.positives("train"))])
    return _fit(decoder, bank, _of_split(split, steps, seed), steps, seed)


@for_training()
def fit_decoder_on(
    decoder: RelationDecoder, states: Tensor, labels: np.ndarray, *, steps: int, seed: int
) -> RelationDecoder:
    """Train the decoder alone on states that belong to pairs, such as two proteins of a stream.

    Parameters
    ----------
    decoder : RelationDecoder
    states : Tensor, shape=(n, 2, width)
        Of the two proteins of every pair.
    labels : ndarray, dtype=bool, shape=(n,)
    steps, seed
        As in `fit_decoder`.
    """
    bank = states.flatten(0, 1)
    pairs = np.arange(len(bank)).reshape(-1, 2)
    known = [Labelled(pairs, np.asarray(labels, bool))] * steps
    decoder.observe(bank)
    return _fit(decoder, bank, iter(known), steps, seed)


def known_pairs(split: Split, seed: int, block: int) -> Labelled:
    """Training edges, and as many negatives, which differ from block to block."""
    positives = split.positives("train")
    negatives = split.negatives("train", seed=derived_seed(seed, _BLOCKS, block))
    pairs = np.concatenate([positives, negatives])
    return Labelled(pairs, np.arange(len(pairs)) < len(positives))


def draw_pairs(known: Labelled, rng: np.random.Generator) -> Labelled:
    """Draw 1024 pairs that interact, and then as many that do not, with repeats."""
    rows = [np.flatnonzero(known.labels == kind) for kind in (True, False)]
    chosen = np.concatenate([own[rng.integers(len(own), size=_HALF)] for own in rows])
    return Labelled(known.pairs[chosen], known.labels[chosen])


def _of_split(split: Split, steps: int, seed: int) -> Iterator[Labelled]:
    for step in range(steps):
        if step % NEGATIVES_FOR == 0:
            known = known_pairs(split, seed, step // NEGATIVES_FOR)
        yield known


def _fit(
    decoder: RelationDecoder, bank: Tensor, known: Iterator[Labelled], steps: int, seed: int
) -> RelationDecoder:
    rng = np.random.default_rng([seed, PAIRS_OF_A_FIT])
    optimizer = AdamW(decoder.parameters(), lr=3e-3, weight_decay=1e-2)
    factor = partial(learning_rate_factor, steps=steps, warmup=steps, schedule="cosine")
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    with one_thread(), on_cpu(), without_autocast():
        bar = tqdm(known, total=steps, unit="step", desc="decoder on frozen states", leave=False)
        for step, of_step in enumerate(bar):
            chosen, positive = draw_pairs(of_step, rng)
            labels = torch.from_numpy(positive).float()
            dropout = Dropout(DROPOUT, keyed_generator(seed, DROPOUT_MASKS, step, 1))
            a, b = (decoder.embed(bank[chosen[:, side]], dropout) for side in (0, 1))
            each = decoder.each(a, b, dropout)
            loss = F.binary_cross_entropy_with_logits(each, labels.expand_as(each))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    decoder.zero_grad()
    return decoder
