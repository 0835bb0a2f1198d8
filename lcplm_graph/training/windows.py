"""Stage-1 batches: shuffled by windows, packed by length, each a function of (seed, number).

An epoch puts blocks of consecutive proteins in random order and takes windows of many blocks; in
a window proteins are shuffled and packed into batches.  The disk is read in runs, what lies
together in the file does not stay together, and no plan of the whole corpus is ever held in memory.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit

from lcplm_graph.datasets.sequences import SequenceStore
from lcplm_graph.errors import InputError
from lcplm_graph.io import warn_once
from lcplm_graph.tokens.masking import mask_tokens
from lcplm_graph.tokens.packing import cu_seqlens_of
from lcplm_graph.tokens.vocabulary import CLS, EOS, encode_residues
from lcplm_graph.training.data import Batch, keyed_generator

BLOCK, BLOCKS_PER_WINDOW = 256, 64
MIN_LENGTH = 8
_OPEN_BINS = 32
_ORDER, _WINDOW, _CROP, _MASK = range(4)


@njit(cache=True, nogil=True)
def pack_bins(sizes: Any, budget: int) -> Any:
    """Put items into bins of at most `budget`: best fit among the 32 bins that are open.

    Returns the bin of each item, int64 (n,); bins are numbered as they were opened.
    """
    room = np.zeros(_OPEN_BINS, np.int64)
    number = np.full(_OPEN_BINS, -1, np.int64)
    bins = np.empty(len(sizes), np.int64)
    count = 0
    for i in range(len(sizes)):
        best = -1
        fullest = 0
        for b in range(_OPEN_BINS):
            if number[b] < 0:
                continue
            if room[b] >= sizes[i] and (best < 0 or room[b] < room[best]):
                best = b
        if best < 0:
            for b in range(_OPEN_BINS):
                if number[b] < 0:
                    fullest = b
                    break
                if room[b] < room[fullest]:
                    fullest = b
            best = fullest
            number[best] = count
            room[best] = budget
            count += 1
        room[best] -= sizes[i]
        bins[i] = number[best]
    return bins


class CorpusBatches:
    """Endless masked batches of a corpus; batch k is a function of (seed, k) alone.

    Parameters
    ----------
    store : SequenceStore
    is_training : ndarray, dtype=bool, shape=(n,)
        Rows to use.
    max_tokens : int
        Most tokens of a batch.
    max_length : int, optional
        Longer proteins are cropped to a random window of so many residues; default: what a
        batch can hold.
    seed : int

    Raises
    ------
    InputError
        If a batch holds no protein of 8 residues, or there is nothing to train on.
    """

    def __init__(
        self,
        store: SequenceStore,
        is_training: np.ndarray,
        *,
        max_tokens: int,
        max_length: int | None = None,
        seed: int = 0,
    ) -> None:
        self.store, self.seed, self.max_tokens = store, seed, max_tokens
        self.is_training = is_training
        self.max_length = min(max_length or max_tokens, max_tokens - 2)
        if self.max_length < MIN_LENGTH:
            raise InputError(
                f"max_tokens={max_tokens} and max_length={max_length} leave a protein fewer than "
                f"{MIN_LENGTH} residues; give at least {MIN_LENGTH + 2} tokens"
            )
        if not is_training.any():
            raise InputError("no protein is left to train on")
        self.lengths = store.lengths
        cropped = int((self.lengths[is_training] > self.max_length).sum())
        if cropped:
            warn_once(
                f"{cropped} of {len(store)} proteins are longer than {self.max_length} residues; "
                "each time one comes it is cropped to a random window"
            )
        self._starts: list[np.ndarray] = []
        # A window is asked for once per batch in it; keep the one that is in use.
        self._window = lru_cache(maxsize=2)(self._make_window)
        self._block_order = lru_cache(maxsize=2)(self._make_block_order)

    def batch(self, index: int) -> Batch:
        """Return batch `index`."""
        rows, epoch = self.rows(index)
        parts: list[np.ndarray] = []
        for row in rows.tolist():
            ids = encode_residues(self.store[row])
            spare = len(ids) - self.max_length
            if spare > 0:
                rng = np.random.default_rng([self.seed, _CROP, epoch, row])
                start = int(rng.integers(spare + 1))
                ids = ids[start : start + self.max_length]
            parts += [np.array([CLS]), ids, np.array([EOS])]
        lengths = [len(part) + 2 for part in parts[1::3]]
        input_ids = torch.from_numpy(np.concatenate(parts).astype(np.int64))
        masked = mask_tokens(input_ids, generator=keyed_generator(self.seed, _MASK, index))
        return Batch(masked.input_ids, cu_seqlens_of(lengths), masked.labels, index)

    def rows(self, index: int) -> tuple[np.ndarray, int]:
        """Return which proteins are in batch `index`, and its epoch."""
        epoch, first = 0, 0
        while index - first >= self._starts_of(epoch)[-1]:
            first += int(self._starts_of(epoch)[-1])
            epoch += 1
        starts = self._starts_of(epoch)
        window = int(np.searchsorted(starts, index - first, side="right")) - 1
        rows, bins = self._window(epoch, window)
        return rows[bins == index - first - starts[window]], epoch

    def batches_in(self, epoch: int) -> int:
        """Return how many batches an epoch has."""
        return int(self._starts_of(epoch)[-1])

    def _starts_of(self, epoch: int) -> np.ndarray:
        """Return the number of each window's first batch in an epoch, and the epoch's total."""
        while len(self._starts) <= epoch:
            number = len(self._starts)
            count = -(-len(self._block_order(number)) // BLOCKS_PER_WINDOW)
            sizes = []
            for window in range(count):
                _, bins = self._make_window(number, window)
                sizes.append(int(bins.max()) + 1 if len(bins) else 0)
            self._starts.append(np.concatenate([[0], np.cumsum(sizes)]))
        return self._starts[epoch]

    def _make_block_order(self, epoch: int) -> np.ndarray:
        blocks = -(-len(self.store) // BLOCK)
        return np.random.default_rng([self.seed, _ORDER, epoch]).permutation(blocks)

    def _make_window(self, epoch: int, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a window, shuffled, and the batch within the window of each."""
        at = window * BLOCKS_PER_WINDOW
        blocks = self._block_order(epoch)[at : at + BLOCKS_PER_WINDOW]
        rows = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        rows = rows[rows < len(self.store)]
        rows = rows[self.is_training[rows]]
        rows = np.random.default_rng([self.seed, _WINDOW, epoch, window]).permutation(rows)
        sizes = np.minimum(self.lengths[rows], self.max_length) + 2
        return rows, pack_bins(sizes, self.max_tokens)
