"""Base of the datasets made of files of the user or of a card: built once, cached, never half."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch_geometric.data import Data

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.errors import DataError
from lcplm_graph.files.download import data_root

# Raised when `build` of a class changes what it makes of the same files.
_FORMAT = 1


class Hooks(TypedDict, total=False):
    """What PyG does with the graph; see `PPIDataset`."""

    transform: Callable[[Data], Data] | None
    pre_transform: Callable[[Data], Data] | None
    pre_filter: Callable[[Data], bool] | None
    force_reload: bool


class CacheOptions(Hooks, total=False):
    """The same, and the directory to keep processed data in; see `FileDataset`."""

    root: str | os.PathLike[str] | None


class FileDataset(PPIDataset):
    """One `Data` and its sequences, cached under a name made of the input files and options.

    Parameters
    ----------
    inputs : dict of str to list of path-like
        Files by role. Path, size and time of change of each are part of the cache's name.
    options : dict
        What else decides the content; JSON types only.
    root : path-like, optional
        Where to keep the cache; by default the data root (``LCPLM_DATA``).
    transform, pre_transform, pre_filter, force_reload
        As in PyG.

    Raises
    ------
    DataError
        If a file is missing.
    """

    def __init__(
        self,
        inputs: dict[str, list[str | os.PathLike[str]]],
        options: dict[str, Any],
        *,
        root: str | os.PathLike[str] | None = None,
        **hooks: Unpack[Hooks],
    ) -> None:
        self.inputs = {role: [Path(path) for path in paths] for role, paths in inputs.items()}
        described: list[Any] = [options, _FORMAT]
        described += [repr(hooks.get(name)) for name in ("pre_transform", "pre_filter")]
        for role, paths in self.inputs.items():
            described += [[role, *_identity(path)] for path in paths]
        text = json.dumps(described, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        super().__init__(data_root(root), f"{type(self).__name__}-{key}", **hooks)

    @property
    def raw_paths(self) -> list[str]:
        """The input files, where they are."""
        return [str(path) for paths in self.inputs.values() for path in paths]

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the input files."""
        return [os.path.basename(path) for path in self.raw_paths]


def as_list(paths: Any) -> list[str | os.PathLike[str]]:
    """Make a list of one path, several, or none."""
    if paths is None:
        return []
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


def _identity(path: Path) -> list[Any]:
    if not path.exists():
        raise DataError("no such file; check the path", path=path)
    state = path.stat()
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]
