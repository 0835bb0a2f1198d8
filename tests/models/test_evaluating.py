"""What answers does so in evaluation mode: embeddings, link and function models, masked LMs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lcplm_graph.features.engines import Recipe as Rows
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.function_model import FunctionModel
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.recipe import Recipe
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.evaluating import evaluating
from lcplm_graph.models.masked_lm import load_masked_lm
from lcplm_graph.models.zero_shot import stream_states
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.tasks.passes import Stream, run_passes

PROTEINS = ["MKTAYIAKQR", "GGGAGGGA", "MVLSPADK", "MKVLAAGG"]
PAIRS = np.array([[0, 1], [1, 2], [2, 3]])
SPLIT = Split("C1", 4, PAIRS, PAIRS, PAIRS[:0], [])


class Dropping(CompositionEncoder):
    """An encoder with dropout."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def embed_batch(self, sequences, pool=None):
        return self.dropout(super().embed_batch(sequences, pool))

    def encode(self, packed):
        return self.dropout(super().encode(packed))


def in_walks(encoder):
    from torch_geometric.data import Data

    graph = Data(edge_index=torch.from_numpy(PAIRS.T.copy()), num_nodes=4)
    store = SequenceStore.from_records(list("abcd"), PROTEINS)
    add = AddProteinFeatures(encoder, context="walks", split=SPLIT, sequences=store, progress=False)
    return add(graph).x


@pytest.mark.parametrize(
    "ask",
    [
        lambda encoder: encoder.embed(PROTEINS),
        lambda encoder: torch.cat(encoder.embed_residues(PROTEINS)),
        lambda encoder: torch.from_numpy(Rows("mean", "float32").values(encoder, PROTEINS)),
        lambda encoder: torch.from_numpy(Rows(None, "float32").values(encoder, PROTEINS)),
        in_walks,
    ],
)
def test_embeddings_are_those_of_evaluation_mode(ask, data_dir):
    encoder = Dropping().train()
    torch.testing.assert_close(ask(encoder), ask(Dropping().eval()), rtol=0, atol=0)
    assert encoder.training
    assert encoder.dropout.training


def test_link_models_answer_in_evaluation_mode():
    torch.manual_seed(0)
    member, x = LinkPredictor(5, channels=8, conv="none", dropout=0.5), torch.randn(4, 5)
    wanted = LinkModel([copy.deepcopy(member).eval()], [Recipe()]).on(x, SPLIT).probability(PAIRS)
    scores = LinkModel([member.train()], [Recipe()]).on(x, SPLIT)
    np.testing.assert_array_equal(scores.probability(PAIRS), wanted)
    # Nor does it matter what becomes of the member afterwards.
    member.train()
    np.testing.assert_array_equal(scores.probability(PAIRS), wanted)
    assert member.training
    assert member.gnn.scale.running_mean.abs().sum() == 0


def test_function_models_answer_in_evaluation_mode():
    torch.manual_seed(0)
    head = FunctionPredictor(5, num_terms=3, conv="none", channels=8)
    model = FunctionModel(head.eval(), ["GO:1", "GO:2", "GO:3"], list("abc"), "MF", [(1, 0)])
    x = torch.randn(6, 5)
    wanted = model.probability(x), model.distance(x)
    head.train()
    np.testing.assert_array_equal(model.probability(x), wanted[0])
    np.testing.assert_array_equal(model.distance(x), wanted[1])
    assert head.training
    assert head.gnn.scale.training


def test_masked_lms_and_streams_answer_in_evaluation_mode(monkeypatch):
    """An LC-PLM has no dropout; that it is asked in evaluation mode can be seen all the same."""
    encoder = load_masked_lm("random:1m")
    seen, logits, encode = [], encoder.logits, encoder.encode
    monkeypatch.setattr(encoder, "logits", lambda p: (seen.append(encoder.training), logits(p))[1])
    monkeypatch.setattr(encoder, "encode", lambda p: (seen.append(encoder.training), encode(p))[1])
    encoder.train()
    list(run_passes(encoder, [Stream(np.array([0, 5, 6, 2]), np.array([1]))]))
    stream_states(encoder, [("MKT", "MV")])
    assert seen
    assert not any(seen)
    assert all(part.training for part in encoder.modules())


def test_what_is_no_module_has_no_mode():
    with evaluating(object(), load_encoder("composition")):
        pass
