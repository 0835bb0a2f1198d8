"""Module names of 0.1 that moved in 0.2: they still import, with a `DeprecationWarning`."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "datasets.alignment": "proteins.alignment",
    "datasets.catalog": "files.catalog",
    "datasets.clusters": "splits.clusters",
    "datasets.convert": "datasets.memory",
    "datasets.download": "files.download",
    "datasets.edges": "pairs",
    "datasets.fasta": "proteins.fasta",
    "datasets.gaf": "go.annotations",
    "datasets.go_labels": "go.labels",
    "datasets.graphs": "datasets.load",
    "datasets.leakage": "splits.leakage",
    "datasets.negatives": "splits.negatives",
    "datasets.obo": "go.obo",
    "datasets.ontology": "go.ontology",
    "datasets.ppi": "datasets.base",
    "datasets.sequences": "proteins.store",
    "datasets.shards": "proteins.shards",
    "datasets.similarity": "proteins.search",
    "datasets.split": "splits.split",
    "datasets.split_kinds": "splits.kinds",
    "datasets.splits": "splits.make",
    "datasets.streams": "files.open",
    "datasets.tables": "files.tables",
    "datasets.transport": "files.transport",
    "heads.threads": "process",
}
"""Old name to new name, both within `lcplm_graph`."""


class _Alias(Loader):
    """Hand out the module under its new name as the module of its old name."""

    def __init__(self, new: str) -> None:
        self.new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import the module that took over; the import system then files it under both names."""
        module = importlib.import_module(self.new)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is, with its own specification and not the old name's."""
        module.__spec__ = self.spec


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        root, _, name = fullname.partition(".")
        if root != "lcplm_graph" or name not in MOVED:
            return None
        new = f"lcplm_graph.{MOVED[name]}"
        warnings.warn(f"{fullname} is now {new}", DeprecationWarning, stacklevel=2)
        return ModuleSpec(fullname, _Alias(new))


def keep_old_names() -> None:
    """Let the old names import; done once, by the package itself."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
