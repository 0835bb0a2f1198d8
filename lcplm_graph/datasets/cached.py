"""Base of the labelled datasets: build once from files, keep the result, never half."""

from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock
from torch_geometric.data import Data, InMemoryDataset

from lcplm_graph.datasets.download import data_root
from lcplm_graph.datasets.sequences import SequenceStore
from lcplm_graph.errors import DataError
from lcplm_graph.io import atomic_path

# Raised when `_build` of a class changes what it makes of the same files.
_FORMAT = 1


class CachedDataset(InMemoryDataset):
    """A PyG dataset of one `Data`, cached under a name made of its files and options.

    Parameters
    ----------
    inputs : dict of str to list of path-like
        Files by role. Path, size and time of change of each are part of the cache's name.
    options : dict
        What else decides the content; JSON types only.
    root : path-like, optional
        Where to keep the cache; by default the data root (``LCPLM_DATA``).
    transform, pre_transform, pre_filter : callable, optional
        As in PyG.
    force_reload : bool
        Build again although the cache is there.
    """

    def __init__(
        self,
        inputs: dict[str, list[str | os.PathLike[str]]],
        options: dict[str, Any],
        *,
        root: str | os.PathLike[str] | None = None,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.inputs = {role: [Path(path) for path in paths] for role, paths in inputs.items()}
        for path in self._files():
            if not path.exists():
                raise DataError("no such file; check the path", path=path)
        described = [options, repr(pre_transform), repr(pre_filter), _FORMAT]
        described += [
            [str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in self._files()
        ]
        text = json.dumps(described, sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()[:16]
        super().__init__(
            str(data_root(root)), transform, pre_transform, pre_filter, False, force_reload
        )
        self.load(self.processed_paths[-1])

    def _files(self) -> list[Path]:
        return [path for paths in self.inputs.values() for path in paths]

    @property
    def processed_dir(self) -> str:
        """Directory of the cache."""
        return os.path.join(self.root, "processed", f"{type(self).__name__}-{self._key}")

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the input files."""
        return [path.name for path in self._files()]

    @property
    def raw_paths(self) -> list[str]:
        """The input files, where they are."""
        return [str(path) for path in self._files()]

    @property
    def processed_file_names(self) -> list[str]:
        """Files of the cache; the last is written last."""
        return ["sequences.arrow", "report.json", "data.pt"]

    @cached_property
    def sequences(self) -> SequenceStore:
        """Sequences in node order."""
        return SequenceStore.open(self.processed_paths[0])

    @cached_property
    def report(self) -> dict[str, int]:
        """What was read, kept and dropped, and why."""
        return json.loads(Path(self.processed_paths[1]).read_text(encoding="utf-8"))

    @abstractmethod
    def _build(self) -> tuple[Data, SequenceStore, dict[str, int]]:
        """Make the data, the sequences in node order (none for a store of length 0), a report."""

    def process(self) -> None:
        """Build and write the cache; processes that want the same one wait for each other."""
        with FileLock(os.path.join(self.processed_dir, ".lock")):
            if not self.force_reload and all(map(os.path.exists, self.processed_paths)):
                return
            data, sequences, report = self._build()
            kept = [data] if self.pre_filter is None or self.pre_filter(data) else []
            if not kept:
                raise DataError("`pre_filter` leaves nothing of the one graph of this dataset")
            if self.pre_transform is not None:
                kept = [self.pre_transform(data)]
            sequences.save(self.processed_paths[0])
            with atomic_path(self.processed_paths[1]) as temporary:
                temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            with atomic_path(self.processed_paths[2]) as temporary:
                self.save(kept, str(temporary))


def as_list(paths: Any) -> list[str | os.PathLike[str]]:
    """Make a list of one path, several, or none."""
    if paths is None:
        return []
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
