"""Results are float32 and the same whatever torch's default dtype is."""

from __future__ import annotations

import pytest
import torch

from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.zero_shot import score_pairs
from lcplm_graph.process import default_dtype
from lcplm_graph.tokens.masking import mask_tokens
from lcplm_graph.tokens.packing import tokenize

PROTEINS = ["MKTAYIAKQR", "GAVLIMFW", "M"]
EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def results() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    found = {
        f"{name} {pool}": load_encoder(name).embed(PROTEINS, pool)
        for name in ("composition", "dipeptide", "random:1m")
        for pool in ("mean", "mean_std", "cls", "max")
        if pool in load_encoder(name).pools
    }
    encoder = load_encoder("random:1m")
    found["pair"] = score_pairs(encoder, [(PROTEINS[0], PROTEINS[1])])
    found["masked"] = mask_tokens(tokenize(PROTEINS * 9).input_ids).input_ids
    encoder.embed_batch(PROTEINS, "mean_std").sum().backward()
    found |= {k: p.grad for k, p in encoder.named_parameters() if p.grad is not None}
    x = found["random:1m mean"]
    for conv in ("GCN", "GraphSAGE", "GAT", "GIN"):
        found[conv] = FunctionPredictor(x.shape[1], num_terms=3, conv=conv).train()(x, EDGES)
    for decoder in ("dot", "hadamard-mlp", "bilinear"):
        head = LinkPredictor(x.shape[1], decoder=decoder).train()
        found[decoder] = head(x, EDGES, EDGES.T)
    return {name: value.detach() for name, value in found.items()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_nothing_depends_on_the_default_dtype(dtype: torch.dtype) -> None:
    expected = results()
    with default_dtype(dtype):
        found = results()
    for name, value in found.items():
        assert value.dtype in (torch.float32, torch.int64), name
        assert torch.equal(value, expected[name]), name
