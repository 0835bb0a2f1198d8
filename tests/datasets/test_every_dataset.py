"""Every public function that takes a dataset, on every family: right, or one sentence."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
import torch
from families import FAMILIES, IDS, PAIRS, SEQUENCES

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.memory import MemoryPPI, from_networkx, to_dataframe, to_networkx
from lcplm_graph.errors import LcPlmError
from lcplm_graph.features.embed import EmbedJob
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.features.transform import AddProteinFeatures
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.fit_link import fit_link
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.loaders import link_loader, node_loader
from lcplm_graph.heads.structure import PairStructure
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.pairs import pair_graph
from lcplm_graph.proteins.fasta import read_fasta, write_fasta
from lcplm_graph.proteins.search import homologous_pairs
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.make import make_split
from lcplm_graph.splits.sets import SPLIT_KINDS
from lcplm_graph.strings import string_list
from lcplm_graph.tokens.packing import tokenize
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.stream import WalkStream

COMPOSITION = load_encoder("composition")
TINY = LcPlmEncoder(LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1)).eval(), "tiny")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return {name: make(tmp_path_factory.mktemp("family")) for name, make in FAMILIES.items()}


def graph_of(dataset):
    data = dataset[0]
    return None if getattr(data, "edge_index", None) is None else data


def the_split(dataset):
    return make_split(dataset, "random", valid=0.2, test=0.2, sequences=dataset.sequences)


def splits(dataset, _folder):
    for kind in SPLIT_KINDS:
        options = {"method": "kmer"} if kind == "cluster" else {}
        try:
            split = make_split(dataset, kind, valid=0.2, test=0.3, seed=1, **options)
        except LcPlmError:  # eight proteins are few for some kinds
            continue
        assert split.num_nodes == len(dataset.sequences)
        assert {tuple(pair) for pair in split.known.tolist()} == named_pairs(dataset)
    assert the_split(dataset).check(dataset[0].protein_id).counts()["test"] == 1


def named_pairs(dataset):
    data = dataset[0]
    return {tuple(sorted(pair)) for pair in data.edge_index.T.tolist()}


def walks(dataset, _folder):
    split = the_split(dataset)
    stream = WalkStream(WalkSampler(split, 3), dataset.sequences, max_tokens=80)
    allowed = {tuple(pair) for pair in split.message.tolist()}
    for walk in stream.sampler.walks(0, 8):
        steps = [tuple(sorted(step)) for step in itertools.pairwise(walk) if -1 not in step]
        assert set(steps) <= allowed
    assert stream.batch(0, 200).cu_seqlens[-1] > 0


def frames_and_graphs(dataset, _folder):
    frame, graph = to_dataframe(dataset), to_networkx(dataset)
    assert len(frame) == graph.number_of_edges() == len(named_pairs(dataset))
    assert list(graph.nodes) == dataset.sequences.ids
    again = from_networkx(graph)
    assert again.sequences.ids == dataset.sequences.ids
    assert torch.equal(again[0].edge_index, dataset[0].edge_index)
    assert isinstance(MemoryPPI(dataset[0], dataset.sequences).split, type(again.split))


def features(dataset, folder):
    want = COMPOSITION.embed(dataset.sequences)
    assert torch.equal(cached_embeddings(COMPOSITION, dataset.sequences, root=folder), want)
    data = dataset[0].clone()
    data.sequences = dataset.sequences
    made = AddProteinFeatures(COMPOSITION)(data)
    assert torch.equal(made.x, want)
    assert torch.equal(AddProteinFeatures(COMPOSITION)(dataset).x, want)


def features_in_walks(dataset, _folder):
    split = the_split(dataset)
    options = {"walks_per_protein": 1, "walk_length": 2, "progress": False}
    add = AddProteinFeatures(TINY, context="walks", split=split, **options)
    assert len(add(dataset).x) == len(dataset.sequences)


def strings(dataset, folder):
    ids, texts = dataset.sequences.ids, list(dataset.sequences)
    assert ids == list(dataset[0].protein_id)
    assert texts == [SEQUENCES[name] for name in ids]
    write_fasta(folder / "a.fasta", dataset[0].protein_id, dataset.sequences)
    assert list(SequenceStore.from_fasta(folder / "a.fasta")) == texts
    assert sum(batch.num_rows for batch in read_fasta(folder / "a.fasta")) == len(ids)
    assert len(tokenize(dataset.sequences).cu_seqlens) == len(ids) + 1
    assert homologous_pairs(dataset.sequences, method="kmer").pairs.shape[1] == 2
    assert string_list(dataset[0].protein_id) == ids
    for call in (string_list, COMPOSITION.embed, tokenize):
        with pytest.raises(LcPlmError, match="sequences"):
            call(dataset)


def files(dataset, folder):
    path = folder / "a.fasta"
    write_fasta(path, dataset.sequences.ids, dataset.sequences)
    EmbedJob(path, COMPOSITION, folder / "a.npz").run(progress=False)
    with np.load(folder / "a.npz") as made:
        assert made["ids"].tolist() == dataset.sequences.ids


def names(dataset, _folder):
    for node, name in enumerate(dataset.sequences.ids):
        assert dataset.node(name) == node
        assert dataset[name].sequence == SEQUENCES[name]
    with pytest.raises(LcPlmError):
        dataset.node("nobody")


def neighbours(dataset, _folder):
    partners = set(dataset.neighbors(IDS[0]).protein_id)
    assert partners == {IDS[b if a == 0 else a] for a, b in PAIRS if 0 in (a, b)}
    assert set(dataset.neighbors(IDS[0]).columns) >= {"protein_id", "weight"}


def loaders(dataset, _folder):
    data = dataset[0].clone()
    data.x = torch.arange(data.num_nodes, dtype=torch.float32)[:, None]
    for batch in node_loader(data, torch.arange(data.num_nodes), [2], batch_size=3):
        assert batch.x[:, 0].tolist() == batch.n_id.tolist()
        assert list(batch.protein_id) == [data.protein_id[i] for i in batch.n_id.tolist()]
    for batch in link_loader(data, the_split(dataset), "train", [2], batch_size=3):
        assert list(batch.protein_id) == [data.protein_id[i] for i in batch.n_id.tolist()]


def heads(dataset, _folder):
    split = make_split(dataset, "random", valid=0, test=0.2)
    x = COMPOSITION.embed(dataset.sequences)
    model = LinkPredictor(x.shape[1], channels=4, layers=1)
    fit_link(model, x, split, FitOptions(steps=1, batch_size=4, every=1))
    graph = pair_graph(dataset[0])
    assert len(PairStructure(graph.pairs, graph.num_nodes).of(split.train)) == len(split.train)


def functions(dataset, folder):
    terms = "".join(
        f"\n[Term]\nid: GO:000000{i}\nname: t{i}\nnamespace: molecular_function\n" for i in (1, 2)
    )
    (folder / "go.obo").write_text("format-version: 1.2\n" + terms)
    rows = [f"{name}\tGO:000000{1 + i % 2}\tIDA\n" for i, name in enumerate(IDS)]
    (folder / "go.tsv").write_text("protein\tgo_id\tevidence\n" + "".join(rows))
    made = GOFunction(
        annotations=folder / "go.tsv", ontology=folder / "go.obo", graph=dataset, root=folder,
        min_proteins=1,
    )  # fmt: skip
    assert made.sequences.ids == dataset.sequences.ids
    assert torch.equal(made[0].edge_index, dataset[0].edge_index)


OF_PROTEINS = [strings, files, names, features]
OF_GRAPHS = [splits, walks, features_in_walks, loaders, heads, frames_and_graphs, functions]


@pytest.mark.parametrize(
    "function", [*OF_PROTEINS, *OF_GRAPHS, neighbours], ids=lambda function: function.__name__
)
def test_every_dataset(datasets, tmp_path, function):
    for name, dataset in datasets.items():
        folder = tmp_path / name
        folder.mkdir()
        is_network = isinstance(dataset, PPIDataset)
        has_graph = graph_of(dataset) is not None
        if function is neighbours:  # a method of networks alone
            serves = is_network
        else:
            serves = has_graph or function in OF_PROTEINS
        if serves:
            function(dataset, folder)
        elif function is not neighbours:
            with pytest.raises(LcPlmError) as told:
                function(dataset, folder)
            assert "\n" not in str(told.value), name
    assert isinstance(to_networkx(datasets["PairPPI"]), nx.Graph)
