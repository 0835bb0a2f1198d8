"""Heads that an earlier command trained in the same way, kept under the data root."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from lcplm_graph import __version__
from lcplm_graph.errors import CheckpointError

if TYPE_CHECKING:
    from lcplm_graph.heads.fit import FitOptions
    from lcplm_graph.proteins.store import SequenceStore


class _Head(Protocol):
    def save(self, folder: str | os.PathLike[str]) -> Path: ...

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self: ...


_H = TypeVar("_H", bound=_Head)
# Raised when the same training makes another head than before.
_FORMAT = 2


def trained_once(
    kind: type[_H],
    sequences: SequenceStore,
    fit: FitOptions,
    rest: Mapping[str, Any],
    train: Callable[[], _H],
) -> _H:
    """Return the head that was kept, or train and keep one; the answer is always of the kept one.

    Parameters
    ----------
    kind : type
        `LinkModel` or `FunctionModel`.
    sequences : SequenceStore
        Of the proteins to train on.
    fit : FitOptions
    rest : mapping
        Whatever else decides what the head becomes; JSON types only.
    train : callable

    Raises
    ------
    CheckpointError
        If the kept head is damaged.
    """
    from lcplm_graph.files.download import cache_root
    from lcplm_graph.io import locked_folder
    from lcplm_graph.proteins.digests import wide_digests

    options = asdict(fit)
    del options["progress"]
    decides = {"format": _FORMAT, "version": __version__, "fit": options, **rest}
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    key.update(wide_digests(sequences).tobytes())
    root = cache_root() / "heads"
    with locked_folder(root / f"{kind.__name__}-{key.hexdigest()[:32]}") as folder:
        # Its configuration is the last file that `save` writes.
        if any(folder.glob("*.json")):
            print(f"trained before on the same data in the same way: {folder}", flush=True)
        else:
            train().save(folder)
        try:
            return kind.load(folder)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; delete this folder to train again") from error
