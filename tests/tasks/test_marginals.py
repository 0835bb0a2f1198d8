"""Marginals and likelihoods against single plain passes of the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import EsmConfig, EsmForMaskedLM

from lcplm_graph.errors import CheckpointError, ConfigError, InputError
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.esm2 import Esm2MaskedLM
from lcplm_graph.models.masked_lm import load_masked_lm
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.tasks.marginals import (
    log_likelihood,
    masked_marginals,
    pseudo_perplexity,
    wild_type_marginals,
)
from lcplm_graph.tasks.parts import Parts
from lcplm_graph.tokens.vocabulary import MASK, encode_protein

SEQUENCE = "MKTAYIAKQRQISFVKSHFXSRQ"


@pytest.fixture(scope="module")
def lcplm() -> LcPlmEncoder:
    torch.manual_seed(0)
    config = LcPlmConfig(d_model=32, n_layer=2)
    return LcPlmEncoder(LcPlmForMaskedLM(config).eval(), "tiny", window=16).eval()


def tiny_esm(position: str = "rotary") -> EsmForMaskedLM:
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, pad_token_id=1, mask_token_id=32, token_dropout=True,
        position_embedding_type=position, max_position_embeddings=26,
    )  # fmt: skip
    return EsmForMaskedLM(config).eval()


@pytest.fixture(scope="module")
def esm2() -> Esm2MaskedLM:
    return Esm2MaskedLM(tiny_esm(), "esm2:tiny").eval()


def one_pass(lm, ids: np.ndarray, position: int) -> np.ndarray:
    """Log-probabilities at a token, by the model's own call on one unpadded sequence."""
    tokens = torch.from_numpy(ids)[None]
    with torch.no_grad():
        if isinstance(lm, Esm2MaskedLM):
            states = lm.model(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
            logits = lm.lm_head(states)
        else:
            logits = lm.model(tokens).logits
    return logits[0, position].log_softmax(-1)[4:29].numpy()


@pytest.mark.parametrize("name", ["lcplm", "esm2"])
@pytest.mark.parametrize("max_tokens", [1, 60, 4096])
def test_masked_marginals_are_single_masked_passes(name, max_tokens, request):
    lm = request.getfixturevalue(name)
    table = masked_marginals(lm, SEQUENCE, max_tokens=max_tokens)
    expected = []
    for i in range(len(SEQUENCE)):
        ids = encode_protein(SEQUENCE)
        ids[i + 1] = MASK
        expected.append(one_pass(lm, ids, i + 1))
    np.testing.assert_allclose(table, expected, atol=1e-5)
    some = masked_marginals(lm, SEQUENCE, [7, 2], max_tokens=max_tokens)
    np.testing.assert_allclose(some, table[[7, 2]], atol=1e-5)


@pytest.mark.parametrize("name", ["lcplm", "esm2"])
def test_wild_type_marginals_are_one_plain_pass(name, request):
    lm = request.getfixturevalue(name)
    ids = encode_protein(SEQUENCE)
    expected = [one_pass(lm, ids, i + 1) for i in range(len(SEQUENCE))]
    np.testing.assert_allclose(wild_type_marginals(lm, SEQUENCE), expected, atol=1e-5)


def test_likelihood_is_the_sum_over_own_residues(lcplm):
    table = masked_marginals(lcplm, SEQUENCE)
    columns = encode_protein(SEQUENCE)[1:-1] - 4
    total = table[np.arange(len(SEQUENCE)), columns].sum()
    assert log_likelihood(lcplm, SEQUENCE) == pytest.approx(total, abs=1e-4)
    assert pseudo_perplexity(lcplm, SEQUENCE) == pytest.approx(
        np.exp(-total / len(SEQUENCE)), rel=1e-5
    )
    assert log_likelihood(lcplm, SEQUENCE, masked=False) != pytest.approx(total, abs=1e-3)


def test_kept_parts_are_not_computed_again(lcplm, tmp_path, monkeypatch):
    parts = Parts(tmp_path / "out.tsv", "tiny")
    first = masked_marginals(lcplm, SEQUENCE, parts=parts)
    monkeypatch.setattr(lcplm, "logits", lambda packed: pytest.fail("computed again"))
    np.testing.assert_array_equal(masked_marginals(lcplm, SEQUENCE, parts=parts), first)
    assert Parts(tmp_path / "out.tsv", "other").get(SEQUENCE) is None


def test_wrong_input_is_named(lcplm):
    with pytest.raises(InputError, match="positions run from 0 to 22 .* got 3 to 23"):
        masked_marginals(lcplm, SEQUENCE, [3, 23])
    with pytest.raises(InputError, match="position 3 of the sequence is a gap"):
        log_likelihood(lcplm, "MK-T", masked=False)
    short = Esm2MaskedLM(tiny_esm("absolute"), "esm2:short")
    with pytest.raises(InputError, match="takes at most 22 residues, and the protein has 23"):
        masked_marginals(short, SEQUENCE)


def test_models_without_a_head_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="composition has no masked-LM head"):
        load_masked_lm("composition")
    model = tiny_esm()
    model.save_pretrained(tmp_path / "whole")
    loaded = load_masked_lm(f"esm2:{tmp_path / 'whole'}")
    np.testing.assert_allclose(
        wild_type_marginals(loaded, "MKT"),
        wild_type_marginals(Esm2MaskedLM(model, "esm2:tiny"), "MKT"),
        atol=1e-6,
    )
    model.esm.save_pretrained(tmp_path / "headless")
    with pytest.raises(CheckpointError, match="weights of ESM-2 are missing.*lm_head"):
        load_masked_lm(f"esm2:{tmp_path / 'headless'}")


@pytest.mark.slow
def test_a_long_protein_takes_the_memory_of_the_chunked_encoder():
    """35,000 residues: about as much as its states, far below what all layers would need."""
    import resource

    lm = load_masked_lm("lcplm-1m")
    wild_type_marginals(lm, "MKTAYIAKQR" * 800)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = wild_type_marginals(lm, "MKTAYIAKQR" * 3500)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert table.shape == (35_000, 25)
    assert grown < 400, f"{grown:.0f} MB"
