"""Batches as a pure function of (seed, number), and their way into Lightning.

Nothing here has hidden state: batch k is the same in any process, at any time, so a resumed run,
or one on more devices, goes on with exactly the batches that are due.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

(
    ORDER_OF_BLOCKS, ORDER_IN_WINDOW, CROPS, MASKS_OF_WINDOWS, MASKS_OF_WALKS,
    PAIRS, MASKS_OF_PAIRS, DROPOUT_MASKS, PAIRS_OF_A_FIT, FROZEN_PAIRS,
) = range(10)  # fmt: skip
"""What a run draws random numbers for; each follows the seed in its keys, so none share numbers."""


class Hops(NamedTuple):
    """Masked relation markers of walks, and the proteins they stand between.

    Attributes
    ----------
    at : Tensor, dtype=int64, shape=(k,)
        Position of each marker.
    left, right : Tensor, dtype=int64, shape=(k, 2)
        Residues of the protein before and after it: first position, and the one after the last.
    labels : Tensor, dtype=float32, shape=(k,)
        1 for `[EDGE]`.
    """

    at: Tensor
    left: Tensor
    right: Tensor
    labels: Tensor


class Relations(NamedTuple):
    """Pairs of proteins to be told apart, one of each pair in the batch.

    Attributes
    ----------
    streams : Tensor, dtype=int64, shape=(n,)
        Streams of the batch that hold one whole, unmasked protein each.
    nodes : Tensor, dtype=int64, shape=(n,)
        Which proteins these are.
    left : Tensor, dtype=int64, shape=(p,)
        Place in `streams` of one protein of each pair.
    partners : Tensor, dtype=int64, shape=(p,)
        The other one, anywhere in the graph.
    labels : Tensor, dtype=float32, shape=(p,)
        1 for a training edge.
    hops : Hops
        Of the walks in the same batch.
    """

    streams: Tensor
    nodes: Tensor
    left: Tensor
    partners: Tensor
    labels: Tensor
    hops: Hops


class Batch(NamedTuple):
    """Packed streams, corrupted, and what to predict.

    Attributes
    ----------
    input_ids : Tensor, dtype=int64, shape=(T,)
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    labels : Tensor, dtype=int64, shape=(T,)
    number : int
        Of the batch in its source.
    pairs : Tensor, dtype=int64, shape=(P, 2), optional
        Streams that are two members of one family.
    relations : Relations, optional
        Pairs for the relation decoder.
    """

    input_ids: Tensor
    cu_seqlens: Tensor
    labels: Tensor
    number: int
    pairs: Tensor | None = None
    relations: Relations | None = None


class BatchSource(Protocol):
    """An endless list of batches."""

    def batch(self, index: int) -> Any:
        """Return batch `index`, always the same; of pretraining a `Batch`."""
        ...


def keyed_generator(seed: int, *key: int) -> torch.Generator:
    """Return a generator of masks that depends on `seed` and `key` alone.

    Examples
    --------
    >>> first, again = (torch.rand(1, generator=keyed_generator(1, 7)) for _ in range(2))
    >>> bool(first == again)
    True
    """
    state = np.random.SeedSequence([seed, *key]).generate_state(1, np.uint64)
    return torch.Generator("cpu").manual_seed(int(state[0]))


def is_first_process() -> bool:
    """Whether this process has rank 0; known before there is a trainer."""
    return not getattr(rank_zero_only, "rank", 0)


class BatchStream(IterableDataset):
    """Batches `first`, ``first + stride``, ... of a source, without end.

    The workers of a loader, which takes from one after the other, make every n-th of them.
    """

    def __init__(self, source: BatchSource, first: int, stride: int) -> None:
        self.source, self.first, self.stride = source, first, stride

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        index = self.first + number * self.stride
        while True:
            yield self.source.batch(index)
            index += workers * self.stride


def _leave_signals_to_the_trainer(_: int) -> None:
    """Ignore what ends a whole process group: the trainer saves first, then ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class TrainData(LightningDataModule):
    """Deal the batches of a source out to ranks and steps.

    An optimiser step uses the next n batches, where n is the number of ranks times `accumulate`,
    so that one process with ``accumulate=2`` and two processes with 1 see the same.

    Parameters
    ----------
    source : BatchSource
    accumulate : int
        Batches per optimiser step and rank.
    workers : int
        Processes that make batches ahead; 0 makes them in this one.  They change no batch.
    """

    def __init__(self, source: BatchSource, accumulate: int, workers: int = 0) -> None:
        super().__init__()
        self.source, self.accumulate, self.workers = source, accumulate, workers
        # Where this session began: (optimiser step, batches used before).
        self._start = (0, 0)
        self._used: int | None = None

    def train_dataloader(self) -> DataLoader:
        """Start where the trainer stands: at 0, or at the batch after those that were used."""
        assert self.trainer is not None  # Lightning sets it before it asks for loaders
        step, per_step = self.trainer.global_step, self._per_step()
        self._start = (step, step * per_step if self._used is None else self._used)
        stream = BatchStream(
            self.source, self._start[1] + self.trainer.global_rank, self.trainer.world_size
        )
        # Forked, so that a source need not be pickled and its files stay mapped.
        start = "fork" if self.workers else None
        return DataLoader(
            stream,
            batch_size=None,
            num_workers=self.workers,
            multiprocessing_context=start,
            worker_init_fn=_leave_signals_to_the_trainer,
            pin_memory=torch.cuda.is_available(),
        )

    def state_dict(self) -> dict[str, int]:
        """Count the batches used, for a resumption with another number of ranks."""
        return {"batches": self.due().start}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on after the batches that were used."""
        self._used = state_dict["batches"]

    def due(self) -> range:
        """Return the batches of the step that comes next, or is being taken."""
        assert self.trainer is not None
        step, used = self._start
        first = used + (self.trainer.global_step - step) * self._per_step()
        return range(first, first + self._per_step())

    def _per_step(self) -> int:
        assert self.trainer is not None
        return self.accumulate * self.trainer.world_size
