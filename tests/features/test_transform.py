"""`AddProteinFeatures`: ids matched, cached, and with walks blind to held-out edges."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.features import transform as transform_module
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split

STORE = SequenceStore.from_records(
    ["a", "b", "c", "d"], ["MKTAYIAKQR", "GGGGWWPLI", "MVLSPADKTN", "ACDEFGHIKL"]
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LCPLM_DATA", str(tmp_path / "data"))


def tiny_encoder(seed=3):
    torch.manual_seed(seed)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1))
    return LcPlmEncoder(model.eval(), "tiny").eval()


def graph(ids):
    edge_index = torch.tensor([[0, 1], [1, 0]])
    return Data(edge_index=edge_index, protein_id=list(ids), num_nodes=len(ids))


def test_rows_follow_the_ids_of_the_graph():
    add = AddProteinFeatures(tiny_encoder(), "mean_std", sequences=STORE, progress=False)
    data = graph("dab")
    x = add(data).x
    expected = add.encoder.embed([STORE[3], STORE[0], STORE[1]], "mean_std")
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-6)
    assert "x" not in data


def test_ids_that_do_not_match_are_counted_and_shown():
    add = AddProteinFeatures("composition", sequences=STORE, progress=False)
    with pytest.raises(
        InputError,
        match=r"2 of 3 proteins of the graph have no sequence, for example '9606\.x', "
        r"'9606\.y'; the 4 sequences are named like 'a', 'b', 'c'",
    ):
        add(graph(["a", "9606.x", "9606.y"]))
    with pytest.raises(InputError, match="sequences are needed"):
        AddProteinFeatures("composition", progress=False)(graph("ab"))
    with pytest.raises(InputError, match="3 proteins without `protein_id`, and there are 4"):
        add(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=3))


def test_a_second_call_computes_nothing(monkeypatch):
    encoder = tiny_encoder()
    add = AddProteinFeatures(encoder, sequences=STORE, progress=False)
    first = add(graph("abcd")).x
    monkeypatch.setattr(encoder, "encode", lambda *_: pytest.fail("computed again"))
    assert torch.equal(add(graph("abcd")).x, first)


def walks(split, encoder, seed=0):
    return AddProteinFeatures(
        encoder, context="walks", split=split, sequences=STORE, walk_length=3,
        walks_per_protein=4, walk_tokens=128, seed=seed, progress=False,
    )  # fmt: skip


def test_walk_features_see_message_edges_and_not_held_out_ones():
    encoder = tiny_encoder()
    message = [[0, 1]]
    one = Split("random", 4, message, message, [[2, 3]], [1])
    other = Split("random", 4, message, message, [[1, 3]], [1])
    x = walks(one, encoder)(graph("abcd")).x
    torch.testing.assert_close(x, walks(other, encoder)(graph("abcd")).x)
    # Without a message edge a protein is alone; with one its neighbour is in its features.
    alone = Split("random", 4, [[2, 3]], [[2, 3]], [[0, 1]], [1])
    y = walks(alone, encoder)(graph("abcd")).x
    assert not torch.allclose(x[0], y[0], atol=1e-4)
    assert not torch.allclose(x[2], y[2], atol=1e-4)


def test_walk_features_are_the_mean_over_all_visits():
    encoder = tiny_encoder()
    message = [[0, 1], [1, 2]]
    split = Split("random", 4, message, message, [[0, 3]], [1])
    add = walks(split, encoder)
    x = add(graph("abcd")).x
    from lcplm_graph.walks.sampler import WalkSampler
    from lcplm_graph.walks.stream import WalkStream

    stream = WalkStream(WalkSampler(split, 3, seed=0), STORE, max_tokens=128, negative_rate=0.0)
    sums, visits = torch.zeros(4, 8), torch.zeros(4)
    for i in range(16):
        tokens = stream[i]
        states = encoder.encode(tokens.packed).detach()
        for node, (begin, end) in zip(tokens.nodes, tokens.spans, strict=True):
            sums[node] += states[begin:end].mean(0)
            visits[node] += 1
    torch.testing.assert_close(x, sums / visits[:, None], rtol=1e-4, atol=1e-5)


def test_walk_features_are_cached_by_split_and_seed(monkeypatch):
    encoder = tiny_encoder()
    split = Split("random", 4, [[0, 1], [1, 2]], [[0, 1]], [[0, 3]], [1])
    first = walks(split, encoder)(graph("abcd")).x
    calls = []
    original = transform_module._walk_features
    monkeypatch.setattr(
        transform_module, "_walk_features", lambda *a, **k: (calls.append(1), original(*a, **k))[1]
    )
    assert torch.equal(walks(split, encoder)(graph("abcd")).x, first)
    assert not calls
    walks(split, encoder, seed=1)(graph("abcd"))
    assert calls


def test_senseless_options_are_refused():
    with pytest.raises(ConfigError, match="needs a split"):
        AddProteinFeatures("composition", context="walks")
    with pytest.raises(ConfigError, match="context is None or 'walks'"):
        AddProteinFeatures("composition", context="random")
    split = Split("random", 4, [[0, 1]], [[0, 1]], [[2, 3]], [1])
    with pytest.raises(ConfigError, match="no <cls> of its own"):
        AddProteinFeatures("random:1m", "cls", context="walks", split=split)


def test_nan_features_are_refused():
    encoder = tiny_encoder()
    with torch.no_grad():
        encoder.model.bimamba.backbone.norm_f.weight.fill_(torch.nan)
    with pytest.raises(InputError, match="NaN or infinite"):
        AddProteinFeatures(encoder, sequences=STORE, progress=False)(graph("abcd"))
    zero = load_encoder("composition")
    store = SequenceStore.from_records(["a"], ["XXXX"])
    with pytest.raises(InputError, match="nothing but zeros"):
        AddProteinFeatures(zero, sequences=store, progress=False)(graph("a"))
    assert np.isfinite(zero.embed(["XXXX"]).numpy()).all()


def test_sequences_may_be_a_mapping():
    graph = Data(protein_id=["b", "a"], num_nodes=2)
    given = {"a": "MKTAYIAK", "b": "GGGG"}
    store = SequenceStore.from_records(list(given), list(given.values()))
    found, wanted = (
        AddProteinFeatures("composition", sequences=one, progress=False)(graph).x
        for one in (given, store)
    )
    assert torch.equal(found, wanted)
    with pytest.raises(InputError, match="a mapping of name to sequence, not list"):
        AddProteinFeatures("composition", sequences=["MKT"])


def test_graphs_of_several_kinds_are_refused():
    add = AddProteinFeatures("composition", sequences={"a": "MKT"})
    graph = HeteroData()
    graph["protein"].x = torch.zeros(2, 1)
    for given in (graph, HeteroData()):
        with pytest.raises(InputError, match="HeteroData, a graph of several kinds"):
            add(given)
        with pytest.raises(InputError, match="HeteroData, a graph of several kinds"):
            make_split(given)
