from __future__ import annotations

import pytest
import torch

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.training.optim import learning_rate_factor, no_decay_names


def test_no_decay_on_norms_biases_embeddings_a_log_and_d() -> None:
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=16, n_layer=2))
    exempt = no_decay_names(model)
    kept = {n for n, _ in model.named_parameters()} - exempt
    ends = {n.rpartition("mixer.")[2].partition(".")[2] for n in kept if "mixer" in n}
    assert ends == {"in_proj.weight", "out_proj.weight", "x_proj.weight", "dt_proj.weight",
                    "conv1d.weight"}  # fmt: skip
    assert {n for n in kept if "mixer" not in n} == {"lm_head.weight"}
    assert exempt <= {n for n, _ in model.named_parameters(remove_duplicate=False)}


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_schedule_rises_then_falls_to_zero(schedule) -> None:
    rates = torch.tensor(
        [learning_rate_factor(s, steps=200, warmup=20, schedule=schedule) for s in range(201)]
    )
    top = int(rates.argmax())
    assert 18 <= top <= 21
    assert rates.max() <= 1.0
    assert (rates[:top].diff() > 0).all()
    assert (rates[top:].diff() <= 0).all()
    assert rates[200] == pytest.approx(0.0, abs=1e-12)
    assert (rates[:200] > 0).all()


def test_wsd_is_constant_in_between_and_warmup_is_cut() -> None:
    settings = {"steps": 100, "warmup": 1000, "schedule": "wsd"}
    assert learning_rate_factor(0, **settings) == pytest.approx(0.1)
    assert {learning_rate_factor(s, **settings) for s in range(10, 80)} == {1.0}
