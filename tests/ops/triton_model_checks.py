"""A small encoder on the Triton kernels against the same on another backend."""

from __future__ import annotations

import pytest
import torch

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.ops.triton_math import INTERPRETED
from lcplm_graph.tokens.packing import cu_seqlens_of

DEVICE = "cpu" if INTERPRETED else "cuda"
LENGTHS = [2, 5] if INTERPRETED else [3, 300, 1000]
D_MODEL, D_STATE = (2, 2) if INTERPRETED else (128, 16)


def model_and_batch():
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(
        LcPlmConfig(n_layer=1, d_model=D_MODEL, ssm_cfg={"d_state": D_STATE})
    ).to(DEVICE)
    ids = torch.randint(4, 24, (sum(LENGTHS),)).to(DEVICE)
    return model, ids, cu_seqlens_of(LENGTHS).to(DEVICE)


def loss_and_gradients(backend: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LCPLM_BACKEND", backend)
    model, ids, cu = model_and_batch()
    output = model(ids, cu_seqlens=cu, labels=ids)
    output.loss.backward()
    grads = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    return output.logits.detach(), grads


def test_logits_and_gradients_equal_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, grads = loss_and_gradients("triton", monkeypatch)
    expected, expected_grads = loss_and_gradients("reference", monkeypatch)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    assert grads.keys() == expected_grads.keys()
    for name, grad in grads.items():
        difference = float((grad - expected_grads[name]).norm())
        assert difference < 1e-4 * float(expected_grads[name].norm()) + 1e-9, name


def test_bfloat16_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LCPLM_BACKEND", "triton")
    model, ids, cu = model_and_batch()
    with torch.no_grad():
        expected = model(ids, cu_seqlens=cu).logits
        logits = model.bfloat16()(ids, cu_seqlens=cu).logits.float()
    assert float((logits - expected).norm() / expected.norm()) < 0.02


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_layer_compiles_without_graph_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LCPLM_BACKEND", "triton")
    model, _, cu = model_and_batch()
    layer = model.bimamba.backbone.layers[0]
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    hidden = torch.randn(sum(LENGTHS), D_MODEL).to(DEVICE).requires_grad_()
    (expected,) = torch.autograd.grad(layer(hidden, cu).square().sum(), hidden)
    (got,) = torch.autograd.grad(compiled(hidden, cu).square().sum(), hidden)
    torch.testing.assert_close(got, expected)
