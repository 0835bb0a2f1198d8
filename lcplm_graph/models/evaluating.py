"""Answers are given in evaluation mode, whatever mode a model is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def evaluating(*models: Any) -> Iterator[None]:
    """Put models into evaluation mode inside of the block; after it, each part has its own again.

    Training mode would draw dropout, and learn the statistics of the proteins asked about.

    Parameters
    ----------
    *models : nn.Module
        Other objects, such as masked LMs of one's own, have no mode and are left alone.

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
    training = [part for part in parts if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
