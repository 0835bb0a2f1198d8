"""What is attached to a module takes effect: adapters, hooks, parametrisations, quantisation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.lora import LORA_TARGETS, lora_config
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.tokens.packing import pad, tokenize

IDS, MASK = pad(tokenize(["MKTAYIAK", "GAVLIM"]))
PARTS = ("in_proj", "conv1d", "x_proj", "dt_proj", "out_proj")
SHAPES = {
    "tied": {},
    "with biases": {"ssm_cfg": {"bias": True}},
    "multiplied": {"bidirectional_strategy": "ew_multiply"},
    "untied": {"share_projections": False},
    "one way": {"bidirectional": False},
}


def tiny(**options) -> LcPlmForMaskedLM:
    torch.manual_seed(0)
    return LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=2, **options)).eval()


def logits(model, **options) -> torch.Tensor:
    return model(IDS, attention_mask=MASK, **options).logits


def first(model: LcPlmForMaskedLM, name: str) -> nn.Module:
    return getattr(model.bimamba.backbone.layers[0].mixer.mamba_fwd, name)


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("part", PARTS)
def test_a_module_that_is_called_gives_what_its_weights_give(part: str, options) -> None:
    model = tiny(**options)
    calls = []
    with torch.no_grad():
        fused = logits(model)
        handle = first(model, part).register_forward_hook(lambda *_: calls.append(1))
        torch.testing.assert_close(logits(model), fused, rtol=1e-5, atol=1e-5)
        assert calls
        # In windows, as long proteins are encoded.
        del calls[:]
        torch.testing.assert_close(logits(model, window=4), fused, rtol=1e-5, atol=1e-5)
        assert calls
        handle.remove()
        assert torch.equal(logits(model), fused)


@pytest.mark.parametrize("part", ["layer", "mixer", "mamba_fwd", "mamba_rev"])
def test_hooks_on_whole_blocks_fire_also_in_windows(part: str) -> None:
    model = tiny()
    layer = model.bimamba.backbone.layers[1]
    module = {"layer": layer, "mixer": layer.mixer}.get(part) or getattr(layer.mixer, part)
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        torch.testing.assert_close(logits(model, window=4), logits(tiny()), rtol=1e-5, atol=1e-5)
    assert calls


@pytest.mark.parametrize("part", PARTS)
def test_a_hook_may_change_the_output(part: str) -> None:
    model = tiny()
    before = logits(model)
    first(model, part).register_forward_hook(lambda module, args, out: 2 * out)
    assert (logits(model) - before).abs().max() > 1e-4


def test_an_activation_that_a_hook_keeps_is_not_written_over() -> None:
    model, kept = tiny(), []
    first(model, "x_proj").register_forward_hook(
        lambda module, args, out: kept.append((args[0], args[0].clone()))
    )
    with torch.no_grad():
        logits(model)
    assert all(torch.equal(held, copied) for held, copied in kept)


@pytest.mark.parametrize("part", PARTS)
def test_pruning_and_parametrisations(part: str) -> None:
    model = tiny()
    before = logits(model)
    prune.random_unstructured(first(model, part), "weight", amount=0.5)
    pruned = logits(model)
    assert (pruned - before).abs().max() > 1e-5
    prune.remove(first(model, part), "weight")
    torch.testing.assert_close(logits(model), pruned, rtol=1e-5, atol=1e-5)
    parametrize.register_parametrization(first(model, part), "weight", Twice())
    assert (logits(model) - pruned).abs().max() > 1e-5
    parametrize.remove_parametrizations(first(model, part), "weight", leave_parametrized=False)
    torch.testing.assert_close(logits(model), pruned, rtol=1e-5, atol=1e-5)


class Twice(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("target", LORA_TARGETS["all"])
def test_lora_has_gradients_an_effect_and_merges(target: str, options) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=[target])
    model = peft.get_peft_model(tiny(**options), config).train()
    logits(model).square().sum().backward()
    adapters = {k: p for k, p in model.named_parameters() if "lora_B" in k}
    assert adapters and all(p.grad is not None and p.grad.any() for p in adapters.values())
    assert {k for k, p in model.named_parameters() if p.grad is not None} <= {
        k for k, _ in model.named_parameters() if "lora_" in k
    }
    with torch.no_grad():
        for parameter in adapters.values():
            parameter.normal_()
        model.eval()
        on = logits(model)
        with model.disable_adapter():
            torch.testing.assert_close(logits(model), logits(tiny(**options)))
            assert (on - logits(model)).abs().max() > 1e-4
        torch.testing.assert_close(logits(model.merge_and_unload()), on, rtol=1e-4, atol=1e-4)


def test_gradients_of_lora_equal_those_of_the_weights() -> None:
    pytest.importorskip("peft")
    from peft import get_peft_model

    plain = tiny()
    logits(plain).square().sum().backward()
    model = get_peft_model(copy.deepcopy(plain), lora_config("all", rank=2, alpha=2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    logits(model).square().sum().backward()
    direction = "bimamba.backbone.layers.0.mixer.mamba_fwd"
    for part in LORA_TARGETS["all"]:
        full = plain.get_submodule(direction).get_submodule(part).weight.grad
        adapter = model.base_model.model.get_submodule(direction).get_submodule(part)
        a = adapter.lora_A["default"].weight
        torch.testing.assert_close(
            adapter.lora_B["default"].weight.grad, full @ a.T, rtol=1e-3, atol=1e-4
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dynamic_quantisation(tmp_path) -> None:
    from torch.ao.quantization import quantize_dynamic

    model = tiny()
    quantised = quantize_dynamic(model, {nn.Linear})
    difference = (logits(quantised) - logits(model)).abs().max()
    assert 0 < difference < 0.1 * logits(model).abs().max()
    encoder = LcPlmEncoder(quantised)
    assert encoder.embed(["MKTAYIAK"]).shape == (1, 16)
    assert encoder.fingerprint() != LcPlmEncoder(model).fingerprint()


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def _change(how: str, module: nn.Module) -> None:
    if how == "hook":
        module.register_forward_hook(lambda _, __, output: 2 * output)
    elif how == "patched":
        forward = module.forward
        module.forward = lambda x: 2 * forward(x)
    else:
        module.__class__ = Doubled


@pytest.mark.parametrize("how", ["hook", "patched", "class"])
def test_features_of_a_changed_module_are_not_those_of_the_plain_one(how: str) -> None:
    plain, changed, again = (LcPlmEncoder(tiny()) for _ in range(3))
    for encoder in (changed, again):
        _change(how, first(encoder.model, "x_proj"))
    assert not torch.allclose(changed.embed(["MKTAYIAK"]), plain.embed(["MKTAYIAK"]))
    assert changed.fingerprint() == changed.fingerprint() != plain.fingerprint()
    # Another hook may do another thing; a class of one process is itself.
    assert (again.fingerprint() == changed.fingerprint()) == (how == "class")


@pytest.mark.parametrize("name", ["in_proj", "out_proj"])
def test_a_projection_of_its_own_in_one_direction_takes_effect(name: str) -> None:
    model, plain = tiny(), tiny()
    mixer = model.bimamba.backbone.layers[0].mixer
    setattr(mixer.mamba_rev, name, copy.deepcopy(getattr(mixer.mamba_rev, name)))
    torch.testing.assert_close(logits(model), logits(plain))
    with torch.no_grad():
        getattr(mixer.mamba_rev, name).weight.mul_(2)
    assert not torch.allclose(logits(model), logits(plain), atol=1e-3)


def test_weights_tied_by_hand_are_all_stored(tmp_path) -> None:
    model = tiny()
    model.lm_head.weight = model.bimamba.backbone.embedding.weight
    model.save_pretrained(tmp_path)
    loaded = LcPlmForMaskedLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(loaded), logits(model))
