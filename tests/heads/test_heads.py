"""Heads: names, shapes, symmetry, refusals, and that they learn what is there to be learned."""

import numpy as np
import pytest
import torch
from cases.head import HeadCase, LinkHeadCase
from sklearn.metrics import roc_auc_score
from torch_geometric.data import Data

from lcplm_graph.errors import ConfigError, InputError, TrainingError, UnknownNameError
from lcplm_graph.heads import inference
from lcplm_graph.heads.convolutions import make_convolution, resolve_convolution
from lcplm_graph.heads.decoders import DECODERS, make_decoder
from lcplm_graph.heads.dropout import Dropout
from lcplm_graph.heads.fit import (
    FitOptions,
    fit_function,
    fit_head,
    fit_homology,
)
from lcplm_graph.heads.fit_link import fit_link, message_graph
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.homology import HomologyClassifier
from lcplm_graph.heads.inference import new_edges, partners_of
from lcplm_graph.heads.kinds import link_head
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.link_model import LinkModel, LinkScores
from lcplm_graph.heads.recipe import Recipe
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.models.pooling import NUM_PARTS
from lcplm_graph.process import in_threads
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split


def planted(seed=0, nodes=160, groups=8, edges=900):
    """Proteins of one group interact; features tell the group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(groups, size=nodes)
    pairs = rng.integers(nodes, size=(40 * edges, 2))
    pairs = pairs[(group[pairs[:, 0]] == group[pairs[:, 1]]) & (pairs[:, 0] < pairs[:, 1])]
    pairs = np.unique(pairs, axis=0)
    pairs = pairs[rng.permutation(len(pairs))[:edges]]
    both = np.concatenate([pairs, pairs[:, ::-1]]).T
    x = np.eye(groups)[group] + 0.3 * rng.normal(size=(nodes, groups))
    graph = Data(edge_index=torch.from_numpy(np.ascontiguousarray(both)), num_nodes=nodes)
    return graph, torch.from_numpy(x.astype(np.float32)), torch.from_numpy(group)


class TestDot(LinkHeadCase):
    name, options = "link", {"decoder": "dot"}


class TestHadamardMlp(LinkHeadCase):
    name, options = "link", {"decoder": "hadamard-mlp"}


class TestBilinear(LinkHeadCase):
    name, options = "link", {"decoder": "bilinear"}


class TestCross(LinkHeadCase):
    name, options, width = "cross", {"conv": "none"}, 2 * (2 + NUM_PARTS)

    def test_other_graphs_and_features_are_refused(self):
        with pytest.raises(ConfigError, match="features of width 21 are not mean, spread and 8 p"):
            link_head("cross", in_channels=21)
        for more in ({"conv": "GraphSAGE"}, {"structure": True}, {"gated": 4}):
            with pytest.raises(ConfigError, match="uses no graph"):
                link_head("cross", in_channels=20, **more)
        with pytest.raises(ConfigError, match="leaves decoder 'dot' unused"):
            link_head("cross", in_channels=20, decoder="dot")
        with pytest.raises(ConfigError, match="10 channels cannot be shared out to 4 attention"):
            link_head("cross", in_channels=20, channels=10)
        with pytest.raises(TypeError, match="unexpected keyword argument 'layers'"):
            link_head("cross", in_channels=20, layers=3)

    def test_a_part_of_the_partner_counts(self, head, graph):
        x = graph[0].clone()
        pairs = torch.tensor([[0, 1], [0, 2]])
        before = head(x, graph[1], pairs)
        x[1, -2:] += 1  # the last part of a partner
        after = head(x, graph[1], pairs)
        assert before[0] != after[0]
        assert before[1] == after[1]


class TestFunction(HeadCase):
    name, options = "function", {"num_terms": 5}

    def logits(self, head, graph):
        return head(*graph, rows=torch.tensor([0, 3, 11]))


class TestHomology(HeadCase):
    name, options = "homology", {"num_classes": 4}

    def logits(self, head, graph):
        return head(graph[0])


@pytest.mark.parametrize(
    "name", ["GCN", "GraphSAGE", "GAT", "GATv2", "GIN", "GraphConv", "sageconv"]
)
def test_convolutions_come_by_name_and_take_a_graph(name):
    conv = make_convolution(name, 8)
    out = conv(torch.rand(5, 8), torch.tensor([[0, 1], [1, 0]]))
    assert out.shape == (5, 8)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UnknownNameError, match="it has .*GCN.*SAGE"):
        resolve_convolution("Perceptron")
    with pytest.raises(UnknownNameError, match="dot, hadamard-mlp, bilinear"):
        make_decoder("cosine", 4)
    with pytest.raises(ConfigError, match="cannot be built from its widths alone"):
        make_convolution("RGCN", 8)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_pair_has_one_score_and_rows_agree_with_pairs(decoder):
    torch.manual_seed(0)
    model = LinkPredictor(4, channels=8, decoder=decoder).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    h = model.embed(torch.rand(6, 4), torch.tensor([[0, 1], [1, 0]]))
    pairs = torch.combinations(torch.arange(6))
    scores = model.decode(h, pairs)
    torch.testing.assert_close(scores, model.decode(h, pairs.flip(1)))
    rows = torch.stack([model.row(h, node, torch.arange(6)) for node in range(6)])
    torch.testing.assert_close(rows[pairs[:, 0], pairs[:, 1]], scores)


@pytest.mark.parametrize(("conv", "decoder"), [("none", "hadamard-mlp"), ("GraphSAGE", "dot")])
def test_link_head_finds_planted_groups(conv, decoder):
    graph, x, _ = planted()
    split = make_split(graph, "C1", seed=0)
    torch.manual_seed(0)
    model = LinkPredictor(8, channels=32, conv=conv, decoder=decoder, dropout=0.1)
    fit_link(model, x, split, FitOptions(steps=120, batch_size=256))
    positive, negative = split.positives("test"), split.negatives("test")
    pairs = np.concatenate([positive, negative])
    labels = np.arange(len(pairs)) < len(positive)
    with torch.no_grad():
        scores = model(x, *_graph_pairs(split, pairs))
    assert not model.training
    assert roc_auc_score(labels, scores) > 0.85


def _graph_pairs(split, pairs):
    edge_index, _ = message_graph(split)
    return edge_index, torch.from_numpy(pairs)


def test_same_seed_same_head():
    graph, x, _ = planted()
    split = make_split(graph, "C1", seed=0)
    states = []
    for _ in range(2):
        torch.manual_seed(1)
        model = LinkPredictor(8, channels=8)
        states.append(fit_link(model, x, split, FitOptions(steps=12, batch_size=100)).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("conv", ["none", "GraphSAGE"])
def test_same_head_with_one_thread_and_two(conv):
    """Large enough that torch shares the sums of a step out over its threads."""
    graph, x, _ = planted(nodes=1200, edges=5000)
    x = torch.cat([x, torch.rand(1200, 120, generator=torch.Generator().manual_seed(0))], dim=1)
    split = make_split(graph, "C1", seed=0)
    before, states = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(1)
            model = fit_link(LinkPredictor(128, conv=conv), x, split, FitOptions(steps=4))
            assert torch.get_num_threads() == threads
            states.append(model.state_dict())
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_heads_trained_in_threads_are_those_trained_alone():
    """Their dropout draws from generators of their own, and the caller's one is not touched."""
    graph, x, _ = planted()
    split = make_split(graph, "C1", seed=0)

    def fitted(seed):
        torch.manual_seed(seed)
        model = LinkPredictor(x.shape[1], channels=16, dropout=0.5)
        return model, FitOptions(steps=20, seed=seed)

    alone = [fit_link(model, x, split, options) for model, options in map(fitted, range(4))]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        pairs = [fitted(seed) for seed in range(4)]
        state = torch.get_rng_state()
        together = in_threads(lambda pair: fit_link(pair[0], x, split, pair[1]), pairs)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(alone, together, strict=True):
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name]), name


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_head_does_not_depend_on_the_scale_of_its_features(scale):
    """Evaluation must know the features' scale from the first step on."""
    _, x, _ = planted()
    torch.manual_seed(0)
    head = LinkPredictor(8, conv="none", dropout=0.0)
    edges = torch.empty((2, 0), dtype=torch.int64)
    trained = head.train().embed(scale * x, edges)
    torch.testing.assert_close(head.eval().embed(scale * x, edges), trained, rtol=0.01, atol=0.01)


def test_dropout_keeps_its_share_and_the_mean():
    torch.manual_seed(0)
    layer = Dropout(0.3)
    out = layer(torch.ones(1000, 1001))
    kept = round(256 * 0.7) / 256
    # Five standard errors of a million draws.
    assert abs((out != 0).float().mean() - kept) < 5 * (kept * (1 - kept) / 1001000) ** 0.5
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / kept))
    assert (layer(torch.ones(1000, 1001)) != out).any()
    assert torch.equal(layer.eval()(out), out)
    assert torch.equal(Dropout(0.0)(out), out)
    with pytest.raises(ConfigError, match="dropout=1"):
        Dropout(1.0)


def test_training_pairs_are_not_among_the_messages_of_their_own_step(monkeypatch):
    graph, x, _ = planted()
    split = make_split(graph, "C1", seed=0)
    model = LinkPredictor(8, channels=8)
    embed, decode, edges, leaks = model.embed, model.decode, set(), []

    def watching(x, edge_index, weights=None, known=None):
        edges.clear()
        edges.update(tuple(sorted(e)) for e in edge_index.T.tolist())
        return embed(x, edge_index, weights)

    def counting(h, pairs, structure=None):
        if model.training:
            assert len(edges) > 300
            leaks.append(sum(tuple(sorted(p)) in edges for p in pairs.tolist()))
        return decode(h, pairs, structure)

    monkeypatch.setattr(model, "embed", watching)
    monkeypatch.setattr(model, "decode", counting)
    options = FitOptions(steps=3, every=100, batch_size=200, isolate=0.0)
    fit_link(model, x, split, options)
    assert leaks == [0, 0, 0]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_proteins_has_no_message_in_a_step(share):
    """So a head knows proteins without edges before it is asked about new ones."""
    rng = np.random.default_rng(0)
    pairs = np.unique(np.sort(rng.integers(100, size=(900, 2)), axis=1), axis=0)
    pairs = rng.permutation(pairs[pairs[:, 0] != pairs[:, 1]])
    split = Split("random", 100, pairs[:400], pairs[400:600], np.empty((0, 2), int), [])
    model, seen = LinkPredictor(4, channels=8), []
    embed = model.embed

    def watched(x, edge_index, *more, **named):
        seen.append(edge_index.shape[1] / 800)
        return embed(x, edge_index, *more, **named)

    model.embed = watched
    fit_link(model, torch.randn(100, 4), split, FitOptions(steps=6, isolate=share))
    assert len(seen) == 6
    # An edge is left if neither of its proteins is alone.
    assert np.mean(seen) == pytest.approx((1 - share) ** 2, abs=0.1)


def test_what_is_known_is_no_new_edge_and_nobody_its_own_partner():
    """However few pairs are left, and however many are asked for."""
    torch.manual_seed(0)
    edges = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])
    split = Split("C1", 5, edges[:3], edges[:3], edges[3:], [0])
    model, x = (
        LinkModel([LinkPredictor(4, channels=8, conv="none").eval()], [Recipe()]),
        torch.randn(5, 4),
    )
    found = new_edges(model.on(x, split), 1000).pairs.tolist()
    assert sorted(found) == [[0, 3], [0, 4], [1, 3], [1, 4], [2, 4], [3, 4]]
    for options, partners in (
        ({}, [1, 2, 3, 4]),
        ({"itself": True}, [0, 1, 2, 3, 4]),
        ({"novel": True}, [3, 4]),
    ):
        (best,) = partners_of(model, x, split, x[:1], np.array([0]), 99, **options)
        assert sorted(best.pairs[:, 1].tolist()) == partners


def test_function_and_homology_heads_learn_groups():
    graph, x, group = planted()
    train = torch.rand(160, generator=torch.Generator().manual_seed(0)) < 0.6
    labels = torch.nn.functional.one_hot(group).bool()
    torch.manual_seed(0)
    model = FunctionPredictor(8, num_terms=8, channels=32)
    fit_function(model, x, graph.edge_index, labels, train, ~train, FitOptions(steps=60))
    with torch.no_grad():
        found = model(x, graph.edge_index).argmax(1)
    assert (found == group)[~train].float().mean() > 0.9
    classifier = HomologyClassifier(8, num_classes=8, channels=32)
    fit_homology(classifier, x, group, train, ~train, FitOptions(steps=60))
    with torch.no_grad():
        assert (classifier(x).argmax(1) == group)[~train].float().mean() > 0.7


def test_an_encoder_is_trained_end_to_end():
    torch.manual_seed(0)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1))
    head = LinkPredictor(encoder=LcPlmEncoder(model, "tiny"), channels=8, conv="GCN")
    sequences = ["MKTAYIAK", "GGGGWWWW", "MKV", "PLIMNQ"]
    edges = torch.tensor([[0, 1], [1, 0]])
    loss = head(sequences, edges, torch.tensor([[0, 1], [2, 3]])).square().sum()
    loss.backward()
    gradient = model.bimamba.backbone.embedding.weight.grad
    assert gradient is not None
    assert float(gradient.abs().sum()) > 0
    head.eval()
    by_hand = head.encoder.embed(sequences)
    torch.testing.assert_close(
        head.embed(sequences, edges), head.embed(by_hand, edges), rtol=1e-4, atol=1e-5
    )


def test_bad_features_are_refused():
    graph, x, _ = planted()
    split = make_split(graph, "C1", seed=0)
    with pytest.raises(InputError, match=r"features of width 5, got \(160, 8\)"):
        LinkPredictor(5)(x, graph.edge_index, torch.tensor([[0, 1]]))
    with pytest.raises(InputError, match="100 rows of features for a graph of 160"):
        fit_link(LinkPredictor(8), x[:100], split)
    with pytest.raises(ConfigError, match="either the width of the features or an encoder"):
        LinkPredictor()
    with pytest.raises(InputError, match="give features, not sequences"):
        LinkPredictor(8).embed(["MKT"], graph.edge_index)
    empty = Split("random", 160, [], [], [[0, 1]], [1])
    with pytest.raises(InputError, match="no supervision pairs"):
        fit_link(LinkPredictor(8), x, empty)


def test_new_edges_are_the_best_unknown_pairs_by_brute_force():
    graph, x, _ = planted(nodes=150)
    split = make_split(graph, "C1", seed=0)
    torch.manual_seed(0)
    members = [LinkPredictor(8, channels=8, decoder="dot", structure=True).eval() for _ in range(2)]
    scores = LinkScores([(member, x) for member in members], split)
    pairs, probability, spread = new_edges(scores, top=40)
    everything = torch.combinations(torch.arange(150))
    full, of_members = scores.probability(everything.numpy())
    known = {tuple(p) for p in split.known.tolist()}
    unknown = [i for i, p in enumerate(everything.tolist()) if tuple(p) not in known]
    best = sorted(unknown, key=lambda i: -full[i])[:40]
    np.testing.assert_allclose(probability, full[best], rtol=1e-5)
    np.testing.assert_allclose(spread, of_members[best], rtol=1e-4, atol=1e-7)
    assert {tuple(p) for p in pairs.tolist()} <= {tuple(everything[i].tolist()) for i in unknown}
    before = torch.get_num_threads()
    torch.set_num_threads(3 if before == 1 else 1)
    again = new_edges(scores, top=40)
    torch.set_num_threads(before)
    assert all(map(np.array_equal, again, (pairs, probability, spread)))


def test_of_equal_edges_those_of_the_first_proteins_are_found(monkeypatch):
    graph, x, _ = planted(nodes=150)
    split = make_split(graph, "C1", seed=0)
    scores = LinkScores([(LinkPredictor(8).eval(), x)], split)
    monkeypatch.setattr(scores, "row", lambda _, others: np.zeros(len(others)))
    known = {tuple(p) for p in split.known.tolist()}
    unknown = [p for p in torch.combinations(torch.arange(150)).tolist() if tuple(p) not in known]
    for top in (1, 40, 200):
        assert new_edges(scores, top).pairs.tolist() == unknown[:top]


def test_the_bar_of_new_edges_counts_pairs_not_proteins(monkeypatch):
    graph, x, _ = planted(nodes=150)
    scores = LinkScores([(LinkPredictor(8).eval(), x)], make_split(graph, "C1", seed=0))
    monkeypatch.setattr(scores, "row", lambda _, others: np.zeros(len(others)))
    steps, bars = [], []

    class Bar(inference.tqdm):
        def __init__(self, **options):
            bars.append(options)
            super().__init__(**options)

        def update(self, n=1):
            steps.append(n)

    monkeypatch.setattr(inference, "tqdm", Bar)
    new_edges(scores, 5)
    assert (bars[0]["unit"], bars[0]["total"]) == ("pair", 150 * 149 // 2)
    assert steps == list(range(149, 0, -1))


def test_partners_of_a_new_protein_are_its_group():
    graph, x, group = planted()
    split = make_split(graph, "C1", seed=0)
    torch.manual_seed(0)
    model = LinkModel.fit(x, split, members=2, options=FitOptions(steps=120, batch_size=256))
    best, of_graph = partners_of(
        model, x, split, torch.eye(8)[[3, 5]], nodes=np.array([-1, 7]), top=10
    )
    assert (group[best.pairs[:, 1]] == 3).float().mean() > 0.7
    assert (np.diff(best.probability) <= 1e-6).all()
    assert set(best.pairs[:, 0]) == {160}
    assert set(of_graph.pairs[:, 0]) == {7}
    known = {j for i, j in split.known.tolist() + split.known[:, ::-1].tolist() if i == 7}
    assert known & set(of_graph.pairs[:, 1].tolist())
    both = [
        list(partners_of(model, x, split, torch.eye(8)[[3, 5]], np.array([-1, 7]), 200, novel=new))
        for new in (False, True)
    ]
    everything, new = (set(found[1].pairs[:, 1].tolist()) for found in both)
    assert everything - new == known
    for name in ("pairs", "probability"):
        np.testing.assert_array_equal(getattr(both[0][0], name), getattr(both[1][0], name))
    with pytest.raises(InputError, match="top must be a whole number from 1, not 0"):
        next(partners_of(model, x, split, torch.eye(8)[3:4], top=0))


@pytest.mark.parametrize("wrong", ["train", "valid"])
def test_parts_are_masks(wrong):
    """Indices were taken for a mask of the rows 0 and 1."""
    _, x, group = planted()
    mask = torch.arange(160) % 2 == 0
    labels = torch.nn.functional.one_hot(group, 8).bool()
    edges, few = torch.empty((2, 0), dtype=torch.int64), FitOptions(steps=1)
    for bad in (torch.arange(5), mask[:100], mask.numpy()):
        parts = {"train": mask, "valid": ~mask, wrong: bad}
        with pytest.raises(InputError, match=rf"{wrong} must be a mask, bool of shape \(160,\)"):
            fit_function(
                FunctionPredictor(8, num_terms=8, conv="none"), x, edges, labels,
                **parts, options=few,
            )  # fmt: skip
        with pytest.raises(InputError, match=rf"{wrong} must be a mask, bool of shape \(160,\)"):
            fit_homology(HomologyClassifier(8, num_classes=8), x, group, **parts, options=few)


@pytest.mark.parametrize("validated", [True, False])
def test_a_loss_that_is_not_finite_ends_the_training(validated):
    _, x, group = planted()
    x[3] = float("nan")
    train = torch.arange(160) % 2 == 1
    valid = ~train if validated else torch.zeros(160, dtype=torch.bool)
    with pytest.raises(TrainingError, match="the loss is nan at step 1; look for features"):
        fit_homology(
            HomologyClassifier(8, num_classes=8), x, group, train, valid, FitOptions(steps=2)
        )


def test_features_of_a_link_model_are_finite_tensors_of_any_precision():
    graph, x, _ = planted()
    split = make_split(graph, "C1", seed=0)
    few = FitOptions(steps=2, batch_size=100)
    wanted, found = (
        LinkModel.fit(one, split, members=1, options=few).on(one, split).log_odds(split.held_out)
        for one in (x, x.double())
    )
    np.testing.assert_array_equal(found, wanted)
    for bad, match in (
        (x.numpy(), "not ndarray; torch.from_numpy"),
        ({"base": x.numpy()}, "features 'base' are no tensor"),
        (x[:, 0], r"features 'base' are no tensor of shape \(n, d\)"),
        (torch.where(x > 0.9, torch.nan, x), r"features 'base' of \d+ of 160 proteins are NaN"),
    ):
        with pytest.raises(InputError, match=match):
            LinkModel.fit(bad, split, members=1, options=few)


@pytest.mark.parametrize("conv", ["GCN", "none"])
def test_heads_take_features_of_another_precision(conv):
    graph, x, _ = planted()
    head = LinkPredictor(8, conv=conv).eval()
    weight = torch.rand(graph.edge_index.shape[1])
    found = head.embed(x.double(), graph.edge_index, weight.double())
    assert torch.equal(found, head.embed(x, graph.edge_index, weight))


def test_weights_that_leave_all_bounds_end_the_training():
    """Checks on validation ended with an error of sklearn, a head without them was kept."""
    graph, x, group = planted()
    train = torch.arange(160) % 2 == 1
    far = FitOptions(steps=1, batch_size=100, lr=1e30)
    labels = torch.nn.functional.one_hot(group, 8).bool()
    head = FunctionPredictor(8, num_terms=8, conv="none")
    with pytest.raises(TrainingError, match="logits of the validation part are not finite; look"):
        fit_function(head, x, torch.empty((2, 0)).long(), labels, train, ~train, far)
    with pytest.raises(TrainingError, match="logits of the validation part are not finite; look"):
        fit_link(LinkPredictor(8), x, make_split(graph, "C1", seed=0), far)
    head = torch.nn.Linear(2, 1)
    with pytest.raises(TrainingError, match="weights are not finite after the last step; look"):
        # The root has no gradient at zero.
        fit_head(head, lambda _step: (0 * head.weight).sqrt().sum(), None, FitOptions(steps=1), "")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"in_channels": 0}, InputError, "in_channels must be a whole number from 1, not 0"),
        ({"in_channels": 20.5}, InputError, "in_channels must be a whole number from 1, not 20.5"),
        ({"channels": 0}, InputError, "channels must be a whole number from 1, not 0"),
        ({"layers": -1}, InputError, "layers must be a whole number from 0, not -1"),
        ({"gated": 20}, InputError, "gated=20 leaves nothing of 20 features"),
        ({"dropout": "a"}, ConfigError, "dropout='a' must be a number"),
        ({"conv": 3}, UnknownNameError, "a convolution is named by a text"),
        ({"pool": "cls"}, ConfigError, "pool='cls' is of an encoder"),
    ],
)
def test_heads_that_make_no_sense_are_refused(given, error, said):
    """Some were made, with nothing inside; others ended in an error of torch."""
    with pytest.raises(error, match=said):
        LinkPredictor(**{"in_channels": 20, "channels": 8} | given)
    with pytest.raises(InputError, match="num_terms must be a whole number from 1, not 0"):
        FunctionPredictor(20, num_terms=0)
    with pytest.raises(InputError, match="num_classes must be a whole number from 1, not 2.5"):
        HomologyClassifier(20, num_classes=2.5)


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (torch.tensor([[0, -1]]), r"name a protein outside 0..2: -1"),
        (torch.tensor([[3, 0]]), r"name a protein outside 0..2: 3"),
        (torch.tensor([0, 1]), r"of shape \(p, 2\), not torch.int64 of shape \(2,\)"),
        (torch.tensor([[0.0, 1.0]]), r"not torch.float32 of shape \(1, 2\)"),
        ([[0, 1]], "not list"),
    ],
)
@pytest.mark.parametrize("head", ["link", "cross"])
def test_pairs_of_no_protein_are_refused(head, pairs, said):
    """-1, the number of an unknown name, was the last protein."""
    width = 4 * 20 if head == "link" else (4 + NUM_PARTS) * 20
    model = link_head(head, in_channels=width, conv="none").eval()
    none = torch.empty((2, 0), dtype=torch.int64)
    with pytest.raises(InputError, match=said):
        model(torch.rand(3, width), none, pairs)
    assert model(torch.rand(3, width), none, torch.empty((0, 2), dtype=torch.int64)).shape == (0,)
    with pytest.raises(InputError, match="features are a tensor; torch.from_numpy"):
        model(np.ones((3, width)), none, torch.tensor([[0, 1]]))


WRONG_EDGES = [
    (torch.tensor([[0, -1], [1, 0]]), "names a protein outside 0..2: -1"),
    (torch.tensor([[0, 3], [1, 0]]), "names a protein outside 0..2: 3"),
    (torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1]]), r"of shape \(2, m\)"),
    (torch.tensor([[0.0, 1], [1, 0]]), "must be whole numbers"),
    (torch.eye(3).to_sparse(), "sparse matrix"),
    (np.array([[0, 1], [1, 0]]), "not ndarray"),
    (None, "not NoneType"),
]


@pytest.mark.parametrize("case", range(len(WRONG_EDGES)))
@pytest.mark.parametrize("made", [{"conv": "GCN"}, {"conv": "none"}, {"conv": "GCN", "gated": 2}])
def test_edges_that_mean_nothing_are_refused_also_where_no_convolution_reads_them(case, made):
    edges, match = WRONG_EDGES[case]
    head = LinkPredictor(4, channels=8, **made)
    with pytest.raises(InputError, match=match):
        head(torch.rand(3, 4), edges, torch.tensor([[0, 1]]))


@pytest.mark.parametrize("made", [{"conv": "GCN"}, {"conv": "none"}, {"conv": "GCN", "gated": 2}])
def test_edges_of_int32_are_edges(made):
    head = LinkPredictor(4, channels=8, **made).eval()
    x, edges, pairs = torch.rand(3, 4), torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0, 2]])
    assert torch.equal(head(x, edges.int(), pairs.int()), head(x, edges, pairs))


@pytest.mark.parametrize("name", ["steps", "batch_size", "every"])
@pytest.mark.parametrize("value", [0, 2.5, "3", None, True, float("nan")])
def test_numbers_of_a_fit_are_whole(name, value):
    with pytest.raises(ConfigError, match=rf"{name} must be (a whole number|at least 1), not"):
        FitOptions(**{name: value})


@pytest.mark.parametrize("name", ["lr", "weight_decay", "isolate"])
@pytest.mark.parametrize("value", ["0.1", None, [0.1], torch.tensor(0.1)])
def test_rates_of_a_fit_are_numbers(name, value):
    with pytest.raises(ConfigError, match=f"{name} must be a number"):
        FitOptions(**{name: value})


@pytest.mark.parametrize("wrong", [{"conv": True}, {"conv": "json"}, {"head": ["link"]}])
def test_names_of_members_are_texts_that_mean_something(wrong):
    split = make_split(Data(edge_index=torch.randint(40, (2, 200)), num_nodes=40), "C1")
    with pytest.raises(UnknownNameError):
        LinkModel.fit(torch.rand(40, 4), split, options=FitOptions(steps=1), **wrong)


@pytest.mark.parametrize("members", [2.5, "2", None])
def test_a_number_of_members_is_whole(members):
    with pytest.raises(ConfigError, match="members must be a whole number"):
        LinkModel.fit(torch.rand(6, 4), None, members=members)


_X, _TRAIN = torch.rand(8, 4), torch.arange(8) < 6
_TERMS, _CLASSES = torch.arange(24).reshape(8, 3) % 2, torch.arange(8) % 3
WRONG_LABELS = {
    "counts": _TERMS * 2,
    "missing": torch.where(_TERMS > 0, float("nan"), 0.0),
    "short": _TERMS[:-1],
    "narrow": _TERMS[:, :1],
    "array": _TERMS.numpy(),
}
WRONG_CLASSES = {
    "fractions": _CLASSES + 0.5,
    "too high": _CLASSES + 1,
    "ignored by torch": torch.where(_CLASSES > 0, _CLASSES, -100),
    "one-hot": torch.eye(3)[_CLASSES],
    "array": _CLASSES.numpy(),
}


@pytest.mark.parametrize("wrong", WRONG_LABELS)
def test_labels_that_are_not_true_or_false_are_refused(wrong):
    # Without validation, a label of 2 was learned.
    head = FunctionPredictor(in_channels=4, num_terms=3, channels=8)
    edges = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(InputError, match="labels"):
        fit_function(head, _X, edges, WRONG_LABELS[wrong], _TRAIN, ~_TRAIN, FitOptions(steps=1))


@pytest.mark.parametrize("wrong", WRONG_CLASSES)
def test_classes_that_do_not_exist_are_refused(wrong):
    head = HomologyClassifier(in_channels=4, num_classes=3, channels=8)
    with pytest.raises(InputError, match="classes"):
        fit_homology(head, _X, WRONG_CLASSES[wrong], _TRAIN, ~_TRAIN, FitOptions(steps=1))


def test_labels_of_any_dtype_and_unused_ones_are_taken():
    unused = torch.cat([_TERMS[:7].float(), torch.full((1, 3), -1.0)])
    for terms in (_TERMS.bool(), _TERMS.float(), unused):
        head = FunctionPredictor(in_channels=4, num_terms=3, channels=8)
        edges, none = torch.tensor([[0, 1], [1, 0]]).int(), torch.zeros(8, dtype=torch.bool)
        fit_function(head, _X, edges, terms, _TRAIN, none, FitOptions(steps=1))
    head = HomologyClassifier(in_channels=4, num_classes=3, channels=8)
    fit_homology(head, _X, _CLASSES.int(), _TRAIN, ~_TRAIN, FitOptions(steps=1))
