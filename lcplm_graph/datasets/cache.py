"""Where a dataset keeps what it made: in files that are written once and never half, or in memory.

A dataset holds one of these and asks it for the graph, the sequences and the report. What
decides the content is in the name of the folder, so other input or other options are another
folder, so an old one never has to be checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import uuid
import weakref
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypedDict

import numpy as np
import torch
from torch_geometric.data import Data

from lcplm_graph.datasets.identity import transform_identity
from lcplm_graph.errors import ConfigError, DataError, InputError
from lcplm_graph.files.download import cache_root
from lcplm_graph.io import (
    atomic_path,
    file_state,
    locked_folder,
    read_json,
    warn_once,
    write_json,
)
from lcplm_graph.proteins.store import SequenceStore

logger = logging.getLogger(__name__)
DATA, SEQUENCES, REPORT = "data.pt", "sequences.arrow", "report.json"
#: Which raw files the others were made of.
SOURCES = "sources.json"
# Raised when `build` of a class changes what it makes of the same files.
_FORMAT = 6
_NOT_KEPT = "-not-kept"

PathLike = str | os.PathLike[str]
GraphTransform = Callable[[Data], Data]
GraphFilter = Callable[[Data], bool]


class Hooks(TypedDict, total=False):
    """What PyG does with the graph; see `ProteinDataset`."""

    transform: GraphTransform | None
    pre_transform: GraphTransform | None
    pre_filter: GraphFilter | None
    force_reload: bool


class Built(NamedTuple):
    """What `ProteinDataset.build` makes: the graph, sequences in node order, and counts."""

    data: Data
    sequences: SequenceStore
    report: dict[str, Any]


class Cache(Protocol):
    """What a dataset asks of the place that keeps its content."""

    @property
    def root(self) -> Path | None:
        """Directory of PyG's ``raw`` and ``processed``; `None` if there are no files."""

    @property
    def folder(self) -> Path | None:
        """Directory of the processed files."""

    @property
    def sequences(self) -> SequenceStore:
        """Sequences in node order."""

    @property
    def report(self) -> dict[str, Any]:
        """Counts of what was read, kept and dropped."""

    def graph(self) -> Data:
        """Return the graph."""

    def fill(self, build: Callable[[], Built], raw: list[Path], *, again: bool) -> None:
        """Keep what `build` makes of raw files, unless it is there and not wanted `again`."""


class DiskCache:
    """Three files in ``root/processed/name``: the graph, the sequences, the report.

    Parameters
    ----------
    root : path-like
        Directory of the ``raw`` and ``processed`` files of a dataset.
    name : str
        Names everything that decides the content, but for the hooks.
    hooks : Hooks, optional
        `pre_transform` and `pre_filter` decide the content too. Where one of them has no
        identity (see `transform_identity`), the content is made anew every time, and removed at
        the end.
    """

    def __init__(self, root: PathLike, name: str, hooks: Hooks | None = None) -> None:
        self.root = Path(root)
        self.folder = self.root / "processed" / f"{name}{_hooks_name(hooks or {})}"
        if not self._is_kept:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def _is_kept(self) -> bool:
        return not self.folder.name.endswith(_NOT_KEPT)

    def graph(self) -> Data:
        """Read the graph, memory-mapped.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        path = self.folder / DATA
        try:
            content, _, kind = _load(path)
            return kind.from_dict(content)
        except Exception as error:  # a damaged archive or pickle raises nearly anything
            text = " ".join(str(error).split())
            raise DataError(
                f"the processed graph is damaged ({text}); give force_reload=True", path=path
            ) from error

    @cached_property
    def sequences(self) -> SequenceStore:
        """Sequences in node order, memory-mapped."""
        return SequenceStore.open(self.folder / SEQUENCES)

    @cached_property
    def report(self) -> dict[str, Any]:
        """Counts of what was read, kept and dropped."""
        return read_json(self.folder / REPORT, "give force_reload=True")

    def fill(self, build: Callable[[], Built], raw: list[Path], *, again: bool) -> None:
        """Build once, whatever the number of processes that ask; the graph is written last.

        What was made of raw files that were replaced since is made again.
        """
        files = [self.folder / name for name in (DATA, SEQUENCES, REPORT)]
        sources = self.folder / SOURCES
        now = {str(path): file_state(path) for path in raw if path.is_file()}
        with locked_folder(self.folder):
            if not again and all(path.exists() for path in files) and _same(sources, now):
                return
            data, sequences, report = build()
            # It says that the others belong together, so it goes first and comes last.
            (self.folder / DATA).unlink(missing_ok=True)
            sequences.save(self.folder / SEQUENCES)
            write_json(self.folder / REPORT, report)
            write_json(sources, now)
            with atomic_path(self.folder / DATA) as temporary:
                _save(data, temporary)
        counts = ", ".join(f"{key} {value}" for key, value in report.items())
        logger.info("%s: %s", self.folder.name, counts)


def _same(sources: Path, now: dict[str, list[int]]) -> bool:
    """Whether raw files are those of before; a list that is damaged does not say so."""
    try:
        before = read_json(sources, "give force_reload=True")
    except DataError:
        return not now
    return all(before.get(path, state) == state for path, state in now.items())


def _save(data: Data, path: Path) -> None:
    """Write a graph, after it is clear that it can be read again.

    Raises
    ------
    InputError
        If it cannot, with the name of the attribute.
    """
    content = data.to_dict()
    # As InMemoryDataset.save, which would hold two copies of the file in memory.
    try:
        torch.save((content, None, type(data)), path)
        _load(path)
    except Exception as error:  # whatever an object says that cannot be pickled, or read back
        for key, value in content.items():
            if not _can_be_kept(value):
                raise InputError(
                    f"`{key}` of the graph is of type {type(value).__name__}, which cannot be "
                    "stored; let pre_transform give tensors, numbers, text, or lists and "
                    "dictionaries of these, or use it as transform"
                ) from error
        raise InputError(
            f"a graph of type {type(data).__name__} cannot be stored; let pre_transform return "
            "a Data, or use it as transform"
        ) from error


def _load(file: Any) -> Any:
    with torch.serialization.safe_globals(_numpy_globals()):
        return torch.load(file, mmap=isinstance(file, Path), weights_only=True)


def _can_be_kept(value: Any) -> bool:
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        _load(buffer)
    except Exception:  # see `_save`
        return False
    return True


def _numpy_globals() -> list[Any]:
    """List what the pickle of an array or a number of NumPy names: nothing that runs code."""
    kinds = [np.dtype(kind) for kind in "?bBhHiIlLqQefdFDUS"]
    rebuild = [np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]]
    return [np.ndarray, np.dtype, *rebuild, *dict.fromkeys(type(kind) for kind in kinds)]


def _hooks_name(hooks: Hooks) -> str:
    """Name the hooks that decide the content; nothing if there are none."""
    given = {name: hooks.get(name) for name in ("pre_transform", "pre_filter")}
    if not any(given.values()):
        return ""
    known = {name: transform_identity(hook) for name, hook in given.items()}  # type: ignore[arg-type]
    lacking = [name for name, identity in known.items() if identity is None]
    if lacking:
        warn_once(
            f"code of your own in {' and '.join(lacking)} may change, so the dataset is made anew "
            "every time; pass that code as transform to keep the dataset"
        )
        return f"-{uuid.uuid4().hex[:16]}{_NOT_KEPT}"
    return f"-{hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]}"


class MemoryCache:
    """The content itself; nothing is read or written."""

    root = None
    folder = None

    def __init__(self, built: Built) -> None:
        self._built = built
        self.sequences, self.report = built.sequences, built.report

    def graph(self) -> Data:
        """Return the graph."""
        return self._built.data

    def fill(self, build: Callable[[], Built], raw: list[Path], *, again: bool) -> None:
        """Do nothing: the content is there."""


def cache_of_files(
    owner: str,
    inputs: Mapping[str, list[Path]],
    options: Mapping[str, Any],
    root: PathLike | None,
    hooks: Hooks,
) -> DiskCache:
    """Name the cache of what is made of some files with some options.

    Parameters
    ----------
    owner : str
        The dataset's class.
    inputs : dict of str to list of pathlib.Path
        Files by role. Path, size and times of change of each are part of the cache's name.
    options : dict
        What else decides the content; JSON types only.
    root : path-like, optional
        Directory to keep it in; by default the data root (``LCPLM_DATA``).
    hooks : Hooks
        `pre_transform` and `pre_filter` decide the content too.

    Raises
    ------
    DataError
        If a file is missing.
    """
    described: list[Any] = [options, _FORMAT]
    for role, paths in inputs.items():
        described += [[role, *_identity(path)] for path in paths]
    text = json.dumps(described, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return DiskCache(cache_root(root), f"{owner}-{key}", hooks)


def as_paths(paths: Any) -> list[Path]:
    """Make a list of one path, of several, or, for None, of none.

    Raises
    ------
    ConfigError
        For an empty list: most often a pattern that matched no file, and never a wish for the
        default.
    """
    if paths is None:
        return []
    found = [Path(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    if not found:
        raise ConfigError("an empty list of files; name at least one, or leave the argument out")
    return found


def _identity(path: Path) -> list[Any]:
    if not path.exists():
        raise DataError("no such file; check the path", path=path)
    return [str(path.resolve()), *file_state(path)]
