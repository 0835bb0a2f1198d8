"""Every door that takes weights or scores refuses NaN, infinities and another length."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import Data

from lcplm_graph.datasets.memory import MemoryPPI, from_dataframe, from_networkx
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.errors import LcPlmError
from lcplm_graph.evaluation import metrics
from lcplm_graph.evaluation.bootstrap import bootstrap_mean
from lcplm_graph.files.networks import Network, write_network
from lcplm_graph.heads.calibration import Calibration
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.loaders import node_loader
from lcplm_graph.ops.random_walk.tables import make_graph
from lcplm_graph.proteins.fasta import write_fasta
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.split import Split

PAIRS = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
NAMES = np.array(list("abcdef"))
STORE = SequenceStore.from_records(NAMES, ["MKTAYIAKQR"] * 6)
LABELS, SCORES, CLASSES = [1, 0, 1, 0], [0.4, 0.3, 0.2, 0.1], [1, 2, 3, 1]
NOT_FINITE = {"nan": [np.nan, 1, 1, 1], "inf": [1, np.inf, 1, 1], "-inf": [1, 1, 1, -np.inf]}
OTHER = {"short": [1, 1, 1], "long": [1] * 5, "words": ["a", "b", "c", "d"], "one": 1.0}
NEGATIVE, LARGE = {"negative": [1, -0.5, 1, 1]}, {"large": [1, 1, 2, 1]}
WEIGHTS = {**NOT_FINITE, **OTHER, **NEGATIVE}
SHARES = {**WEIGHTS, **LARGE}


def both(weights):
    """Weights of edges in both directions, where that can be said."""
    if np.asarray(weights).dtype.kind in "if" and np.ndim(weights):
        return torch.tensor(np.tile(np.asarray(weights, np.float32), 2))
    return weights


def data(weights):
    edges = torch.from_numpy(np.concatenate([PAIRS, PAIRS[:, ::-1]]).T.copy())
    return Data(edge_index=edges, num_nodes=6, edge_weight=both(weights), protein_id=NAMES.tolist())


def split(weights):
    return Split("random", 6, PAIRS, PAIRS, [[3, 4], [4, 5]], [0, 1], message_weight=weights)


def frame(weights):
    ends = NAMES[PAIRS]
    made = pd.DataFrame({"protein1": ends[:, 0], "protein2": ends[:, 1]})
    return made.assign(weight=pd.Series(np.ravel(weights)[:4]))


def graph(weights):
    made: nx.Graph = nx.Graph()
    for (a, b), weight in zip(NAMES[PAIRS], weights, strict=True):
        made.add_edge(a, b, weight=weight)
    return made


def table(folder, weights):
    write_fasta(folder / "a.fasta", NAMES, STORE)
    rows = zip(NAMES[PAIRS], weights, strict=True)
    (folder / "p.tsv").write_text("".join(f"{a}\t{b}\t{weight}\n" for (a, b), weight in rows))
    return PairPPI(folder / "p.tsv", folder / "a.fasta", root=folder)


def head(weights, conv):
    graph = data(weights)
    model = LinkPredictor(2, channels=4, conv=conv).eval()
    return model(torch.ones(6, 2), graph.edge_index, torch.tensor([[0, 1]]), graph.edge_weight)


def network(path, weights):
    rows = [(a, b, weight) for (a, b), weight in zip(NAMES[PAIRS], weights, strict=True)]
    return write_network(path, Network(("a", "b", "p"), rows, ("a", "b")))


ROWWISE = {kind: SHARES[kind] for kind in ("nan", "inf", "-inf", "words", "negative", "large")}
DOORS = {
    "Split": (split, SHARES),
    "make_split": (lambda w: make_split(data(w), kind="random", valid=0, test=0.3), SHARES),
    "MemoryPPI": (lambda w: MemoryPPI(data(w), STORE), SHARES),
    "from_dataframe": (lambda w: from_dataframe(frame(w), STORE, weight="weight"), ROWWISE),
    "from_networkx": (lambda w: from_networkx(graph(w), STORE), ROWWISE),
    "make_graph of walks": (lambda w: make_graph(6, PAIRS, w), WEIGHTS),
    "head, GCN": (lambda w: head(w, "GCN"), WEIGHTS),
    "head, GraphSAGE": (lambda w: head(w, "GraphSAGE"), WEIGHTS),
    "node_loader": (lambda w: node_loader(data(w), torch.arange(6), [2]), WEIGHTS),
    "auroc": (lambda w: metrics.auroc(LABELS, SCORES, w), WEIGHTS),
    "average_precision": (lambda w: metrics.average_precision(LABELS, SCORES, weights=w), WEIGHTS),
    "scores of auroc": (lambda s: metrics.auroc(LABELS, s), {**NOT_FINITE, **OTHER}),
    "hits_at_k": (lambda s: metrics.hits_at_k(s, SCORES, 1), NOT_FINITE),
    "calibration_error": (lambda p: metrics.calibration_error(LABELS, p), SHARES),
    "reliability_bins": (lambda p: metrics.reliability_bins(LABELS, p), SHARES),
    "Calibration.fit": (
        lambda s: Calibration.fit(s, LABELS, CLASSES), {**NOT_FINITE, **OTHER}
    ),
    "bootstrap_mean": (lambda v: bootstrap_mean(v, resamples=2), NOT_FINITE),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_weights_that_are_none_are_refused(door):
    call, wrong = DOORS[door]
    call([0.5, 0.25, 1.0, 0.125])
    for kind, weights in wrong.items():
        with pytest.raises(LcPlmError) as told:
            call(weights)
        assert "\n" not in str(told.value), kind


@pytest.mark.parametrize("kind", ROWWISE)
def test_weights_in_files_are_refused(tmp_path, kind):
    with pytest.raises(LcPlmError, match=r"p\.tsv, line [1-4]"):
        table(tmp_path, ROWWISE[kind])


@pytest.mark.parametrize("suffix", ["tsv", "graphml", "cx2"])
def test_numbers_that_are_none_are_not_written(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    for weights in (*NOT_FINITE.values(), [1.0, None, 1.0, 1.0]):
        with pytest.raises(LcPlmError, match="row [013]: p is (nan|-?inf|None)"):
            network(path, weights)
    assert not any(tmp_path.iterdir())
    network(path, np.array([0.5, 0.25, 1.0, 0.125], np.float32))


@pytest.mark.parametrize("name", ["my.part1.cx2", "a" * 120 + ".cx2", ".hidden.cx2"])
def test_a_network_is_called_as_its_file(tmp_path, name):
    rows = [("a", "b", 0.5)]
    write_network(tmp_path / name, Network(("x", "y", "p"), rows, ("x", "y")))
    document = json.loads((tmp_path / name).read_text())
    found = [
        part["networkAttributes"][0]["name"] for part in document if "networkAttributes" in part
    ]
    assert found == [name.removesuffix(".cx2")]
