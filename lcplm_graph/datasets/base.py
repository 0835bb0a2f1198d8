"""What all datasets share: one graph of proteins, their sequences, a report; splits for pairs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch_geometric.data import Data, InMemoryDataset

from lcplm_graph.datasets.cache import (
    DATA,
    REPORT,
    SEQUENCES,
    Built,
    Cache,
    GraphFilter,
    GraphTransform,
)
from lcplm_graph.datasets.lookup import Protein, is_one, transformed
from lcplm_graph.datasets.node_strings import index_by_node
from lcplm_graph.errors import InputError
from lcplm_graph.io import written
from lcplm_graph.proteins.names import NameIndex
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits import DEFAULT_KIND

if TYPE_CHECKING:
    from lcplm_graph.splits.split import Split


class ProteinDataset(InMemoryDataset):
    """Proteins as the nodes of one PyG `Data`, with the sequence of every node.

    Subclasses implement `build`, and `raw_file_names` and `download` where there is something
    to fetch.  ``dataset[0]`` has at least `protein_id` (`NodeStrings`) and `num_nodes`;
    ``dataset["TP53"]`` is a `Protein`, by id, accession or gene name.  It, `node`, `names` and
    `sequences` are of the graph before `transform`, which may drop proteins or put them in
    another order; splits, tables and features are of the graph that ``dataset[0]`` gives.

    Parameters
    ----------
    cache : Cache
        Keeps what `build` makes; see `DiskCache` and `cache_of_files`.
    transform, pre_transform, pre_filter : callable, optional
        As everywhere in PyG; a transform finds the sequences as `data.sequences`, so
        `AddProteinFeatures` may be one, or a part of a `Compose`.
    force_reload : bool
        Process the raw files again.

    Attributes
    ----------
    inputs : dict of str to list of pathlib.Path
        The files it is made of, by role; empty for one that fetches its own or is in memory.

    Raises
    ------
    InputError
        If `pre_filter` rejects the graph.
    """

    inputs: Mapping[str, list[Path]] = MappingProxyType({})

    def __init__(
        self,
        cache: Cache,
        transform: GraphTransform | None = None,
        pre_transform: GraphTransform | None = None,
        pre_filter: GraphFilter | None = None,
        force_reload: bool = False,
    ) -> None:
        self.cache = cache
        root = None if cache.root is None else str(cache.root)
        super().__init__(
            root, transform, pre_transform, pre_filter, log=False, force_reload=force_reload
        )
        self.data = index_by_node(cache.graph())

    def __repr__(self) -> str:
        if len(self) != 1:
            return super().__repr__()  # a slice without the graph
        data = self.get(self.indices()[0])
        edges = "" if data.edge_index is None else f", {data.edge_index.shape[1] // 2} edges"
        return f"{type(self).__name__}({data.num_nodes} proteins{edges})"

    def build(self) -> Built:
        """Make the graph, its sequences in node order, and counts of what was dropped."""
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return self._protein(self.node(index))
        if self.transform is None or not is_one(index):
            return super().__getitem__(index)
        data = self.get(self.indices()[index])
        return transformed(self.transform, data, self.sequences)

    def node(self, name: str) -> int:
        """Return the node of a protein.

        Parameters
        ----------
        name : str
            Its id in any usual spelling, gene name or accession.

        Raises
        ------
        InputError
            If the name is no text.
        UnknownNameError
            If no protein is called so, with the nearest name that one has, or several are.
        """
        return self.names.row(name, "of this dataset")

    @property
    def organism(self) -> tuple[int, ...]:
        """NCBI taxa of the proteins, where the dataset says them."""
        return ()

    @cached_property
    def names(self) -> NameIndex:
        """What the proteins are called."""
        return NameIndex(self.sequences.ids, *self._symbols())

    def _symbols(self) -> list[list[str]]:
        symbols = getattr(self.get(0), "symbol", None)
        return [] if symbols is None else [list(symbols)]

    def _protein(self, node: int) -> Protein:
        data, store = self.get(0), self.sequences
        symbols, edges = self._symbols(), data.edge_index
        return Protein(
            node=node,
            id=store.ids[node],
            symbol=symbols[0][node] if symbols else None,
            sequence=store[node] if len(store) else None,
            degree=None if edges is None else int((edges[0] == node).sum()),
        )

    @property
    def raw_paths(self) -> list[str]:
        """The input files, where they are."""
        return [str(path) for paths in self.inputs.values() for path in paths]

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the input files."""
        return [os.path.basename(path) for path in self.raw_paths]

    @property
    def sequences(self) -> SequenceStore:
        """Sequences in node order."""
        return self.cache.sequences

    @property
    def report(self) -> dict[str, Any]:
        """Counts of what was read, kept and dropped."""
        return self.cache.report

    @property
    def processed_dir(self) -> str:
        """Directory of the processed files; empty for a dataset in memory."""
        return str(self.cache.folder or "")

    @property
    def processed_file_names(self) -> list[str]:
        """Names of the processed files."""
        return [DATA, SEQUENCES, REPORT]

    @property
    def has_process(self) -> bool:
        """Whether there are files to make."""
        return self.cache.folder is not None

    def _download(self) -> None:
        # PyG makes the folder.
        with written(self.raw_dir):
            super()._download()

    def _process(self) -> None:
        # PyG's own writes two files more, which say by `repr` what the cache's name says already,
        # and stop the loading for ever when a kill leaves one of them half.
        self.process()

    def process(self) -> None:
        """Fill the cache."""
        raw = [Path(path) for path in self.raw_paths]
        self.cache.fill(self._built, raw, again=self.force_reload)

    def _built(self) -> Built:
        data, sequences, report = self.build()
        index_by_node(data)
        if self.pre_filter is not None and not self.pre_filter(data):
            raise InputError("pre_filter rejects the graph, and there is no other")
        if self.pre_transform is not None:
            data = transformed(self.pre_transform, data, sequences)
            if not isinstance(data, Data):
                raise InputError(
                    f"pre_transform returned {type(data).__name__}, not a graph (Data)"
                )
            ids = getattr(data, "protein_id", None)
            if ids is not None and list(ids) != sequences.ids:
                # Nodes were dropped or put in another order.
                sequences = sequences.select(sequences.index_of(ids))
        return Built(data, sequences, report)


class PPIDataset(ProteinDataset):
    """A protein interaction network: the edges of the graph can be split.

    ``dataset[0]`` has `edge_index` (both directions, sorted), `edge_weight` (float32 in [0, 1]),
    `protein_id` (`NodeStrings`) and `num_nodes`. Parameters are those of `ProteinDataset`.
    """

    def neighbors(self, name: str) -> pd.DataFrame:
        """Return the partners of a protein, the most certain first.

        Parameters
        ----------
        name : str
            As in `node`.

        Returns
        -------
        pandas.DataFrame
            Columns `protein_id`, `symbol` (where the graph has gene names) and `weight`.

        Raises
        ------
        UnknownNameError
            As `node`.
        """
        node, data = self.node(name), self.get(0)
        edges = np.flatnonzero(data.edge_index[0].numpy() == node)
        weight = data.edge_weight.numpy()[edges]
        order = np.argsort(-weight, kind="stable")
        partners = data.edge_index[1].numpy()[edges][order]
        columns = {"protein_id": [self.sequences.ids[i] for i in partners]}
        for symbols in self._symbols():
            columns["symbol"] = [symbols[i] for i in partners]
        return pd.DataFrame(columns).assign(weight=weight[order])

    def split(self, kind: str = DEFAULT_KIND, seed: int = 0, **options: Any) -> Split:
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
