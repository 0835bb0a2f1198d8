"""What a call leaves as the caller has it, or does not take over: generators, torch's modes."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_one_loads = threading.Lock()


@contextmanager
def callers_random() -> Iterator[None]:
    """Leave Python's generator as it was, for libraries that are imported inside of a call.

    Scikit-learn brings `rich` along, which draws from it when it is imported.

    Examples
    --------
    >>> random.seed(1)
    >>> with callers_random():
    ...     inside = random.random()
    >>> inside == random.random()
    True
    """
    # One at a time: who came while another one imports would keep what that import has drawn.
    with _one_loads:
        state = random.getstate()
        try:
            yield
        finally:
            random.setstate(state)


@contextmanager
def callers_generators() -> Iterator[None]:
    """Leave Python's, NumPy's and torch's generator (of the CPU) as they were, for whole runs."""
    plain, array = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(array)  # noqa: NPY002


@contextmanager
def for_training() -> Iterator[None]:
    """Let torch keep gradients inside the block, whatever the caller's mode is.

    Tensors from `torch.inference_mode` must be cloned inside before they take part.

    Examples
    --------
    >>> with torch.inference_mode(), for_training():
    ...     print(torch.nn.Linear(2, 1)(torch.ones(2)).requires_grad)
    True
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield
