"""Encoders as parts of other people's modules: containers, hooks, compilers."""

from __future__ import annotations

import copy

import pytest
import torch

from lcplm_graph.errors import SequenceError
from lcplm_graph.models.encoders import load_encoder

SEQUENCES = ["MKTAYIAK", "GAVLI"]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("random:1m")


def test_called_it_embeds_a_batch_and_hooks_see_it(encoder):
    encoder, seen = copy.deepcopy(encoder), []
    encoder.register_forward_hook(lambda _module, _given, found: seen.append(found))
    head = torch.nn.Linear(encoder.dim, 1)
    out = torch.nn.Sequential(encoder, head)(SEQUENCES)
    assert torch.equal(out, head(encoder.embed_batch(SEQUENCES))) and len(seen) == 1
    out.sum().backward()
    assert sum(p.grad is not None for p in encoder.parameters()) > 10
    assert torch.equal(encoder(SEQUENCES, "max"), encoder.embed_batch(SEQUENCES, "max"))


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_a_compiled_module_gives_the_same():
    """Texts cannot be compiled; trying to ended in an assertion of torch."""
    module = torch.nn.Sequential(load_encoder("composition"), torch.nn.Linear(20, 1))
    torch.compiler.reset()
    compiled = torch.compile(module, backend="eager")
    for batch in (SEQUENCES, ["MWF", "GG", "HHK"]):
        assert torch.equal(compiled(batch), module(batch))
    with pytest.raises(SequenceError, match="position 2"):
        compiled(["M1K"])
