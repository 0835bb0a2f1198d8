"""Agreement with the published model code, alone, padded and packed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.tokens.packing import pack, pad

OWN = Path(__file__).resolve().parents[1] / "golden" / "lcplm_tiny"
TOLERANCE = 1e-4


@pytest.fixture(params=["own", "official"])
def case(request: pytest.FixtureRequest):
    folder = (
        OWN
        if request.param == "own"
        else (request.getfixturevalue("shared_golden") / "lcplm_official_tiny")
    )
    golden = load_file(folder / "golden.safetensors")
    return LcPlmForMaskedLM.from_pretrained(folder), golden


def expected(golden: dict[str, torch.Tensor], what: str) -> torch.Tensor:
    return torch.cat([golden[f"{what}_{i}"] for i in range(4)])


def test_alone(case) -> None:
    model, golden = case
    with torch.no_grad():
        outputs = [
            model(golden[f"input_ids_{i}"][None], output_hidden_states=True) for i in range(4)
        ]
    for i, output in enumerate(outputs):
        for got, what in (
            (output.logits, "logits"),
            (output.hidden_states[-1], "last_hidden_state"),
        ):
            assert (got[0] - golden[f"{what}_{i}"]).abs().max() < TOLERANCE


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("pad_id", [1, 0, 7, 127])
def test_padded(case, left: bool, pad_id: int) -> None:
    model, golden = case
    packed = pack([golden[f"input_ids_{i}"] for i in range(4)])
    ids, mask = pad(packed, left=left, pad_id=pad_id)
    with torch.no_grad():
        logits = model(ids, mask).logits
    assert (logits[mask.bool()] - expected(golden, "logits")).abs().max() < TOLERANCE


@pytest.mark.parametrize("window", [None, 1, 7, 64, 10_000])
def test_packed_whole_and_in_windows(case, window: int | None) -> None:
    model, golden = case
    packed = pack([golden[f"input_ids_{i}"] for i in range(4)])
    with torch.no_grad():
        logits = model(packed.input_ids, cu_seqlens=packed.cu_seqlens, window=window).logits
    assert (logits - expected(golden, "logits")).abs().max() < TOLERANCE


@pytest.mark.gpu
def test_on_cuda(case) -> None:
    model, golden = case
    packed = pack([golden[f"input_ids_{i}"] for i in range(4)]).to("cuda")
    with torch.no_grad():
        logits = model.cuda()(packed.input_ids, cu_seqlens=packed.cu_seqlens).logits
    assert (logits.cpu() - expected(golden, "logits")).abs().max() < TOLERANCE
