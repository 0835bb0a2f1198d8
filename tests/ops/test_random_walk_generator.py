"""Quality of the counter-based generator and of the start order."""

from __future__ import annotations

import numpy as np
import pytest

from lcplm_graph.ops.random_walk.cpu import mix64, start_node, walk_stream
from lcplm_graph.ops.random_walk.reference import (
    GOLDEN,
    START,
    WALK,
    Stream,
    derive_key,
)
from lcplm_graph.ops.random_walk.reference import mix64 as plain_mix64
from lcplm_graph.ops.random_walk.reference import start_node as plain_start_node

BITS = np.arange(64, dtype=np.uint64)


def streams(key, indices, draws):
    """First numbers of many streams, uint64 (len(indices), draws)."""
    out = np.empty((len(indices), draws), np.uint64)
    for row, index in enumerate(indices):
        state, gamma = walk_stream(np.uint64(key), index)
        counters = np.uint64(state) + np.uint64(gamma) * np.arange(1, draws + 1, dtype=np.uint64)
        x = counters
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out[row] = x ^ (x >> np.uint64(31))
    return out


def unpack(words):
    return ((words[..., None] >> BITS) & np.uint64(1)).astype(np.int8)


def test_mix64_gives_the_published_splitmix64_numbers():
    # Output of Vigna's splitmix64.c for seed 0.
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    mask = (1 << 64) - 1
    assert [plain_mix64(GOLDEN * k & mask) for k in (1, 2, 3)] == expected
    assert [int(mix64(np.uint64(GOLDEN * k & mask))) for k in (1, 2, 3)] == expected


def test_plain_and_compiled_streams_agree():
    for seed in (0, 1, (1 << 64) - 1):
        key = derive_key(seed, WALK)
        for index in (0, 1, 5, 1 << 40, (1 << 63) - 1):
            stream = Stream(key, index)
            assert [stream.bits() for _ in range(3)] == streams(key, [index], 3)[0].tolist()


def test_gammas_are_odd_and_irregular_and_do_not_repeat():
    gammas = [Stream(derive_key(0, WALK), i).gamma for i in range(20_000)]
    assert len(set(gammas)) == len(gammas)
    assert all(g & 1 and (g ^ g >> 1).bit_count() >= 24 for g in gammas)


@pytest.mark.parametrize("axis", ["along a stream", "across streams"])
def test_bits_are_fair_and_uncorrelated(axis):
    key = derive_key(7, WALK)
    if axis == "along a stream":
        words = streams(key, [12345], 200_000)[0]
    else:
        words = streams(key, range(200_000), 1)[:, 0]
    bits = unpack(words)
    n = len(words)
    # 64 frequencies, and 64 correlations with the next word: 4.5 sigma is 1 in 1000 for all.
    assert abs(bits.mean(0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(n)
    agree = (bits[1:] == bits[:-1]).mean(0)
    assert abs(agree - 0.5).max() < 4.5 * 0.5 / np.sqrt(n - 1)
    for shift in (0, 24, 48, 56):
        counts = np.bincount((words >> np.uint64(shift)).astype(np.uint8), minlength=256)
        z = (((counts - n / 256) ** 2 / (n / 256)).sum() - 255) / np.sqrt(2 * 255)
        assert abs(z) < 3.5


def test_every_bit_of_seed_and_index_reaches_every_bit_of_the_output():
    flips = {"seed": np.zeros((64, 64)), "index": np.zeros((40, 64))}
    rounds = 400
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        seed, index = int(rng.integers(1 << 63)), int(rng.integers(1 << 40))
        base = Stream(derive_key(seed, WALK), index).bits()
        for bit in range(64):
            other = Stream(derive_key(seed ^ (1 << bit), WALK), index).bits()
            flips["seed"][bit] += unpack(np.uint64(base ^ other))
        for bit in range(40):
            other = Stream(derive_key(seed, WALK), index ^ (1 << bit)).bits()
            flips["index"][bit] += unpack(np.uint64(base ^ other))
    for counts in flips.values():
        assert abs(counts / rounds - 0.5).max() < 5 * 0.5 / np.sqrt(rounds)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 17, 64, 1000])
def test_every_epoch_starts_once_from_every_node(n):
    key = derive_key(3, START)
    epochs = [
        [start_node(np.uint64(key), e * n + i, n) for i in range(n)] for e in (0, 1, 2, 1 << 40)
    ]
    for epoch in epochs:
        assert sorted(epoch) == list(range(n))
    if n >= 17:
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs)
    assert [plain_start_node(key, i, n) for i in range(2 * n)] == epochs[0] + epochs[1]


def test_start_order_is_even():
    n, epochs = 23, 6000
    key = np.uint64(derive_key(1, START))
    order = np.array([start_node(key, i, n) for i in range(n * epochs)]).reshape(epochs, n)
    table = np.zeros((n, n))
    for place in range(n):
        table[place] = np.bincount(order[:, place], minlength=n)
    # Places against nodes has (n - 1) ** 2 degrees of freedom, for both margins are fixed.
    free = (n - 1) ** 2
    z = (((table - epochs / n) ** 2 / (epochs / n)).sum() - free) / np.sqrt(2 * free)
    assert abs(z) < 3.5
    follows = np.zeros((n, n))
    np.add.at(follows, (order[:, 0], order[:, 1]), 1)
    expected = epochs / (n * (n - 1))
    off = ~np.eye(n, dtype=bool)
    count = n * (n - 1)
    z = (((follows[off] - expected) ** 2 / expected).sum() - count + 1) / np.sqrt(2 * count)
    assert abs(z) < 3.5
