from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lcplm_graph.errors import UnknownNameError
from lcplm_graph.tokens.masking import IGNORE
from lcplm_graph.tokens.packing import tokenize
from lcplm_graph.tokens.vocabulary import EDGE, NO_EDGE
from lcplm_graph.training.architectures import (
    ARCHITECTURES,
    Esm2ForPacked,
    build_model,
    count_parameters,
)
from lcplm_graph.training.module import means, score


def test_residues_and_relations_are_scored_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 128, generator=generator)
    labels = torch.randint(4, 24, (40,), generator=generator)
    labels[::4] = IGNORE
    labels[[1, 5, 9]] = torch.tensor([EDGE, NO_EDGE, EDGE])
    logits[1, EDGE], logits[1, NO_EDGE] = 1.0, 0.0  # right, though another token is likelier
    logits[5, EDGE], logits[5, NO_EDGE] = 1.0, 0.0  # wrong
    logits[9, EDGE], logits[9, NO_EDGE] = 1.0, 0.0  # right
    got = means(score(logits, labels))
    residue = (labels != IGNORE) & (labels < 30)
    expected = F.cross_entropy(logits[residue], labels[residue]).item()
    assert got["residue_loss"] == pytest.approx(expected, rel=1e-5)
    marker = labels >= EDGE
    expected = F.cross_entropy(logits[marker], labels[marker]).item()
    assert got["relation_loss"] == pytest.approx(expected, rel=1e-5)
    assert got["relation_accuracy"] == pytest.approx(2 / 3)
    hits = (logits[residue].argmax(1) == labels[residue]).float().mean().item()
    assert got["residue_accuracy"] == pytest.approx(hits)


def test_nothing_asked_is_nan_not_zero() -> None:
    got = means(score(torch.zeros(3, 33), torch.tensor([5, IGNORE, IGNORE])))
    assert math.isnan(got["relation_loss"])
    assert math.isnan(got["relation_accuracy"])
    assert got["residue_loss"] == pytest.approx(math.log(33))


def test_architectures_have_matched_sizes() -> None:
    sizes = {arch: count_parameters(build_model(arch, "1m")) for arch in ARCHITECTURES}
    for arch, size in sizes.items():
        assert abs(size / sizes["bimamba-s"] - 1) < 0.05, (arch, sizes)
    with pytest.raises(UnknownNameError, match="known: bimamba-s"):
        build_model("lstm", "1m")


def test_esm2_over_packed_streams_equals_each_alone() -> None:
    torch.manual_seed(0)
    model = build_model("esm2", "tiny").eval()
    assert isinstance(model, Esm2ForPacked)
    proteins = ["MKTAYIAKQR", "GA", "MVLSPADKTNVK"]
    both = tokenize(proteins)
    with torch.no_grad():
        together = model(both.input_ids, cu_seqlens=both.cu_seqlens).logits
        parts = [tokenize([p]) for p in proteins]
        alone = [model(p.input_ids, cu_seqlens=p.cu_seqlens).logits for p in parts]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_esm2_checkpoint_loads_as_an_encoder(tmp_path) -> None:
    from lcplm_graph.models.encoders import load_encoder

    build_model("esm2", "tiny").save_pretrained(tmp_path)
    encoder = load_encoder(f"esm2:{tmp_path}")
    assert encoder.embed(["MKT"]).shape == (1, encoder.dim)
