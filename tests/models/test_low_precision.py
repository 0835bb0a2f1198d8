"""Low-precision weights and autocast: states stay float32, so results stay close to float32."""

from __future__ import annotations

import pytest
import torch

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.tokens.packing import cu_seqlens_of

CU = cu_seqlens_of([5, 300, 40])


def model_and_ids() -> tuple[LcPlmForMaskedLM, torch.Tensor]:
    torch.manual_seed(0)
    return LcPlmForMaskedLM(LcPlmConfig(d_model=64, n_layer=3)), torch.randint(4, 24, (345,))


def run(model: LcPlmForMaskedLM, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and all gradients as one vector."""
    output = model(ids, cu_seqlens=CU, labels=ids)
    output.loss.backward()
    grads = [p.grad.flatten().float() for p in model.parameters() if p.grad is not None]
    return output.logits.detach().float(), torch.cat(grads)


@pytest.mark.parametrize("how", ["weights", "autocast"])
def test_bfloat16_is_finite_and_close_to_float32(how: str) -> None:
    model, ids = model_and_ids()
    logits, grads = run(model, ids)
    model, ids = model_and_ids()
    if how == "weights":
        low_logits, low_grads = run(model.bfloat16(), ids)
    else:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low_logits, low_grads = run(model, ids)
    for low, full in ((low_logits, logits), (low_grads, grads)):
        assert torch.isfinite(low).all()
        error = float((low - full).norm() / full.norm())
        assert 1e-5 < error < 0.03
