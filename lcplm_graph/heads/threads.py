"""One thread for what must come out the same on any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread on the CPU inside the block.

    Sums that are shared out over threads (batch normalisation, the gradient of gathered rows) are
    rounded differently for each number of threads.  Training makes such a difference, 1e-7 at
    first, large enough to stop at another step.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return ``function(item)`` for each item, at the same time in as many threads as torch has.

    Inside, torch computes in one thread for each item, so the results do not depend on how many
    run at once.  The function must not draw from torch's global generator.  Ctrl-C takes effect
    when those that run have ended.

    Examples
    --------
    >>> in_threads(lambda k: k * k, [1, 2, 3])
    [1, 4, 9]
    """
    workers = max(1, min(len(items), torch.get_num_threads()))
    # Set once for all threads too: each one's own `one_thread` then restores no other number.
    with one_thread(), ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))
