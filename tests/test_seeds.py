"""Every door that takes a seed refuses what is none, by one rule."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from lcplm_graph.contacts import ContactsOptions
from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.errors import ConfigError, UnknownNameError
from lcplm_graph.evaluation.bootstrap import bootstrap_mean
from lcplm_graph.evaluation.comparison import over_items
from lcplm_graph.evaluation.probe import fit_probe
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.finetuning.options import FinetuneOptions
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.loaders import NeighborSampler
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.seeds import derived_seed
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split
from lcplm_graph.stage1 import Stage1Options
from lcplm_graph.training.fit_decoder import fit_decoder, new_decoder
from lcplm_graph.training.options import Stage2Options
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

PAIRS = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
SPLIT = Split("random", 6, PAIRS, PAIRS, [[3, 4], [4, 5]], [0, 1])
STORE = SequenceStore.from_records(list("abcdef"), ["MKTAYIAKQR" * 3] * 6)
X, Y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2


def stream(seed):
    return WalkStream(WalkSampler(SPLIT, 2), STORE, max_tokens=200, seed=seed)


DOORS = {
    "WalkSampler": lambda seed: WalkSampler(SPLIT, 2, seed=seed),
    "WalkStream": stream,
    "AddProteinFeatures": lambda seed: AddProteinFeatures("composition", seed=seed),
    "NeighborSampler": lambda seed: NeighborSampler(torch.tensor([[0], [1]]), 2, [1], seed),
    "FitOptions": lambda seed: FitOptions(seed=seed),
    "bootstrap": lambda seed: bootstrap_mean(X[:, 0], resamples=5, seed=seed),
    "comparison": lambda seed: over_items(5, resamples=2, seed=seed)(lambda *drawn: 0.0),
    "probe": lambda seed: fit_probe(X, Y, seed=seed),
    "negatives": lambda seed: SPLIT.negatives("test", seed=seed),
    "GOFunction": lambda seed: GOFunction(annotations="a", ontology="b", seed=seed),
    "stage 1": lambda seed: Stage1Options(corpus="a", out="b", steps=1, seed=seed),
    "stage 1, split": lambda seed: Stage1Options(corpus="a", out="b", steps=1, split_seed=seed),
    "stage 2": lambda seed: Stage2Options(graph="a", out="b", steps=1, seed=seed),
    "stage 2, split": lambda seed: Stage2Options(graph="a", out="b", steps=1, split_seed=seed),
    "fine-tuning": lambda seed: FinetuneOptions(table="a", out="b", seed=seed),
    "splits": lambda seed: make_split(
        graph(PAIRS, 6), kind="random", seed=seed
    ),
}  # fmt: skip


def graph(pairs, nodes):
    index = torch.from_numpy(np.concatenate([pairs, pairs[:, ::-1]]).T.copy())
    return Data(edge_index=index, num_nodes=nodes)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, "1", None, np.nan])
@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_seed_is_refused(door, seed):
    if seed is None and door == "WalkStream":
        pytest.skip("that of the sampler")
    with pytest.raises(ConfigError, match="a seed is a whole number"):
        DOORS[door](seed)


@pytest.mark.parametrize("seed", ["-1", "1.5", "", "9" * 40, "1:2", "x"])
def test_seeds_of_random_encoders(seed):
    with pytest.raises(UnknownNameError, match="the seed a whole number"):
        load_encoder(f"random:1m:{seed}")


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"lr": float("nan")},
        {"lr": 0.0},
        {"weight_decay": -1.0},
        {"isolate": 2.0},
        {"lr": float("inf")},
        {"weight_decay": float("nan")},
        {"batch_size": 0},
    ],
)
def test_options_of_a_fit_that_make_no_sense(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FitOptions(**wrong)


@pytest.mark.parametrize("name", ["lr", "weight_decay", "relation_weight", "pair_weight", "clip"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_numbers_of_a_run_that_make_no_sense(name, value):
    with pytest.raises(ConfigError, match=name):
        Stage2Options(**{"graph": "a", "out": "b", "steps": 1, name: value})


@pytest.mark.parametrize("name", ["lr", "head_lr", "weight_decay", "clip", "checkpoint_minutes"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_numbers_of_fine_tuning_that_make_no_sense(name, value):
    with pytest.raises(ConfigError, match=rf"{name} must be"):
        FinetuneOptions(**{"table": "a", "out": "b", name: value})


@pytest.mark.parametrize("name", ["least_separation", "top", "max_tokens"])
@pytest.mark.parametrize("value", [-1, 0, 10**20])
def test_numbers_of_contacts_that_make_no_sense(name, value):
    with pytest.raises(ConfigError, match="give a whole number from 1"):
        ContactsOptions(**{"out": "b.tsv", name: value})


@pytest.mark.parametrize("seed", [10**13, 2**62, 2**63 - 1])
def test_large_seeds_serve_for_what_is_made_of_several(seed):
    x = torch.rand(30, 4, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    pairs = np.array(list(itertools.combinations(range(30), 2)))[rng.permutation(435)[:150]]
    split = make_split(graph(pairs, 30), "random")
    options = FitOptions(steps=2, batch_size=8, seed=seed)
    model = LinkModel.fit(x, split, members=4, options=options)
    assert np.isfinite(model.judged(x, split, seed=seed, draws=2).calibration.slope).all()
    decoder = fit_decoder(new_decoder(4, seed), x, split, steps=1, seed=seed)
    assert all(torch.isfinite(parameter).all() for parameter in decoder.parameters())


def test_small_seeds_give_what_published_tables_rest_on():
    assert [derived_seed(3, 4, n) for n in range(4)] == [12, 13, 14, 15]
    assert derived_seed(1, 1_000_003, 2) == 1_000_005
    assert derived_seed(5, 1, 1) == 6
