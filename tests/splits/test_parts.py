"""Parts by name and number, one default kind, and splits that later releases make again."""

import inspect
import warnings
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.errors import InputError
from lcplm_graph.splits import DEFAULT_KIND
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.parts import PARTS, Part, random_parts
from lcplm_graph.training.options import Stage2Options

# Made by version 0.1; a fingerprint that was kept must stay the same.
FINGERPRINTS = {
    "random": "00fed91e5f167400",
    "C1": "e0687c0e94ad45f1",
    "C2": "713b4fc66b3dc497",
    "C3": "6523adfc1c31c869",
    "node": "1586bc746d093fc5",
    "species": "6a42733d6f629706",
    "temporal": "dbc14772cdc54cec",
}


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(0)
    pairs = np.unique(np.sort(rng.integers(0, 120, (600, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return Data(
        edge_index=torch.from_numpy(np.concatenate([pairs, pairs[:, ::-1]]).T.copy()),
        num_nodes=120,
        edge_weight=torch.from_numpy(rng.random(len(pairs)).astype(np.float32)).repeat(2),
        taxon=torch.from_numpy(np.arange(120) // 20),
        edge_time=torch.from_numpy(rng.integers(2000, 2024, len(pairs))).repeat(2),
    )


@pytest.mark.parametrize("kind", FINGERPRINTS)
def test_fingerprints_are_those_of_the_first_version(graph, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split = make_split(graph, kind, seed=7, disjoint=0.3)
    assert split.fingerprint.startswith(FINGERPRINTS[kind])
    assert split.held_out_part.dtype == np.int8


def test_the_default_kind_is_one_and_leaks_no_protein(graph):
    defaults = {f.name: f.default for f in fields(Stage2Options)}
    assert defaults["split"] == DEFAULT_KIND
    for function in (make_split, PPIDataset.split):
        assert inspect.signature(function).parameters["kind"].default == DEFAULT_KIND
    split = make_split(graph)
    assert not np.isin(split.held_out, split.train).any()


def test_parts_have_one_number_and_one_name(graph):
    assert [part.label for part in PARTS] == ["train", "valid", "test"]
    assert [part.mask for part in PARTS] == ["train_mask", "val_mask", "test_mask"]
    split = make_split(graph)
    for part in PARTS:
        assert Part.of(part) is Part.of(part.label) is part
        assert np.array_equal(split.positives(part), split.positives(part.label))
        assert np.array_equal(split.negatives(part), split.negatives(part.label))
    with pytest.raises(InputError, match="no part 'val'; choose one of train, valid, test"):
        split.positives("val")


def test_random_parts_leave_out_what_is_no_candidate():
    candidates = np.arange(40) % 4 != 0
    part = random_parts(candidates, np.arange(40), 0.2, 0.3, seed=0)
    assert (part[~candidates] == Part.NOWHERE).all()
    assert [int((part == one).sum()) for one in PARTS] == [15, 6, 9]
