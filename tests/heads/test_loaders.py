"""Mini-batches without compiled extensions: right edges, same for any workers, honest messages."""

import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.sampler import NodeSamplerInput

from lcplm_graph.errors import InputError
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.loaders import NeighborSampler, link_loader, node_loader
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split


def graph(seed=0, nodes=80, edges=500):
    rng = np.random.default_rng(seed)
    index = rng.integers(nodes, size=(2, edges))
    index = np.unique(index[:, index[0] < index[1]], axis=1)
    both = torch.from_numpy(np.concatenate([index, index[::-1]], axis=1))
    x = torch.arange(nodes, dtype=torch.float32)[:, None].repeat(1, 3)
    return Data(x=x, edge_index=both, num_nodes=nodes, name=torch.arange(nodes))


@pytest.mark.parametrize("fanout", [[3], [5, 2], [-1, -1]])
def test_sampled_edges_exist_and_fanout_holds(fanout):
    data = graph()
    known = {tuple(e) for e in data.edge_index.T.tolist()}
    degree = torch.bincount(data.edge_index[1], minlength=80)
    for batch in node_loader(data, torch.arange(80), fanout, batch_size=16):
        assert torch.equal(batch.x[:, 0].long(), batch.n_id)
        assert torch.equal(batch.n_id[:16], batch.input_id)
        edges = batch.n_id[batch.edge_index]
        assert all(tuple(e) in known for e in edges.T.tolist())
        assert torch.equal(data.edge_index[:, batch.e_id], edges)
        assert len({tuple(e) for e in edges.T.tolist()}) == edges.shape[1]
        first = torch.bincount(edges[1], minlength=80)[batch.n_id[:16]]
        full = degree[batch.n_id[:16]]
        expected = full if fanout[0] < 0 else full.clamp(max=fanout[0])
        assert torch.equal(first, expected)


def test_all_neighbours_give_the_full_batch_answer():
    data = graph()
    torch.manual_seed(0)
    model = LinkPredictor(3, channels=8, conv="GraphSAGE").eval()
    with torch.no_grad():
        whole = model.embed(data.x, data.edge_index)
        for batch in node_loader(data, torch.arange(80), [-1, -1], batch_size=10):
            part = model.embed(batch.x, batch.edge_index)[:10]
            torch.testing.assert_close(part, whole[batch.input_id], rtol=1e-4, atol=1e-5)


def test_workers_change_nothing():
    data = graph()
    seen = []
    for workers in (0, 2):
        loader = node_loader(
            data, torch.arange(80), [4, 4], batch_size=20, shuffle=True, num_workers=workers, seed=5
        )
        seen.append([(b.n_id.tolist(), b.edge_index.tolist()) for b in loader])
    assert seen[0] == seen[1]
    other = node_loader(data, torch.arange(80), [4, 4], batch_size=20, shuffle=True, seed=6)
    assert seen[0] != [(b.n_id.tolist(), b.edge_index.tolist()) for b in other]


def test_link_batches_carry_labels_and_message_edges_only():
    data = graph()
    split = make_split(data, "C1", seed=0)
    message = {tuple(p) for p in split.message.tolist()}
    positives = {tuple(p) for p in split.positives("valid").tolist()}
    found = {0.0: set(), 1.0: set()}
    for batch in link_loader(data, split, "valid", [5, 5], batch_size=16):
        edges = batch.n_id[batch.edge_index].T.sort(dim=1).values
        assert {tuple(e) for e in edges.tolist()} <= message
        ends = batch.n_id[batch.edge_label_index].T
        for pair, label in zip(ends.tolist(), batch.edge_label.tolist(), strict=True):
            found[label].add(tuple(sorted(pair)))
    assert found[1.0] == positives
    assert len(found[0.0]) == len(positives)
    assert not found[0.0] & {tuple(p) for p in split.known.tolist()}


@pytest.mark.parametrize("once", [False, True])
def test_edges_of_link_batches_keep_their_attributes(once):
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(0, 60, (2, 400), generator=generator)
    edges = edges[:, edges[0] < edges[1]].unique(dim=1)
    if not once:
        edges = torch.cat([edges, edges.flip(0)], 1)[:, torch.randperm(2 * edges.shape[1])]
    ends = torch.stack([torch.minimum(*edges), torch.maximum(*edges)], 1).float()
    data = Data(x=torch.rand(60, 3), edge_index=edges, edge_attr=ends, edge_time=ends.sum(1),
                neg_edge_index=edges[:, :3], num_nodes=60)  # fmt: skip
    split = make_split(data, "C1", seed=0)
    for batch in link_loader(data, split, "train", [5, 3], batch_size=16):
        true = batch.n_id[batch.edge_index].sort(dim=0).values.T.float()
        assert torch.equal(batch.edge_attr, true)
        assert torch.equal(batch.edge_time, true.sum(1))
        assert "neg_edge_index" not in batch


def test_the_split_of_another_graph_is_refused():
    edges = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
    data = Data(x=torch.rand(6, 3), edge_index=edges, edge_attr=torch.rand(6, 2))
    split = make_split(Data(edge_index=edges.flip(1)[:, :5], num_nodes=6), "random", valid=0.2)
    with pytest.raises(InputError, match="a graph of 7 proteins and a split of 6"):
        link_loader(Data(edge_index=edges, num_nodes=7), split, "train", [2])
    data.edge_index = edges[:, :2]
    data.edge_attr = data.edge_attr[:2]
    with pytest.raises(InputError, match="has an edge . . that the graph lacks"):
        link_loader(data, split, "train", [2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1, not 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number from 1, not 2.5"),
        ({"num_workers": -1}, "num_workers must be a whole number from 0, not -1"),
        ({"shuffle": "no"}, "shuffle must be True or False, not 'no'"),
        ({"num_neighbors": [0]}, "num_neighbors is a list of numbers above 0 or -1"),
        ({"num_neighbors": [2.5]}, "num_neighbors is a list of numbers above 0 or -1"),
        ({"num_neighbors": 3}, "num_neighbors is a list of numbers above 0 or -1"),
    ],
)
def test_numbers_of_loaders_that_make_nothing_are_refused(options, message):
    data = graph()
    split = make_split(data, "C1", seed=0)
    with pytest.raises(InputError, match=message):
        node_loader(data, None, **{"num_neighbors": [2], **options})
    with pytest.raises(InputError, match=message):
        link_loader(data, split, "train", **{"num_neighbors": [2], **options})


def test_every_neighbour_is_equally_likely():
    star = torch.stack([torch.arange(1, 11), torch.zeros(10, dtype=torch.int64)])
    counts = np.zeros(11)
    for seed in range(2000):
        sampler = NeighborSampler(star, 11, [3], seed)
        counts[sampler._sample(torch.tensor([0])).node.numpy()[1:]] += 1
    # 600 expected each, standard deviation 20.5.
    assert np.abs(counts[1:] - 600).max() < 100


def test_senseless_requests_are_refused():
    data = graph()
    with pytest.raises(InputError, match="above 0 or -1"):
        NeighborSampler(data.edge_index, 80, [0])
    with pytest.raises(InputError, match=r"outside 0\.\.9"):
        NeighborSampler(data.edge_index, 10, [3])


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        (torch.tensor([1, 9999]), r"nodes\[1\] = 9999 names a protein outside 0\.\.79"),
        (torch.tensor([10_000_000]), "names a protein outside"),
        (torch.tensor([80]), "names a protein outside"),
        (torch.tensor([-1]), "-1 is a name that was not found, leave it out"),
        ([0, 80], "names a protein outside"),
        (torch.tensor([[0, 1]]), r"integers of shape \(n,\)"),
        (torch.tensor([0.5]), r"integers of shape \(n,\)"),
        (torch.ones(79, dtype=torch.bool), r"a mask over 80 proteins has shape \(79,\)"),
    ],
)
def test_proteins_outside_the_graph_are_refused_at_once(nodes, match):
    """They were written to beyond the ends of arrays, which ends the process or spoils others."""
    with pytest.raises(InputError, match=match):
        node_loader(graph(), nodes, [3])


def test_the_sampler_refuses_proteins_outside_the_graph():
    sampler = NeighborSampler(graph().edge_index, 80, [3])
    for wrong in (-1, 80, 9999):
        with pytest.raises(InputError, match="names a protein outside"):
            sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=torch.tensor([wrong])))


def test_masks_lists_and_all_proteins_are_asked_for():
    mask = torch.arange(80) % 2 == 0
    for nodes, wanted in ((mask, mask.nonzero()[:, 0]), ([5, 3], torch.tensor([5, 3]))):
        loader = node_loader(graph(), nodes, [3], batch_size=100)
        assert torch.equal(torch.cat([b.n_id[: b.batch_size] for b in loader]), wanted)
    assert sum(b.batch_size for b in node_loader(graph(), None, [3])) == 80


def test_a_split_of_another_graph_is_refused():
    with pytest.raises(InputError, match="a graph of 70 proteins and a split of 80"):
        link_loader(graph(nodes=70), make_split(graph(), "C1"), "valid", [3])


def test_a_loader_is_sent_to_started_workers_without_shared_memory():
    """Its generator was, and the memory gone: no batch came where workers are not forked."""
    loader = node_loader(graph(), None, [3], shuffle=True, seed=3)
    sent = bytes(ForkingPickler.dumps(loader.generator))
    assert b"torch.multiprocessing" not in sent
    again = pickle.loads(sent)
    assert torch.equal(torch.rand(3, generator=again), torch.rand(3, generator=loader.generator))


@pytest.mark.slow  # each worker imports torch
def test_started_workers_give_the_same_batches():
    found = []
    for workers in (0, 1):
        loader = node_loader(graph(), None, [3], shuffle=True, num_workers=workers)
        if workers:
            loader.multiprocessing_context = "spawn"
        found.append([batch.n_id for batch in loader])
    assert all(map(torch.equal, *found))


def test_edges_in_int32_keep_their_attributes():
    # As int32 the key of an edge among more than 46,340 proteins is that of another one.
    nodes, ends = 60_000, np.array([[59_000, 59_999], [1, 58_000], [2, 3], [4, 50_000]])
    both = np.concatenate([ends, ends[:, ::-1]]).T
    value = torch.arange(4.0).repeat(2)
    data = Data(edge_index=torch.from_numpy(both).int(), edge_attr=value[:, None], num_nodes=nodes)
    split = Split("random", nodes, ends, ends, [], [])
    of_edge = {tuple(sorted(pair)): number for number, pair in enumerate(ends.tolist())}
    seen = 0
    for batch in link_loader(data, split, "train", [-1], batch_size=3):
        found = batch.n_id[batch.edge_index].T.tolist()
        assert [of_edge[tuple(sorted(pair))] for pair in found] == batch.edge_attr[:, 0].tolist()
        seen += len(found)
    assert seen


@pytest.mark.parametrize("wrong", [2, [2.5], "22", [True], [], [0], np.array([2.0])])
def test_numbers_of_neighbours_are_whole(wrong):
    with pytest.raises(InputError, match="num_neighbors is a list of numbers"):
        node_loader(graph(), None, wrong)


def test_loaders_take_arrays_of_numbers_and_datasets():
    data = graph()
    batch = next(iter(node_loader([data], None, np.array([3, 2]), batch_size=4)))
    other = next(iter(node_loader(data, None, [3, 2], batch_size=4)))
    assert torch.equal(batch.n_id, other.n_id)


@pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"batch_size": 2.5}, {"num_workers": -1}])
def test_sizes_of_loaders_are_whole_numbers(sizes):
    with pytest.raises(InputError, match="must be a whole number from"):
        node_loader(graph(), None, [2], **sizes)
