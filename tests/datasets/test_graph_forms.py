"""A graph in any form is the same graph, or is refused in one sentence; never a part of it."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data, Dataset, InMemoryDataset
from torch_geometric.transforms import ToSparseTensor

from lcplm_graph.datasets.memory import from_dataframe, to_dataframe, to_networkx
from lcplm_graph.errors import InputError
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split

NODES = 40
_AT = np.arange(NODES).repeat(3)
_PAIRS = np.stack([_AT, (_AT + np.tile([1, 2, 5], NODES)) % NODES])
EDGES = torch.from_numpy(np.concatenate([_PAIRS, _PAIRS[::-1]], axis=1))
WEIGHT = torch.linspace(0.1, 1, _PAIRS.shape[1]).repeat(2)


def graph(edge_index=EDGES, weight=WEIGHT, **more):
    return Data(edge_index=edge_index, edge_weight=weight, **{"num_nodes": NODES, **more})


class InMemory(InMemoryDataset):
    def __init__(self, *graphs):
        super().__init__(None)
        self.data, self.slices = self.collate(list(graphs))


class Own(Dataset):
    def __init__(self, *graphs):
        super().__init__(None)
        self.graphs = graphs

    def len(self):
        return len(self.graphs)

    def get(self, idx):
        return self.graphs[idx]


def split_of(data):
    split = make_split(data, "C1", seed=3)
    return split.fingerprint, split.message_weight.tolist()


ORDER = torch.randperm(EDGES.shape[1], generator=torch.Generator().manual_seed(0))
SAME = {
    "int32": graph(EDGES.int()),
    "not contiguous": graph(EDGES.T.contiguous().T),
    "EdgeIndex": graph(EdgeIndex(EDGES)),
    "NumPy": graph(EDGES.numpy(), WEIGHT.numpy()),
    "lists": graph(EDGES.tolist(), WEIGHT.tolist()),
    "another order": graph(EDGES[:, ORDER], WEIGHT[ORDER]),
    "one direction": graph(EDGES[:, : _PAIRS.shape[1]], WEIGHT[: _PAIRS.shape[1]]),
    "repeated": graph(torch.cat([EDGES, EDGES], 1), torch.cat([WEIGHT, WEIGHT / 2])),
    "float64 weights": graph(weight=WEIGHT.double()),
    "weights with gradients": graph(weight=WEIGHT.clone().requires_grad_()),
    "InMemoryDataset": InMemory(graph()),
    "Dataset": Own(graph()),
    "list": [graph()],
}
OTHER = {
    "two graphs in a list": ([graph(), graph()], "list holds 2 graphs"),
    "two graphs in memory": (InMemory(graph(), graph()), "InMemory holds 2 graphs"),
    "two graphs of a dataset": (Own(graph(), graph()), "Own holds 2 graphs"),
    "no graph": (Own(), "Own holds no graph"),
    "no graph in a list": ([], "list holds no graph"),
    "sparse edges": (graph(torch.eye(NODES).to_sparse()), "sparse matrix"),
    "adj_t": (ToSparseTensor()(graph()), "remove_edge_index=False"),
    "rows": (graph(EDGES.T, WEIGHT), r"of shape \(2, m\), not int64 of shape \(240, 2\)"),
    "three axes": (graph(EDGES[None]), r"of shape \(2, m\)"),
    "floats": (graph(EDGES.float()), "whole numbers"),
    "NetworkX": (nx.path_graph(9), "from_networkx"),
    "SciPy": (sparse.eye(9).tocoo(), "this is .*, not a graph"),
    "a tensor": (EDGES, "this is Tensor, not a graph"),
    "a name": ("string_human_core", "this is str, not a graph"),
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("form", SAME)
def test_every_form_of_a_graph_gives_one_split(form):
    assert split_of(SAME[form]) == split_of(graph())


@pytest.mark.parametrize("form", OTHER)
def test_what_is_no_graph_or_several_is_refused(form):
    data, match = OTHER[form]
    with pytest.raises(InputError, match=match):
        make_split(data, "C1")


def test_several_graphs_as_one_are_taken_whole():
    assert make_split(Batch.from_data_list([graph(), graph()]), "C1").num_nodes == 2 * NODES


def test_tables_have_the_edges_that_a_transform_leaves_in_one_direction():
    frame = pd.DataFrame({"protein1": list("abcd"), "protein2": list("bcde")})
    dataset = from_dataframe(frame, dict(zip("abcde", ["MK", "MV", "MA", "MG", "ML"], strict=True)))

    def keep_upward(data):
        low, high = data.edge_index
        kept = torch.where(low % 2 == 0, low < high, low > high)
        return Data(
            edge_index=data.edge_index[:, kept], num_nodes=5, protein_id=data.protein_id
        )  # and without weights

    dataset.transform = keep_upward
    pairs = {tuple(row) for row in make_split(dataset, "random", valid=0, test=0).train.tolist()}
    table = to_dataframe(dataset)
    assert {("abcde".index(a), "abcde".index(b)) for a, b in table.values[:, :2]} == pairs
    assert set(table.weight) == {1.0} and len(table) == len(pairs) > 0
    assert {tuple(sorted(edge)) for edge in to_networkx(dataset).edges} == {
        ("abcde"[i], "abcde"[j]) for i, j in pairs
    }


PATH = [[0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"num_nodes": 6.0}, "num_nodes must be a whole number"),
        ({"num_nodes": "6"}, "num_nodes must be a whole number"),
        ({"node_part": [0.5] * 6}, "node_part may hold"),
        ({"node_part": [300] * 6}, "node_part may hold"),
        ({"message": [[0, 1], [1]]}, "message must be whole numbers in an array"),
    ],
)
def test_splits_of_numbers_that_mean_nothing_are_refused(change, match):
    whole = {"num_nodes": 6, "message": PATH, "supervision": PATH, "held_out": [[0, 3]]}
    with pytest.raises(InputError, match=match):
        Split(**{"kind": "random", "held_out_part": [1], **whole, **change})


@pytest.mark.parametrize("taxa", [{"valid_taxa": [2.5]}, {"test_taxa": [[3]]}, {"valid_taxa": 2}])
def test_species_are_whole_numbers(taxa):
    # 2.5 was the species 2.
    with pytest.raises(InputError, match="must be a list of"):
        make_split(graph(), "species", taxon=np.arange(NODES) % 4, **{"test_taxa": [3], **taxa})
    with pytest.raises(InputError, match="taxon must be a list of whole numbers"):
        make_split(graph(), "species", taxon=np.arange(NODES) % 4 + 0.5, test_taxa=[3])
