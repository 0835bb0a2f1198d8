"""One thread for what must come out the same on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
