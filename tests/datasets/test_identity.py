"""What a transform made is never taken for what another makes, and what is stored can be read."""

import os
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric.data import Data

from lcplm_graph.datasets import cache
from lcplm_graph.datasets.identity import transform_identity
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.datasets.string import StringPPI
from lcplm_graph.errors import InputError, LcPlmWarning
from lcplm_graph.heads.loaders import link_loader, node_loader
from lcplm_graph.io import forget_warnings
from lcplm_graph.proteins.store import SequenceStore


class Mark(T.BaseTransform):
    def __init__(self, k):
        self.k = k

    def forward(self, data):
        data.k = torch.tensor(self.k)
        return data


@pytest.fixture
def load(tmp_path):
    (tmp_path / "p.tsv").write_text("a\tb\t1\nb\tc\t1\nc\td\t1\na\td\t1\na\te\t0\n")
    (tmp_path / "p.fasta").write_text(">a\nMKT\n>b\nMVL\n>c\nMGA\n>d\nMGG\n>e\nMEE\n")
    forget_warnings()
    return lambda **hooks: PairPPI(
        tmp_path / "p.tsv", tmp_path / "p.fasta", root=tmp_path / "kept", **hooks
    )


def test_a_transform_of_a_package_is_kept_under_its_content(load, monkeypatch):
    lengths = (2, 3, 2, 5)
    widths = [load(pre_transform=T.AddRandomWalkPE(k))[0].random_walk_pe.shape[1] for k in lengths]
    assert widths == [2, 3, 2, 5]
    monkeypatch.setattr(PairPPI, "build", lambda self: pytest.fail("built again"))
    for k in lengths:
        assert load(pre_transform=T.AddRandomWalkPE(k))[0].random_walk_pe.shape[1] == k
    assert transform_identity(T.AddRandomWalkPE(2)) == transform_identity(T.AddRandomWalkPE(2))
    both = T.Compose([T.ToUndirected(), T.Constant(1.0)])
    assert transform_identity(both) not in (None, transform_identity(T.Constant(1.0)))


def test_code_of_ones_own_is_not_kept_and_never_another_ones(load, tmp_path):
    def closure(k):
        def pre(data):
            data.k = torch.tensor(k)
            return data

        return pre

    with pytest.warns(LcPlmWarning, match="code of your own in pre_transform may change"):
        assert [int(load(pre_transform=closure(k))[0].k) for k in range(4)] == [0, 1, 2, 3]
    assert [int(load(pre_transform=Mark(k))[0].k) for k in (1, 2)] == [1, 2]
    assert [int(load(pre_transform=T.Compose([Mark(k)]))[0].k) for k in (1, 2)] == [1, 2]
    assert load(pre_filter=lambda data: True)[0].num_nodes == 5
    for returned in (None, []):
        with pytest.raises(InputError, match=r"pre_transform returned \w+, not a graph"):
            load(pre_transform=lambda data: returned)  # noqa: B023
    with pytest.raises(InputError, match="pre_filter rejects"):
        load(pre_filter=lambda data: False)
    assert not hasattr(load()[0], "k")
    import gc

    gc.collect()
    assert not list((tmp_path / "kept" / "processed").glob("*not-kept/data.pt"))


def test_what_can_be_stored_is_read_back_and_what_cannot_is_named(load):
    arrays = {
        "array": np.array([3, 3]),
        "floats": np.ones((2, 2), np.float32),
        "names": np.array(["a", "bc"]),
        "number": np.float64(2.5),
        "nested": {"a": [1, "b", None]},
    }
    for again in (False, True):
        data = load(force_reload=again, pre_transform=lambda d: d.update(dict(arrays)))[0]
        for key, value in arrays.items():
            np.testing.assert_equal(data[key], value)
    for wrong in (object(), lambda: 0, {1, 2} and Mark(1), np.array([object()], dtype=object)):
        with pytest.raises(InputError, match=r"`odd` of the graph is of type \w+, which cannot"):
            load(pre_transform=lambda d, wrong=wrong: d.update({"odd": wrong}))


def test_sequences_follow_the_nodes_that_are_left(load):
    kept = load(pre_transform=T.RemoveIsolatedNodes())
    assert kept[0].protein_id == kept.sequences.ids == ["a", "b", "c", "d"]


def test_our_loaders_give_each_batch_its_names():
    dataset = StringPPI("string_human_core")
    data, split = dataset[0], dataset.split("random", seed=0)
    loaders = (
        node_loader(data, torch.arange(5), [2], batch_size=2),
        link_loader(data, split, "train", [2], batch_size=2),
    )
    for loader in loaders:
        batch = next(iter(loader))
        assert batch.protein_id == [data.protein_id[i] for i in batch.n_id]


def test_a_file_edited_in_place_is_read_again_also_with_its_old_time(load, tmp_path):
    assert load().sequences[0] == "MKT"
    fasta = tmp_path / "p.fasta"
    before = fasta.stat()
    with fasta.open("r+") as file:
        file.write(">a\nMKW\n")
    os.utime(fasta, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fasta.stat().st_size == before.st_size
    assert load().sequences[0] == "MKW"


@pytest.mark.parametrize("at", ["write_json", "_save"])
def test_a_kill_while_replaced_files_are_read_leaves_nothing_stale(tmp_path, monkeypatch, at):
    def build():
        made = Data(num_nodes=1, text=raw.read_text())
        return cache.Built(made, SequenceStore.from_records(["a"], ["MKT"]), {})

    raw, kept = tmp_path / "raw", cache.DiskCache(tmp_path, "x")
    raw.write_text("old")
    kept.fill(build, [raw], again=False)
    raw.write_text("newer")
    with monkeypatch.context() as patched:
        patched.setattr(cache, at, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            kept.fill(build, [raw], again=False)
    kept.fill(build, [raw], again=False)
    assert kept.graph().text == "newer"
