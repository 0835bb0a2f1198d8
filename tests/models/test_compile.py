"""`torch.compile` sees the whole encoder as one graph, with our operators in it."""

from __future__ import annotations

import pytest
import torch

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import LcPlmModel


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("training", [False, True])
def test_one_graph(training: bool) -> None:
    torch.manual_seed(0)
    model = LcPlmModel(LcPlmConfig(d_model=32, n_layer=2, ssm_cfg={"d_state": 8}))
    ids, cu = torch.randint(4, 24, (60,)), torch.tensor([0, 20, 60], dtype=torch.int32)
    torch.compiler.reset()
    # The eager backend of AOTAutograd traces forward and backward, and needs no C compiler.
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    results = []
    with torch.set_grad_enabled(training):
        for run in (model, compiled):
            model.zero_grad()
            out = run(ids, cu_seqlens=cu).last_hidden_state
            if training:
                (out**2).sum().backward()
            results.append(
                [out.detach(), *(p.grad.clone() for p in model.parameters() if training)]
            )
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)
