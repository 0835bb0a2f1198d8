from __future__ import annotations

import numpy as np
import pytest
import torch

from lcplm_graph.errors import InputError
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.vocabulary import CLS, EOS, encode_residues
from lcplm_graph.training import windows
from lcplm_graph.training.data import BatchStream
from lcplm_graph.training.windows import CorpusBatches, pack_bins


@pytest.fixture(scope="module")
def store() -> SequenceStore:
    rng = np.random.default_rng(1)
    letters = np.array(list("LAGVSERTIDPKQNFYMHWC"))
    texts = ["".join(rng.choice(letters, int(n))) for n in rng.integers(10, 120, 700)]
    return SequenceStore.from_records([f"p{i}" for i in range(700)], texts)


def _batches(store: SequenceStore, seed: int = 0, **options) -> CorpusBatches:
    mask = np.ones(len(store), bool)
    mask[::50] = False
    return CorpusBatches(store, mask, **{"max_tokens": 256, "seed": seed, **options})


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK", 16)
    monkeypatch.setattr(windows, "BLOCKS_PER_WINDOW", 4)


def test_bins_hold_the_budget_and_are_nearly_full() -> None:
    sizes = np.random.default_rng(0).integers(10, 600, 5000)
    bins = pack_bins(sizes, 2048)
    filled = np.bincount(bins, sizes)
    assert filled.max() <= 2048
    assert (np.bincount(bins) > 0).all()
    assert filled.mean() / 2048 > 0.97
    assert pack_bins(np.array([2048, 1, 2047]), 2048).tolist() == [0, 1, 1]


def test_every_training_protein_once_an_epoch(store) -> None:
    batches = _batches(store)
    order = []
    for epoch in range(2):
        first = sum(batches.batches_in(e) for e in range(epoch))
        rows = [batches.rows(first + k) for k in range(batches.batches_in(epoch))]
        assert {e for _, e in rows} == {epoch}
        seen = np.concatenate([r.ravel() for r, _ in rows])
        assert sorted(seen.tolist()) == np.flatnonzero(batches.is_training).tolist()
        order.append(seen)
    assert not np.array_equal(order[0], order[1])


def test_batch_is_a_function_of_seed_and_number(store) -> None:
    one, other = _batches(store), _batches(store)
    other.batch(3)
    later = other.batch(60)  # asked out of order, from another object
    first = [one.batch(k) for k in range(61)]
    for a, b in zip(first[60][:3], later[:3], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(_batches(store, seed=1).batch(0).input_ids, first[0].input_ids)
    for batch in first:
        assert len(batch.input_ids) <= 256


def test_tokens_are_the_proteins_but_for_the_masks(store) -> None:
    batches = _batches(store)
    batch = batches.batch(5)
    rows, _ = batches.rows(5)
    whole = torch.where(batch.labels != IGNORE, batch.labels, batch.input_ids)
    for row, a, b in zip(rows.ravel(), batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True):
        stream = whole[a:b].tolist()
        assert stream == [CLS, *encode_residues(store[int(row)]).tolist(), EOS]


def test_long_proteins_are_cropped_to_other_windows_each_epoch() -> None:
    text = "".join(np.random.default_rng(0).choice(list("LAGVSERTIDPKQNFYMHWC"), 500))
    store = SequenceStore.from_records(["long"], [text])
    with pytest.warns(UserWarning, match="1 of 1 proteins are longer than 50"):
        batches = CorpusBatches(store, np.ones(1, bool), max_tokens=256, max_length=50)
    whole = [
        torch.where(b.labels != IGNORE, b.labels, b.input_ids)[1:-1]
        for b in (batches.batch(k) for k in range(4))
    ]
    residues = encode_residues(text).tolist()
    starts = set()
    for part in whole:
        hits = [i for i in range(451) if residues[i : i + 50] == part.tolist()]
        assert len(hits) == 1
        starts.add(hits[0])
    assert len(starts) > 1


def test_ranks_and_restarts_deal_out_every_batch_once(store) -> None:
    source = _batches(store)

    def indices(first: int, stride: int, count: int) -> list[int]:
        stream = iter(BatchStream(source, first, stride))
        return [next(stream).number for _ in range(count)]

    two_ranks = sorted(indices(0, 2, 10) + indices(1, 2, 10))
    assert two_ranks == list(range(20))
    assert indices(0, 2, 4) + indices(8, 2, 6) == indices(0, 2, 10)


def test_budget_too_small(store) -> None:
    with pytest.raises(InputError, match="give at least 10 tokens"):
        _batches(store, max_tokens=9)
    with pytest.raises(InputError, match="no protein is left"):
        CorpusBatches(store, np.zeros(len(store), bool), max_tokens=64)
