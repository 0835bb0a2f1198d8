"""What every dataset keeps to; a network also splits."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytest
import torch

from lcplm_graph.datasets.base import PPIDataset, ProteinDataset
from lcplm_graph.pairs import pair_graph
from lcplm_graph.splits import DEFAULT_KIND


class ProteinDatasetCase(ABC):
    """One graph of proteins, each with an id and a sequence."""

    @pytest.fixture
    @abstractmethod
    def dataset(self):
        """The dataset, built once or anew."""

    def test_it_is_one_graph_with_ids_and_sequences_in_node_order(self, dataset):
        assert isinstance(dataset, ProteinDataset)
        assert len(dataset) == 1
        data = dataset[0]
        assert list(data.protein_id) == list(dataset.sequences.ids)
        assert len(set(data.protein_id)) == data.num_nodes == len(dataset.sequences) > 0
        assert all(sequence.isupper() for sequence in dataset.sequences)

    def test_its_report_counts(self, dataset):
        numbers = [value for value in dataset.report.values() if isinstance(value, int)]
        assert all(number >= 0 for number in numbers)

    def test_a_graph_of_fewer_nodes_keeps_their_ids(self, dataset):
        data = dataset[0]
        chosen = torch.arange(data.num_nodes - 1, -1, -2)
        part = data.subgraph(chosen) if data.edge_index is not None else None
        if part is not None:
            assert list(part.protein_id) == [data.protein_id[i] for i in chosen.tolist()]


class PPIDatasetCase(ProteinDatasetCase):
    """A network: undirected, without loops, with weights, and splits that do not leak."""

    split_options: ClassVar[dict[str, float]] = {}

    def test_its_edges_are_undirected_sorted_and_without_loops(self, dataset):
        assert isinstance(dataset, PPIDataset)
        index, weight = dataset[0].edge_index, dataset[0].edge_weight
        key = index[0] * dataset[0].num_nodes + index[1]
        assert bool((key.diff() > 0).all())
        assert torch.equal(key, (index[1] * dataset[0].num_nodes + index[0]).sort().values)
        assert bool((index[0] != index[1]).all())
        assert 0 <= int(index.min()) <= int(index.max()) < dataset[0].num_nodes
        if weight is not None:
            assert weight.dtype == torch.float32
            assert bool(((weight >= 0) & (weight <= 1)).all())

    def test_its_default_split_shares_no_protein(self, dataset):
        split = dataset.split(seed=1, **self.split_options)
        assert split.kind == DEFAULT_KIND
        assert split.check() is split
        assert not np.isin(split.held_out, split.train).any()
        known = pair_graph(dataset[0]).pairs
        assert np.array_equal(np.unique(split.known, axis=0), np.unique(known, axis=0))
        assert dataset.split(seed=1, **self.split_options).fingerprint == split.fingerprint
