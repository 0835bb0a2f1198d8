"""What all datasets of protein pairs share: one graph, its sequences, a report, honest splits."""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.io import fs

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.io import atomic_path
from lcplm_graph.proteins.store import SequenceStore

if TYPE_CHECKING:
    from lcplm_graph.splits.split import Split

logger = logging.getLogger(__name__)
DATA, SEQUENCES, REPORT = "data.pt", "sequences.arrow", "report.json"
GraphTransform = Callable[[Data], Data]


class PPIDataset(InMemoryDataset):
    """One protein interaction graph with the sequence of every node.

    Subclasses implement `build`, and `raw_file_names` and `download` where there is something
    to fetch.  The graph (`dataset[0]`) has `edge_index` (both directions, sorted),
    `edge_weight` (float32 in [0, 1]), `protein_id` (list of str) and `num_nodes`.

    Parameters
    ----------
    root : path-like
        Directory of the ``raw`` and ``processed`` files.
    variant : str
        Subdirectory of ``processed``: names the options that shape the graph.
    transform, pre_transform, pre_filter : callable, optional
        As everywhere in PyG.
    force_reload : bool
        Process the raw files again.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        variant: str,
        transform: GraphTransform | None = None,
        pre_transform: GraphTransform | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self._variant = variant
        super().__init__(
            str(root), transform, pre_transform, pre_filter, log=False, force_reload=force_reload
        )
        self._open(self.processed_paths[0])

    def build(self) -> tuple[Data, SequenceStore, dict[str, Any]]:
        """Make the graph, its sequences in node order, and counts of what was dropped."""
        raise NotImplementedError

    @property
    def processed_dir(self) -> str:
        """Directory of the processed files of this variant."""
        return os.path.join(self.root, "processed", self._variant)

    @property
    def processed_file_names(self) -> list[str]:
        """Names of the processed files."""
        return [DATA, SEQUENCES, REPORT]

    def process(self) -> None:
        """Build once, whatever the number of processes that ask; the graph is written last."""
        folder = Path(self.processed_dir)
        with FileLock(folder / ".lock"):
            if not self.force_reload and all(fs.exists(path) for path in self.processed_paths):
                return
            data, sequences, report = self.build()
            if self.pre_filter is not None and not self.pre_filter(data):
                raise InputError("pre_filter rejects the graph, and there is no other")
            if self.pre_transform is not None:
                data = self.pre_transform(data)
            sequences.save(folder / SEQUENCES)
            with atomic_path(folder / REPORT) as temporary:
                temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            with atomic_path(folder / DATA) as temporary:
                # As InMemoryDataset.save, which would hold two copies of the file in memory.
                torch.save((data.to_dict(), None, type(data)), temporary)
        counts = ", ".join(f"{key} {value}" for key, value in report.items())
        logger.info("%s: %s", type(self).__name__, counts)

    def _open(self, path: str) -> None:
        try:
            content, self.slices, kind = torch.load(path, mmap=True, weights_only=True)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise DataError(
                f"the processed graph is damaged ({error}); give force_reload=True", path=path
            ) from error
        self.data = kind.from_dict(content)

    @cached_property
    def sequences(self) -> SequenceStore:
        """Sequences in node order, memory-mapped."""
        return SequenceStore.open(Path(self.processed_dir) / SEQUENCES)

    @cached_property
    def report(self) -> dict[str, Any]:
        """Counts of what was read, kept and dropped."""
        return json.loads((Path(self.processed_dir) / REPORT).read_text(encoding="utf-8"))

    def split(self, kind: str = "C3", seed: int = 0, **options: Any) -> Split:
        """Divide the edges for training and evaluation; see `splits.make_split`.

        Parameters
        ----------
        kind : str
            ``C3`` (test proteins are unseen), ``random``, ...
        seed : int
            Same seed, same split.
        **options
            Passed on to `splits.make_split`.
        """
        from lcplm_graph.splits.make import make_split

        return make_split(self, kind=kind, seed=seed, **options)
