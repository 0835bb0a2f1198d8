"""The encoder: sharing, layouts, gradients, options, and what it refuses."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lcplm_graph.errors import ConfigError, InputError, LcPlmWarning, UnknownNameError
from lcplm_graph.io import forget_warnings
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import LcPlmForMaskedLM, LcPlmModel
from lcplm_graph.tokens.masking import mask_tokens
from lcplm_graph.tokens.packing import PackedTokens, pack, pad, tokenize

PROTEINS = ["MKTAYIAKQRQISFVKSHFSRQ", "M", "GAVLIM", "MSDNE" * 9]


def tiny(**options) -> LcPlmForMaskedLM:
    torch.manual_seed(0)
    config = LcPlmConfig(**{"d_model": 32, "n_layer": 2, **options})
    model = LcPlmForMaskedLM(config).eval()
    with torch.no_grad():
        # Perturbed, so that no parameter sits at a value where a mistake is invisible.
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@cache
def shared_tiny() -> LcPlmForMaskedLM:
    """One model for tests that run many times and change nothing."""
    return tiny()


def logits_of(model: LcPlmForMaskedLM, packed: PackedTokens, **options) -> torch.Tensor:
    with torch.no_grad():
        return model(packed.input_ids, cu_seqlens=packed.cu_seqlens, **options).logits


def test_published_size_proves_the_sharing() -> None:
    with torch.device("meta"):
        model = LcPlmForMaskedLM(LcPlmConfig())
    assert sum(p.numel() for p in model.parameters()) == 752_788_992


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "tiny"])
def test_presets_have_about_the_size_of_their_name(preset: str) -> None:
    with torch.device("meta"):
        model = LcPlmForMaskedLM(LcPlmConfig.from_preset(preset))
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    named = 1400 if preset == "1b4" else float(preset[:-1])
    assert 0.7 < millions / named < 1.1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    mates=st.lists(st.text("ACDEFGHIKLMNPQRSTVWYXBZ", min_size=1, max_size=40), max_size=4),
    position=st.integers(0, 4),
    left=st.booleans(),
    pad_id=st.integers(0, 127),
)
def test_a_proteins_states_do_not_depend_on_its_batch(mates, position, left, pad_id) -> None:
    model, protein = shared_tiny(), "MKTAYIAKQRQISF"
    alone = logits_of(model, tokenize([protein]))
    batch = [*mates[:position], protein, *mates[position:]]
    row = min(position, len(mates))
    packed = tokenize(batch)
    begin, end = packed.cu_seqlens[row], packed.cu_seqlens[row + 1]
    assert (logits_of(model, packed)[begin:end] - alone).abs().max() <= 1e-5
    ids, mask = pad(packed, left=left, pad_id=pad_id)
    with torch.no_grad():
        padded = model(ids, mask).logits[row][mask[row].bool()]
    assert (padded - alone).abs().max() <= 1e-5


@pytest.mark.parametrize(
    "options",
    [{}, {"share_projections": False}, {"bidirectional": False}, {"tie_embeddings": True}],
)
def test_packed_gradient_is_the_sum_of_single_gradients(options) -> None:
    model = tiny(**options)
    packed = tokenize(PROTEINS)
    masked = mask_tokens(packed.input_ids, rate=0.5, generator=torch.Generator().manual_seed(0))

    def gradients(parts) -> list[torch.Tensor]:
        model.zero_grad()
        for ids, labels, cu in parts:
            scores = model(ids, cu_seqlens=cu).logits
            torch.nn.functional.cross_entropy(scores, labels, reduction="sum").backward()
        return [p.grad.clone() for p in model.parameters()]

    whole = gradients([(masked.input_ids, masked.labels, packed.cu_seqlens)])
    bounds = packed.cu_seqlens.tolist()
    singles = gradients(
        (masked.input_ids[a:b], masked.labels[a:b], torch.tensor([0, b - a], dtype=torch.int32))
        for a, b in pairwise(bounds)
    )
    for (name, _), a, b in zip(model.named_parameters(), whole, singles, strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm() + 1e-6, name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"share_projections": False},
        {"bidirectional": False},
        {"bidirectional_strategy": "ew_multiply"},
        {"ssm_cfg": {"bias": True, "d_state": 5, "d_conv": 3, "expand": 3}},
    ],
)
@pytest.mark.parametrize("window", [5, 13, 50])
def test_windows_equal_the_whole(options, window: int) -> None:
    model, packed = tiny(**options), tokenize(PROTEINS)
    whole = logits_of(model, packed)
    torch.testing.assert_close(logits_of(model, packed, window=window), whole, rtol=1e-4, atol=1e-4)


def test_factored_form_equals_two_passes_also_with_biases() -> None:
    model = tiny(ssm_cfg={"bias": True})
    mixer = model.bimamba.backbone.layers[0].mixer
    packed = tokenize(PROTEINS)
    x = torch.randn(len(packed.input_ids), 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mixer.mamba_fwd.out_proj.bias.normal_()
        factored = mixer(x, packed.cu_seqlens)
        mixer.tied = False
        two_passes = mixer(x, packed.cu_seqlens)
    torch.testing.assert_close(factored, two_passes, rtol=1e-5, atol=1e-5)


def test_layouts_of_packed_input_and_embeddings() -> None:
    model, packed = tiny(), tokenize(PROTEINS)
    expected = logits_of(model, packed)
    with torch.no_grad():
        row = model(packed.input_ids[None], cu_seqlens=packed.cu_seqlens).logits
        embeds = model.get_input_embeddings()(packed.input_ids)
        from_embeds = model(inputs_embeds=embeds, cu_seqlens=packed.cu_seqlens).logits
    assert torch.equal(row[0], expected)
    assert torch.equal(from_embeds, expected)


def test_return_forms() -> None:
    model, ids = tiny(), tokenize(["MKTAYIAK"]).input_ids[None]
    output = model(ids, labels=ids, output_hidden_states=True)
    assert len(output.hidden_states) == 3
    assert torch.equal(output.hidden_states[0], model.get_input_embeddings()(ids))
    encoded = model.bimamba(ids)
    assert torch.equal(output.hidden_states[-1], encoded.last_hidden_state)
    loss, logits, hidden = model(ids, labels=ids, output_hidden_states=True, return_dict=False)
    assert torch.equal(loss, output.loss)
    assert torch.equal(logits, output.logits)
    assert len(hidden) == 3
    assert model(ids, return_dict=False)[0].shape == (1, 10, 128)
    assert model.bimamba(ids, return_dict=False)[0].shape == (1, 10, 32)


def test_hidden_states_in_windows_equal_those_of_the_whole() -> None:
    model, packed = tiny(), tokenize(PROTEINS)
    with torch.no_grad():
        options = {"cu_seqlens": packed.cu_seqlens, "output_hidden_states": True}
        whole = model(packed.input_ids, **options).hidden_states
        windowed = model(packed.input_ids, window=9, **options).hidden_states
    for a, b in zip(whole, windowed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_gradient_checkpointing_changes_nothing() -> None:
    model, packed = tiny().train(), tokenize(PROTEINS)
    results = []
    for on in (False, True):
        model.bimamba.backbone.gradient_checkpointing = on
        model.zero_grad()
        out = model(packed.input_ids, cu_seqlens=packed.cu_seqlens, labels=packed.input_ids)
        out.loss.backward()
        results.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    model.bimamba.backbone.gradient_checkpointing = False


def test_bfloat16_autocast_stays_close_to_float32() -> None:
    model, packed = tiny(), tokenize(PROTEINS)
    options = {"cu_seqlens": packed.cu_seqlens, "labels": packed.input_ids}
    exact = model(packed.input_ids, **options).loss
    with torch.autocast("cpu", torch.bfloat16):
        low = model(packed.input_ids, **options).loss
    low.backward()
    assert torch.isfinite(low)
    assert abs(low - exact) < 0.02 * exact
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_bfloat16_weights() -> None:
    model, packed = tiny(), tokenize(PROTEINS)
    exact = logits_of(model, packed)
    low = logits_of(model.bfloat16(), packed)
    assert low.dtype == torch.float32
    assert (low - exact).norm() < 0.05 * exact.norm()


def test_ablations_differ_in_parameters() -> None:
    def count(**options) -> int:
        return sum(p.numel() for p in tiny(**options).parameters())

    shared, untied = count(), count(share_projections=False)
    projections = 2 * (3 * 2 * 32 * 32)
    assert untied - shared == projections
    assert count(bidirectional=False) < shared
    assert shared - count(tie_embeddings=True) == 128 * 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either input_ids or inputs_embeds"),
        ({"input_ids": torch.ones(2, 3)}, "must be integers"),
        ({"input_ids": torch.ones(6, dtype=torch.long)}, r"shape \(B, L\)"),
        ({"input_ids": torch.ones(2, 0, dtype=torch.long)}, r"B, L >= 1"),
        ({"input_ids": torch.ones(2, 3, dtype=torch.long), "attention_mask": torch.ones(3, 2)},
         r"attention_mask must be of shape \(2, 3\)"),
        ({"input_ids": torch.ones(2, 3, dtype=torch.long),
          "attention_mask": torch.tensor([[1, 1, 0], [0, 0, 0]])}, "row 1 .* no real token"),
        ({"input_ids": torch.ones(1, 3, dtype=torch.long),
          "attention_mask": torch.tensor([[1, 0, 1]])}, "pads between real tokens"),
        ({"input_ids": torch.ones(2, 3, dtype=torch.long),
          "cu_seqlens": torch.tensor([0, 6], dtype=torch.int32)}, r"shape \(T,\) or \(1, T\)"),
        ({"input_ids": torch.ones(6, dtype=torch.long), "cu_seqlens": torch.tensor([0, 6])},
         "must be int32"),
        ({"input_ids": torch.ones(6, dtype=torch.long),
          "cu_seqlens": torch.tensor([0, 5], dtype=torch.int32)}, "number of tokens, 6"),
        ({"input_ids": torch.ones(1, 6, dtype=torch.long), "attention_mask": torch.ones(1, 6),
          "cu_seqlens": torch.tensor([0, 6], dtype=torch.int32)}, "either attention_mask or"),
        ({"inputs_embeds": torch.ones(1, 3, 7)}, "last axis 32"),
        ({"input_ids": torch.ones(1, 3, dtype=torch.long), "labels": torch.ones(1, 2).long()},
         r"labels must be of shape \(1, 3\)"),
    ],
)  # fmt: skip
def test_bad_input(arguments, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny()(**arguments)


def test_pads_without_a_mask_are_warned_about_once() -> None:
    forget_warnings()
    model, ids = tiny(), torch.tensor([[0, 5, 2, 1]])
    with pytest.warns(LcPlmWarning, match="pads are read as tokens"):
        model(ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 0}, "d_model must be at least 1"),
        ({"d_intermediate": 64}, "MLP layers"),
        ({"ssm_cfg": {"layer": "Mamba2"}}, "Mamba1"),
        ({"ssm_cfg": {"d_stat": 3}}, "unknown ssm_cfg keys"),
        ({"bidirectional_strategy": "concat"}, "'add' or 'ew_multiply'"),
    ],
)
def test_bad_configuration(options, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LcPlmConfig(**options)


def test_unknown_preset_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="known: 1m, 8m, 35m"):
        LcPlmConfig.from_preset("9m")


def test_initialisation_is_mambas() -> None:
    torch.manual_seed(0)
    model = LcPlmModel(LcPlmConfig(d_model=64, n_layer=4))
    direction = model.backbone.layers[0].mixer.mamba_fwd
    torch.testing.assert_close(direction.A_log.exp()[0], torch.arange(1.0, 17.0))
    dt = torch.nn.functional.softplus(direction.dt_proj.bias)
    assert 1e-4 <= dt.min() <= dt.max() <= 0.1001
    assert model.backbone.embedding.weight.std().item() == pytest.approx(0.02, rel=0.1)
    ids = pack([[0, 5, 6, 2]])
    assert torch.isfinite(model(ids.input_ids, cu_seqlens=ids.cu_seqlens).last_hidden_state).all()


def test_a_model_without_attention_has_no_choice_of_it(tmp_path):
    LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1)).save_pretrained(tmp_path)
    for choice in (None, "eager"):
        LcPlmForMaskedLM.from_pretrained(tmp_path, attn_implementation=choice)
    with pytest.raises(ConfigError, match="'sdpa' is refused: this model has no attention"):
        LcPlmForMaskedLM.from_pretrained(tmp_path, attn_implementation="sdpa")
