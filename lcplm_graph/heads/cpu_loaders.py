"""PyG's loaders with numbers that are drawn on the CPU, and that worker processes can be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch_geometric.loader import LinkLoader, NodeLoader

from lcplm_graph.process import on_cpu


class CpuGenerator(torch.Generator):
    """A generator that is copied by the bytes of its state.

    Torch sends the state to a started process as shared memory, which is gone when that process
    wants it, so workers that are not forked ended.

    Examples
    --------
    >>> import pickle
    >>> one = CpuGenerator("cpu").manual_seed(1)
    >>> other = pickle.loads(pickle.dumps(one))
    >>> bool(torch.rand(1, generator=one) == torch.rand(1, generator=other))
    True
    """

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _in_state, (self.get_state().numpy().tobytes(),)


def _in_state(state: bytes) -> CpuGenerator:
    made = CpuGenerator("cpu")
    made.set_state(torch.from_numpy(np.frombuffer(state, np.uint8).copy()))
    return made


class _CpuIterator:
    """Take every batch of an iterator with the CPU as torch's default device."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> _CpuIterator:
        return self

    def __next__(self) -> Any:
        with on_cpu():
            return next(self.batches)


class _OnCpu:
    """A loader whose numbers are drawn on the CPU, as its generator is.

    Torch and PyG make them on torch's default device, which may be another one.
    """

    def __iter__(self) -> Any:
        with on_cpu():
            return _CpuIterator(super().__iter__())  # type: ignore[misc]

    def __call__(self, index: Any) -> Any:
        with on_cpu():
            return super().__call__(index)  # type: ignore[misc]


class CpuNodeLoader(_OnCpu, NodeLoader):
    """PyG's `NodeLoader` for any default device of torch."""


class CpuLinkLoader(_OnCpu, LinkLoader):
    """PyG's `LinkLoader` for any default device of torch."""
