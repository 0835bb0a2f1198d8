"""Answers are given in evaluation mode, whatever mode a model is in."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from lcplm_graph.process import without_autocast

_lock = threading.Lock()
_asked: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""In how many blocks a part is that was in training mode."""


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread, which is gone here, may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def evaluating(*models: Any, autocast: bool = False) -> Iterator[None]:
    """Put models into evaluation mode inside of the block; after it, each part has its own again.

    Training mode would draw dropout, and learn the statistics of the proteins asked about.

    Parameters
    ----------
    *models : nn.Module
        Other objects, such as masked LMs of one's own, have no mode and are left alone.
    autocast : bool
        Keep the caller's autocast; else answers have the precision of the model.

    Examples
    --------
    >>> model = nn.Dropout(0.5)
    >>> with evaluating(model):
    ...     print(model.training)
    False
    >>> model.training
    True
    """
    parts = [part for model in models if isinstance(model, nn.Module) for part in model.modules()]
    with _lock:
        # Another thread may have put them there, and must not put them back before the end here.
        training = [part for part in parts if part.training or part in _asked]
        for part in training:
            _asked[part] = _asked.get(part, 0) + 1
            part.training = False
    try:
        with nullcontext() if autocast else without_autocast():
            yield
    finally:
        with _lock:
            for part in training:
                _asked[part] -= 1
                if not _asked[part]:
                    del _asked[part]
                    part.training = True
