"""What a dataset is: proteins with sequences and a report; edges to split only if it has any."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from lcplm_graph.datasets.base import PPIDataset, ProteinDataset
from lcplm_graph.datasets.cache import Built, DiskCache, MemoryCache
from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.memory import MemoryPPI
from lcplm_graph.datasets.string import StringPPI
from lcplm_graph.errors import DataError, InputError
from lcplm_graph.proteins.store import SequenceStore


class Two(ProteinDataset):
    """Two proteins, and a count of how often they were built."""

    built = 0

    def build(self):
        type(self).built += 1
        store = SequenceStore.from_records(["a", "b"], ["MKT", "MV"])
        return Built(Data(protein_id=store.ids, num_nodes=2), store, {"proteins": 2})


def test_only_interaction_networks_have_edges_to_split():
    assert issubclass(StringPPI, PPIDataset) and issubclass(MemoryPPI, PPIDataset)
    for kind in (GOFunction, RemoteHomology):
        assert issubclass(kind, ProteinDataset)
        assert not issubclass(kind, PPIDataset) and not hasattr(kind, "split")


def test_disk_cache_is_built_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Two, "built", 0)
    for _ in range(2):
        dataset = Two(DiskCache(tmp_path, "two"))
        assert dataset[0].protein_id == dataset.sequences.ids == ["a", "b"]
        assert dataset.report == {"proteins": 2}
    assert Two.built == 1
    Two(DiskCache(tmp_path, "two"), force_reload=True)
    assert Two.built == 2
    (tmp_path / "processed" / "two" / "data.pt").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"data.pt: .*damaged .*force_reload=True"):
        Two(DiskCache(tmp_path, "two"))
    assert Two(DiskCache(tmp_path, "two"), force_reload=True)[0].num_nodes == 2


@pytest.mark.parametrize("content", ["", "[1]", "[" * 100_000, None])
def test_a_cache_that_does_not_tell_its_raw_files_is_built_again(tmp_path, content):
    cache, raw = DiskCache(tmp_path, "two"), tmp_path / "raw.tsv"
    built = Two(DiskCache(tmp_path, "one"))
    fill = lambda: cache.fill(built.build, [raw], again=False)  # noqa: E731
    raw.write_text("a")
    fill()
    sources = cache.folder / "sources.json"
    sources.unlink() if content is None else sources.write_text(content)
    before = Two.built
    fill()
    fill()
    assert Two.built == before + 1
    # Without raw files there is nothing that it could be made of.
    raw.unlink()
    sources.write_text("[1]")
    fill()
    assert Two.built == before + 1


def test_hooks_of_pyg(tmp_path):
    def mark(data):
        data.mark = torch.ones(2)
        return data

    assert Two(DiskCache(tmp_path, "pre"), pre_transform=mark)._data.mark.tolist() == [1, 1]
    late = Two(DiskCache(tmp_path, "post"), transform=mark)
    assert "mark" in late[0] and "mark" not in late._data
    with pytest.raises(InputError, match="pre_filter rejects"):
        Two(DiskCache(tmp_path, "none"), pre_filter=lambda data: False)


def test_memory_cache_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = SequenceStore.from_records(["a", "b"], ["MKT", "MV"])
    data = Data(protein_id=["a", "b"], num_nodes=2)
    dataset = Two(MemoryCache(Built(data, store, {"dropped": 1})))
    assert (dataset.sequences, dataset.report) == (store, {"dropped": 1})
    assert len(dataset.copy()) == 1 and dataset.copy().sequences is store
    assert not list(tmp_path.iterdir())
