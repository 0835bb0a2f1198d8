"""What every encoder keeps to."""

from abc import ABC, abstractmethod

import numpy as np
import pytest
import torch

from lcplm_graph.errors import ConfigError, SequenceError
from lcplm_graph.models.encoder import Encoder
from lcplm_graph.models.pooling import POOLS, pooled_dim

PROTEINS = ["MKTAYIAKQRQISFVK", "M", "GAVLIM", "MSDNEMSDNEMSDNEMSDNE", "ACDX"]


class EncoderCase(ABC):
    """Values that depend on the protein alone, and a fingerprint that tells encoders apart."""

    @pytest.fixture
    @abstractmethod
    def make(self):
        """A function that makes the same encoder at every call."""

    @pytest.fixture
    def encoder(self, make):
        return make()

    def test_it_says_what_it_is(self, encoder):
        assert isinstance(encoder, Encoder)
        assert isinstance(encoder.name, str) and encoder.name
        assert encoder.dim > 0
        assert encoder.max_length is None or encoder.max_length > 0

    def test_a_state_for_every_token(self, encoder):
        packed = encoder.tokenize(PROTEINS)
        with torch.no_grad():
            states = encoder.encode(packed.to(encoder.device))
        assert states.shape == (len(packed.input_ids), encoder.dim)
        assert states.dtype == torch.float32
        assert bool(states.isfinite().all())

    @pytest.mark.parametrize("pool", POOLS)
    def test_a_protein_does_not_depend_on_its_batch_mates(self, encoder, pool):
        if pool not in encoder.pools:
            with pytest.raises(ConfigError, match=f"pooling {pool} has no meaning"):
                encoder.embed(PROTEINS, pool)
            return
        together = encoder.embed(PROTEINS, pool, max_tokens=30)
        alone = torch.cat([encoder.embed([protein], pool) for protein in PROTEINS])
        assert together.shape == (len(PROTEINS), pooled_dim(encoder.dim, pool))
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)

    def test_the_order_given_is_the_order_returned(self, encoder):
        forward, backward = encoder.embed(PROTEINS), encoder.embed(PROTEINS[::-1])
        torch.testing.assert_close(forward, backward.flip(0), rtol=1e-4, atol=1e-5)
        assert (forward[0] - forward[2]).abs().max() > 0

    def test_the_mean_is_over_residues_only(self, encoder):
        packed = encoder.tokenize(PROTEINS[:1])
        with torch.no_grad():
            residues = encoder.encode(packed.to(encoder.device))[1:-1]
        mean = encoder.embed(PROTEINS[:1], "mean")[0]
        torch.testing.assert_close(mean, residues.mean(0).cpu(), rtol=1e-4, atol=1e-5)

    def test_its_fingerprint_is_a_fact_and_not_a_number_of_this_process(self, make):
        first, second = make().fingerprint(), make().fingerprint()
        assert first == second
        assert len(first) == 64

    def test_what_is_no_protein_is_refused(self, encoder):
        for wrong in ("", "MK1T"):
            with pytest.raises(SequenceError):
                encoder.embed(["MKT", wrong])

    def test_the_pairs_it_saw_are_sorted_hashes_or_none(self, encoder):
        seen = encoder.seen_edges()
        if seen is not None:
            assert seen.dtype == np.uint64
            assert (np.diff(seen) > 0).all()
