"""Stage-1 batches: shuffled by windows, packed by length, each a function of (seed, number).

An epoch puts blocks of consecutive proteins in random order and takes windows of many blocks; in
a window proteins are shuffled and packed into batches.  The disk is read in runs, what lies
together in the file does not stay together, and no plan of the whole corpus is ever held in memory.

With clusters an epoch shows every cluster once, by a random member (as ESM-2 sampled UniRef50), or
by two, side by side, for the homology-contrastive term.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit

from lcplm_graph.errors import InputError
from lcplm_graph.io import warn_once
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.masking import mask_tokens
from lcplm_graph.tokens.packing import cu_seqlens_of
from lcplm_graph.tokens.vocabulary import CLS, EOS, encode_residues
from lcplm_graph.training.data import (
    CROPS,
    MASKS_OF_WINDOWS,
    ORDER_IN_WINDOW,
    ORDER_OF_BLOCKS,
    Batch,
    keyed_generator,
)

BLOCK, BLOCKS_PER_WINDOW = 256, 64
MIN_LENGTH = 8
_OPEN_BINS = 32
_SHORTEST_VIEW = 0.7


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
        Longer proteins are cropped to a random window of this many residues; default: what a
        batch can hold.
    seed : int
    clusters : ndarray, dtype=int64, shape=(n,), optional
        Cluster of each protein.  Default: every protein is its own.
    views : {1, 2}
        Members of a cluster that are shown together.  Two of them (crops of 70 to 100 % of what
        fits, at the same relative position, since homologous residues lie there) are a pair.

    Raises
    ------
    InputError
        If a batch holds no protein of 8 residues, or there is nothing to train on, or to pair.
    """

    def __init__(
        self,
        store: SequenceStore,
        is_training: np.ndarray,
        *,
        max_tokens: int,
        max_length: int | None = None,
        seed: int = 0,
        clusters: np.ndarray | None = None,
        views: int = 1,
    ) -> None:
        self.store, self.seed, self.max_tokens, self.views = store, seed, max_tokens, views
        self.is_training = is_training
        self.max_length = min(max_length or max_tokens, max_tokens // views - 2)
        if self.max_length < MIN_LENGTH:
            given = "" if max_length is None else f" and max_length={max_length}"
            length = "" if max_length is None else f", and a max_length of at least {MIN_LENGTH}"
            raise InputError(
                f"max_tokens={max_tokens}{given} leave a protein fewer than {MIN_LENGTH} residues; "
                f"give at least {views * (MIN_LENGTH + 2)} tokens{length}"
            )
        if not is_training.any():
            raise InputError("no protein is left to train on")
        self.lengths = store.lengths
        cropped = int((self.lengths[is_training] > self.max_length).sum())
        if cropped:
            warn_once(
                f"{cropped} of {int(is_training.sum())} proteins are longer than "
                f"{self.max_length} residues; each time one comes it is cropped to a random window"
            )
        self._members = None if clusters is None else _members_of(clusters, is_training)
        if self._members is not None and views == 2 and np.diff(self._members.offsets).max() < 2:
            raise InputError("no cluster has two proteins to train on, so there is nothing to pair")
        self._starts: list[np.ndarray] = []
        # A window is asked for once per batch in it; keep the one that is in use.
        self._window = lru_cache(maxsize=2)(self._make_window)
        self._block_order = lru_cache(maxsize=2)(self._make_block_order)

    def batch(self, index: int) -> Batch:
        """Return batch `index`."""
        shown, epoch = self.rows(index)
        crops: list[np.ndarray] = []
        pairs: list[tuple[int, int]] = []
        for views in shown.tolist():
            views = [row for row in views if row >= 0]
            if len(views) == 2:
                pairs.append((len(crops), len(crops) + 1))
            crops += self._crop(views, epoch)
        tokens = [np.concatenate([[CLS], ids, [EOS]]) for ids in crops]
        input_ids = torch.from_numpy(np.concatenate(tokens).astype(np.int64))
        masked = mask_tokens(
            input_ids, generator=keyed_generator(self.seed, MASKS_OF_WINDOWS, index)
        )
        return Batch(
            masked.input_ids,
            cu_seqlens_of([len(ids) for ids in tokens]),
            masked.labels,
            index,
            torch.tensor(pairs, dtype=torch.int64, device="cpu").view(-1, 2)
            if self.views == 2
            else None,
        )

    def _crop(self, views: list[int], epoch: int) -> list[np.ndarray]:
        """Residue ids of one protein, or of two members at the same relative position."""
        rng = np.random.default_rng([self.seed, CROPS, epoch, views[0]])
        position = rng.random()
        crops = []
        for row in views:
            ids = encode_residues(self.store[row])
            length = min(len(ids), self.max_length)
            if len(views) == 2:
                length = max(round(length * rng.uniform(_SHORTEST_VIEW, 1)), MIN_LENGTH)
            start = int(position * (max(len(ids) - length, 0) + 1))
            crops.append(ids[start : start + length])
        return crops

    def rows(self, index: int) -> tuple[np.ndarray, int]:
        """Return which proteins are in batch `index`, int64 (k, views), and its epoch.

        -1 stands for the second view of a cluster that has only one member.
        """
        epoch, first = 0, 0
        while index - first >= self._starts_of(epoch)[-1]:
            first += self.batches_in(epoch)
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
        blocks = -(-self._units // BLOCK)
        return np.random.default_rng([self.seed, ORDER_OF_BLOCKS, epoch]).permutation(blocks)

    def _make_window(self, epoch: int, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a window, shuffled, (k, views), and the batch within the window of each."""
        at = window * BLOCKS_PER_WINDOW
        blocks = self._block_order(epoch)[at : at + BLOCKS_PER_WINDOW]
        units = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        units = units[units < self._units]
        rng = np.random.default_rng([self.seed, ORDER_IN_WINDOW, epoch, window])
        if self._members is None:
            rows = rng.permutation(units[self.is_training[units]])[:, None]
        else:
            rows = self._members.draw(rng.permutation(units), self.views, rng)
        sizes = np.where(rows < 0, 0, np.minimum(self.lengths[rows], self.max_length) + 2)
        return rows, pack_bins(sizes.sum(1), self.max_tokens)

    @property
    def _units(self) -> int:
        return len(self.store) if self._members is None else len(self._members.offsets) - 1


class _Members(NamedTuple):
    """Training proteins by cluster: ``rows[offsets[c] : offsets[c + 1]]`` are those of c."""

    rows: np.ndarray
    offsets: np.ndarray

    def draw(self, clusters: np.ndarray, views: int, rng: np.random.Generator) -> np.ndarray:
        """Draw different members of each cluster, int64 (k, views); -1 where there is none."""
        first, size = self.offsets[clusters], np.diff(self.offsets)[clusters]
        one = rng.integers(size)
        drawn = [self.rows[first + one]]
        if views == 2:
            step = 1 + rng.integers(np.maximum(size - 1, 1))
            other = self.rows[first + (one + step) % size]
            drawn.append(np.where(size > 1, other, -1))
        return np.stack(drawn, axis=1)


def _members_of(clusters: np.ndarray, is_training: np.ndarray) -> _Members:
    rows = np.flatnonzero(is_training)
    rows = rows[np.argsort(clusters[rows], kind="stable")]
    _, counts = np.unique(clusters[rows], return_counts=True)
    return _Members(rows, np.concatenate([[0], np.cumsum(counts)]))
