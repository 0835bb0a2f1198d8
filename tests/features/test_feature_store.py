"""The feature cache: hits, doubles, concurrency, damage, refusals."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.features.store import FeatureStore, cached_embeddings, check_features
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.proteins.digests import wide_digests


def made(seed, n=5, width=3):
    names = [f"S{seed}{'A' * i}" for i in range(n)]
    return wide_digests(names), np.random.default_rng(seed).normal(size=(n, width))


def test_many_writers_lose_nothing_and_shards_stay_few(tmp_path):
    parts = [made(seed) for seed in range(60)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda p: FeatureStore("k", 3, tmp_path).add(*p), parts))
    store = FeatureStore("k", 3, tmp_path)
    for digests, values in parts:
        found, got = store.get(digests)
        assert found.all()
        np.testing.assert_allclose(got, values, rtol=1e-6)
    assert len(store._shards()) < 20
    assert not FeatureStore("other", 3, tmp_path).get(parts[0][0])[0].any()


def test_embeddings_come_from_the_cache_the_second_time(tmp_path, monkeypatch):
    encoder = load_encoder("composition")
    sequences = ["MKTAYIAK", "GGGG", "MKTAYIAK"]
    first = cached_embeddings(encoder, sequences, root=tmp_path)
    torch.testing.assert_close(first, encoder.embed(sequences))
    asked = []
    original = encoder.embed
    monkeypatch.setattr(
        encoder, "embed", lambda s, *a, **k: (asked.extend(s), original(s, *a, **k))[1]
    )
    again = cached_embeddings(encoder, [*sequences, "WWW"], root=tmp_path)
    assert asked == ["WWW"]
    assert torch.equal(again[:3], first)


def test_damage_and_width_are_said(tmp_path):
    digests, values = made(0)
    store = FeatureStore("k", 3, tmp_path)
    store.add(digests, values)
    with pytest.raises(DataError, match="do not fit the encoder's width 4; delete"):
        FeatureStore("k", 4, tmp_path).get(digests)
    with pytest.raises(InputError, match="do not fit a cache"):
        store.add(digests, values[:, :2])
    (shard,) = store._shards()
    shard.write_bytes(shard.read_bytes()[:40])
    with pytest.raises(DataError, match="damaged"):
        store.get(digests)


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "NaN"), (np.inf, "infinite"), (0.0, "nothing but zeros")]
)
def test_features_that_carry_nothing_are_refused(tmp_path, value, what):
    values = np.ones((4, 3), np.float32)
    values[2] = value
    with pytest.raises(InputError, match=what):
        check_features(values)
    with pytest.raises(InputError, match="of 1 of 4 proteins.*of 'c'"):
        check_features(values, ["a", "b", "c", "d"])
    with pytest.raises(InputError, match=what):
        FeatureStore("k", 3, tmp_path).add(wide_digests(list("ABCD")), values)
