from __future__ import annotations

import pickle

import numba
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lcplm_graph.errors import InputError
from lcplm_graph.ops.random_walk import cpu
from lcplm_graph.splits.split import Split
from lcplm_graph.walks.sampler import WalkSampler


def make_split(n=60, edges=240, held_out=40, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(np.triu(np.ones((n, n)), 1))
    pairs = pairs[rng.permutation(len(pairs))[: edges + held_out]]
    message, held = pairs[:edges], pairs[edges:]
    weight = rng.uniform(0.1, 1, edges).astype(np.float32) if weighted else None
    return Split("random", n, message, message, held, np.ones(held_out), weight)


def keys(pairs, n):
    pairs = np.sort(np.asarray(pairs, np.int64), axis=-1)
    return pairs[..., 0] * n + pairs[..., 1]


@pytest.mark.parametrize("options", [{}, {"weighted": True}, {"p": 0.25, "q": 4.0}])
def test_walks_use_message_edges_only(options):
    split = make_split()
    walks = WalkSampler(split, 20, **options).walks(0, 2000)
    assert walks.dtype == np.int32
    assert walks.shape == (2000, 20)
    hops = np.stack([walks[:, :-1], walks[:, 1:]], axis=-1)[walks[:, 1:] >= 0]
    used = np.unique(keys(hops, 60))
    np.testing.assert_array_equal(used, np.unique(keys(split.message, 60)))


def test_held_out_edges_change_nothing():
    split = make_split()
    other = Split("random", 60, split.message, split.supervision, [], [], split.message_weight)
    one, two = (WalkSampler(s, 9, q=0.5, weighted=True, seed=3) for s in (split, other))
    np.testing.assert_array_equal(one.walks(0, 500), two.walks(0, 500))
    np.testing.assert_array_equal(one.hops(0, 500, 0.4)[0], two.hops(0, 500, 0.4)[0])


def test_negative_hops_avoid_supervision_edges_too():
    everything = make_split(n=20, edges=120, held_out=0)
    message, supervision = everything.message[::2], everything.message[1::2]
    split = Split("random", 20, message, supervision, [], [])
    nodes, negative = WalkSampler(split, 30).hops(0, 4000, 0.5)
    hops = np.stack([nodes[:, :-1], nodes[:, 1:]], axis=-1)
    jumped = negative[:, 1:] == 1
    walked = (nodes[:, 1:] >= 0) & ~jumped
    assert np.isin(keys(hops[walked], 20), keys(message, 20)).all()
    assert not np.isin(keys(hops[jumped], 20), keys(everything.message, 20)).any()
    assert (hops[jumped][:, 0] != hops[jumped][:, 1]).all()


def test_random_access_and_epochs():
    sampler = WalkSampler(make_split(), 7, seed=5)
    walks = sampler.walks(0, 180)
    np.testing.assert_array_equal(sampler[77], walks[77])
    np.testing.assert_array_equal(sampler.walks(33, 99), walks[33:99])
    for epoch in range(3):
        assert sorted(walks[epoch * 60 : (epoch + 1) * 60, 0]) == list(range(60))
    assert sampler.walks(5, 5).shape == (0, 7)
    np.testing.assert_array_equal(sampler.hops(0, 50, 0.0)[0], walks[:50])
    again = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(again.walks(0, 180), walks)
    assert "240 edges" in repr(sampler)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"length": 0}, "length"),
        ({"length": -2}, "length"),
        ({"p": 0.0}, "p must"),
        ({"q": -1.0}, "q must"),
        ({"q": float("nan")}, "q must"),
        ({"p": "1"}, "p must be a number, not '1'"),
        ({"split": make_split(weighted=False), "weighted": True}, "no edge weights"),
        ({"split": np.array([[0, 1], [1, 0]])}, "Split"),
        ({"split": None}, "held-out"),
    ],
)
def test_bad_input_is_refused(change, word):
    with pytest.raises(InputError, match=word):
        WalkSampler(**({"split": make_split(), "length": 5} | change))


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2)])
def test_bad_ranges_are_refused(start, stop):
    with pytest.raises(InputError, match="counted from 0"):
        WalkSampler(make_split(), 5).walks(start, stop)


class _Chunks(Dataset):
    """Ten requests, each long enough that the main process would use threads."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __len__(self):
        return 10

    def __getitem__(self, index):
        assert cpu.runs_serially()
        return torch.from_numpy(self.sampler.walks(300 * index, 300 * (index + 1)))


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_survive_a_parallel_region_of_their_parent(start):
    sampler = WalkSampler(make_split(), 8, p=0.25, q=4.0, weighted=True)
    assert not cpu.runs_serially()
    expected = sampler.walks(0, 3000)
    assert numba.threading_layer()  # raises unless a parallel region has run
    loader = DataLoader(
        _Chunks(sampler), batch_size=None, num_workers=2, multiprocessing_context=start, timeout=120
    )
    np.testing.assert_array_equal(torch.cat(list(loader)).numpy(), expected)
    # The parent's threads are as good as before.
    np.testing.assert_array_equal(sampler.walks(0, 3000), expected)
