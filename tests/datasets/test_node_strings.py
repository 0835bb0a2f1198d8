"""What PyG does to the graphs of the datasets leaves every name beside the row it belongs to."""

import copy
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
import torch_geometric.transforms as T
from families import FAMILIES, SEQUENCES
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader, LinkLoader, NodeLoader
from torch_geometric.utils import to_networkx

from lcplm_graph.datasets.node_strings import GraphStrings, NodeStrings
from lcplm_graph.heads.loaders import NeighborSampler


@pytest.fixture(scope="module", params=FAMILIES)
def dataset(request, tmp_path_factory):
    return FAMILIES[request.param](tmp_path_factory.mktemp("family"))


@pytest.fixture
def data(dataset):
    """A graph whose `length` tells which protein each row is of."""
    data = dataset[0]
    data.x = torch.ones(data.num_nodes, 1)
    data.length = torch.tensor([len(SEQUENCES[name]) for name in data.protein_id])
    if "edge_index" not in data:
        data.edge_index = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
    return data


def right(data):
    """Whether every name stands beside its own row, and none is missing."""
    names = data.protein_id
    rows = data.length.tolist()
    assert len(names) == data.num_nodes == len(rows)
    return [len(SEQUENCES[name]) for name in names] == rows


def loaders(data, workers=0):
    sampler = NeighborSampler(data.edge_index, data.num_nodes, [2, 2])
    options = {"batch_size": 2, "num_workers": workers, "shuffle": True}
    yield NodeLoader(data, sampler, input_nodes=torch.arange(data.num_nodes), **options)
    yield LinkLoader(data, sampler, edge_label_index=data.edge_index, **options)


CHANGES = {
    "to": lambda d: d.to("cpu"),
    "clone": lambda d: d.clone(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda d: pickle.loads(pickle.dumps(d)),
    "contiguous": lambda d: d.contiguous(),
    "detach": lambda d: d.detach(),
    "share": lambda d: d.share_memory_(),
    "apply": lambda d: d.apply(lambda value: value),
    "from_dict": lambda d: Data.from_dict(d.to_dict()),
    "undirected": T.ToUndirected(),
    "isolated": T.RemoveIsolatedNodes(),
    "component": T.LargestConnectedComponents(),
    "moved, then component": lambda d: T.LargestConnectedComponents(2)(d.to("cpu")),
    "cloned, then isolated": lambda d: T.RemoveIsolatedNodes()(d.clone()),
    "mask": lambda d: d.subgraph(torch.arange(d.num_nodes) % 2 == 0),
    "index": lambda d: d.subgraph(torch.tensor([3, 1, 2])),
    "node split": lambda d: T.RandomNodeSplit(num_val=1, num_test=1)(d),
    "edges": lambda d: d.edge_subgraph(torch.arange(d.num_edges) < 2),
    "batch": lambda d: Batch.from_data_list([d.subgraph(torch.tensor([2, 0])), d]),
    "of a batch": lambda d: Batch.from_data_list([d, d.subgraph(torch.tensor([2, 0]))])[1],
    "sorted": lambda d: d.sort(sort_by_row=False),
    "self loops": T.AddSelfLoops(),
    "to_homogeneous": lambda d: d.to_heterogeneous().to_homogeneous(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_names_stay_beside_their_rows(data, change):
    for key in [k for k in data.to_dict() if k.startswith(("train_p", "valid_", "test_p"))]:
        del data[key]  # pairs, which are not renumbered by PyG
    made = CHANGES[change](data)
    assert right(made) and type(made.protein_id) is NodeStrings
    assert right(T.RemoveIsolatedNodes()(made))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_loaders_of_pyg(data, workers):
    full = data.protein_id.tolist()
    for loader in loaders(data, workers):
        for batch in loader:
            assert right(batch) and right(batch.to("cpu"))
            assert batch.protein_id == [full[i] for i in batch.n_id]
    sets = [data, data.subgraph(torch.tensor([1, 0])), data]
    for batch in DataLoader(sets, batch_size=2, num_workers=workers):
        assert right(batch)


def test_links_are_split_and_graphs_given_to_networkx(data):
    for part in T.RandomLinkSplit(is_undirected=True, num_val=0.2, num_test=0.2)(data):
        assert right(part)
    graph = to_networkx(data, node_attrs=["protein_id"])
    assert [name for _, name in graph.nodes("protein_id")] == data.protein_id.tolist()


def test_a_node_that_is_no_protein_has_no_name(data):
    made = T.VirtualNode()(data)
    assert made.protein_id[:-1] == data.protein_id and made.protein_id[-1] == ""
    many = T.Pad(max_num_nodes=12, max_num_edges=60)(data)
    assert many.protein_id == data.protein_id.tolist() + [""] * (12 - data.num_nodes)


def test_a_dataset_is_copied_and_indexed(dataset):
    ids = dataset.sequences.ids
    assert dataset.copy()[0].protein_id == ids
    assert dataset[:1][0].protein_id == dataset.index_select([0])[0].protein_id == ids
    again = pickle.loads(pickle.dumps(dataset[0]))
    assert again.protein_id == ids


def test_to_python_it_is_a_list_of_strings():
    names = NodeStrings("abca")
    assert names[1] == names[torch.tensor(1)] == names[np.int64(-3)] == "b"
    assert names[1:] == ["b", "c", "a"] and names[[2, 0]] == ["c", "a"] != names
    assert names[np.array([], np.int64)] == [] and not names[:0] and names
    assert "c" in names and "z" not in names and names.index("c") == 2 and names.count("a") == 2
    assert list(names) == [*names] == names.tolist() == ["a", "b", "c", "a"]
    assert type(names[0]) is str and names != "abca" and len(names) == 4
    for table in (
        pd.DataFrame({"id": names}).id,
        pd.Index(names),
        np.array(names),
        pa.array(names),
    ):
        assert table.tolist() == ["a", "b", "c", "a"]
    assert np.asarray(names, dtype=object)[3] == "a"
    with pytest.raises(IndexError):
        names[torch.tensor([True, False])]
    with pytest.raises(IndexError):
        names[4]


def test_in_torch_it_is_a_tensor_of_rows():
    names, other = NodeStrings("abc"), NodeStrings("xb")
    assert torch.cat([names, other[1:], names[:1]]) == ["a", "b", "c", "b", "a"]
    assert torch.cat([names, torch.tensor([7])]) == ["a", "b", "c", ""]
    assert names.flip(0) == ["c", "b", "a"] and names.repeat(2) == [*"abcabc"]
    assert [part.tolist() for part in names.split(2)] == [["a", "b"], ["c"]]
    assert type(names.float()) is torch.Tensor and type(names + 1) is torch.Tensor
    assert torch.where(torch.tensor([True, False, True]), names, 9).tolist() == [0, 9, 2]


def test_saved_graphs_are_read_without_code(tmp_path):
    held = {"protein_id": NodeStrings("ab"), "go_terms": GraphStrings("xyz")}
    torch.save(held, tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True) == held
