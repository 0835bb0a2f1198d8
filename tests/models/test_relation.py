"""The relation decoder: symmetric, stored with the model, and what `score_pairs` says by it."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from lcplm_graph import LcPlmConfig, LcPlmForMaskedLM, LcPlmModel, load_encoder, score_pairs
from lcplm_graph.errors import ConfigError, LcPlmWarning
from lcplm_graph.io import forget_warnings
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.relation import RelationDecoder

PROTEINS = ["MKTAYIAKQRQISFVK", "GAVLIMFWPGGS", "MK", "STNQSTNQSTNQST"]
PAIRS = [(a, b) for a in PROTEINS for b in PROTEINS]


@pytest.fixture(scope="module")
def encoder() -> LcPlmEncoder:
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=2, pool="mean_std"))
    decoder = model.add_relation_decoder(8, 3)
    decoder.observe(torch.randn(50, 32) * 3 + 1)
    torch.nn.init.constant_(decoder.marker_weight, 0.5)
    return LcPlmEncoder(model.eval(), "toy").eval()


def test_statistics_are_those_of_what_was_seen() -> None:
    decoder = RelationDecoder(4, channels=2)
    first, second = torch.randn(40, 4) * 2 + 3, torch.randn(40, 4)
    decoder.observe(first)
    torch.testing.assert_close(decoder.mean, first.mean(0))
    torch.testing.assert_close(decoder.variance, first.var(0, unbiased=False))
    decoder.observe(second, 0.5)
    both = torch.cat([first, second])
    torch.testing.assert_close(decoder.mean, both.mean(0))
    torch.testing.assert_close(decoder.variance, both.var(0, unbiased=False))


@pytest.mark.parametrize("by", [None, "decoder", "stream", "marker"])
def test_a_pair_has_one_score_in_any_order_and_batch(encoder, by) -> None:
    scores = score_pairs(encoder, PAIRS, by=by, max_tokens=64)
    mirrored = score_pairs(encoder, [pair[::-1] for pair in PAIRS], by=by)
    torch.testing.assert_close(scores, mirrored, atol=1e-5, rtol=0)
    alone = torch.cat([score_pairs(encoder, [pair], by=by) for pair in PAIRS])
    torch.testing.assert_close(scores, alone, atol=1e-5, rtol=0)
    assert scores.std() > 1e-4


def test_ways_differ_and_the_decoder_is_the_default(encoder) -> None:
    told = {by: score_pairs(encoder, PAIRS, by=by) for by in (None, "decoder", "stream", "marker")}
    assert torch.equal(told[None], told["decoder"])
    assert not torch.allclose(told["decoder"], told["stream"], atol=1e-3)
    assert not torch.allclose(told["stream"], told["marker"], atol=1e-3)


def test_decoder_reads_the_pooled_states(encoder) -> None:
    pooled = encoder.embed(PROTEINS, "mean_std")
    decoder = encoder.model.relation
    with torch.inference_mode():
        h = decoder.embed(pooled)
        expected = torch.stack([decoder(h[:, i : i + 1], h) for i in range(4)]).flatten()
    torch.testing.assert_close(score_pairs(encoder, PAIRS), expected, atol=1e-5, rtol=0)


def test_proteins_unlike_those_it_was_trained_on_are_counted_and_named(encoder) -> None:
    forget_warnings()
    odd = copy.deepcopy(encoder)
    odd.model.relation.mean += 1e3
    with pytest.warns(LcPlmWarning, match="4 of 4 proteins .* example MKT.*; their scores mean"):
        score_pairs(odd, PAIRS)
    odd.model.relation.observe(odd.embed(PROTEINS, "mean_std"))
    forget_warnings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score_pairs(odd, PAIRS)


def test_it_is_stored_with_the_model(encoder, tmp_path) -> None:
    encoder.model.save_pretrained(tmp_path)
    again = load_encoder(tmp_path)
    assert torch.equal(score_pairs(encoder, PAIRS), score_pairs(again, PAIRS))
    alone = LcPlmModel.from_pretrained(tmp_path)
    assert not any("relation" in key for key in alone.state_dict())


def test_without_one_the_marker_speaks() -> None:
    plain = load_encoder("random:1m")
    assert torch.equal(score_pairs(plain, PAIRS[:2]), score_pairs(plain, PAIRS[:2], by="marker"))
    with pytest.raises(ConfigError, match="has no relation decoder"):
        score_pairs(plain, PAIRS, by="decoder")
    with pytest.raises(ConfigError, match="not a way to score pairs"):
        score_pairs(plain, PAIRS, by="guess")
    with pytest.raises(ConfigError, match="no masked-LM head"):
        score_pairs(load_encoder("composition"), PAIRS)


def test_no_pairs(encoder) -> None:
    assert score_pairs(encoder, []).shape == (0,)
