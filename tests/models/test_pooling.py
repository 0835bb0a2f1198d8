"""Pooling: what each block of numbers is, and which tokens count."""

import numpy as np
import pytest
import torch

from lcplm_graph.models.pooling import NUM_PARTS, pool_residues
from lcplm_graph.tokens.packing import pack, tokenize
from lcplm_graph.tokens.vocabulary import EDGE, MASK, encode_residues, pair_walk


def states_of(packed):
    return torch.randn(len(packed.input_ids), 3, generator=torch.Generator().manual_seed(0))


def test_blocks_stand_in_the_order_of_their_name():
    """Saved heads read them by place: mean, (population) deviation, largest, least, parts."""
    packed = tokenize(["MKTAYIAKQRQISFVKSHFSRQ", "GAVLIMFW"])
    states = states_of(packed)
    for pool, count in (("mean_std", 2), ("mean_std_max_min", 4), ("mean_std_max_min_parts", 12)):
        found = pool_residues(states, packed, pool).reshape(2, count, 3).numpy()
        for blocks, begin, end in zip(found, (1, 25), (23, 33), strict=True):
            own = states[begin:end].numpy()
            parts = np.array_split(own, NUM_PARTS) if len(own) == NUM_PARTS else []
            wanted = [own.mean(0), own.std(0), own.max(0), own.min(0), *[p[0] for p in parts]]
            np.testing.assert_allclose(blocks[: len(wanted)], wanted[:count], rtol=1e-5, atol=1e-6)


def test_a_masked_residue_is_one_and_a_masked_relation_is_none():
    masked = tokenize(["MK<mask>T"])
    states = states_of(masked)
    assert pool_residues(states, masked)[0].tolist() == pytest.approx(states[1:5].mean(0).tolist())
    left, right = encode_residues("MKT"), encode_residues("GA")
    places = [2, 3, 4, 8, 9]
    for marker in (EDGE, MASK):
        walk = pack([pair_walk(left, right, marker)])
        states = states_of(walk)
        found = pool_residues(states, walk)[0]
        assert found.tolist() == pytest.approx(states[places].mean(0).tolist())
