"""Transforms that change the graph: splits, tables and labels are of the graph they make."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import LargestConnectedComponents

from lcplm_graph import GOFunction, PairPPI, StringPPI
from lcplm_graph.datasets.memory import MemoryPPI, to_dataframe, to_networkx
from lcplm_graph.errors import InputError
from lcplm_graph.heads.loaders import link_loader
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.make import make_split

NODES = 40


def named(data):
    return {
        frozenset((data.protein_id[a], data.protein_id[b])) for a, b in data.edge_index.T.tolist()
    }


@pytest.fixture
def files(tmp_path):
    draw = random.Random(0)
    pairs = {tuple(sorted(draw.sample(range(NODES), 2))) for _ in range(160)}
    table = "".join(f"p{i:02}\tp{j:02}\t{0.9 if (i + j) % 2 else 0.3}\n" for i, j in sorted(pairs))
    (tmp_path / "p.tsv").write_text(table)
    letters = "ACDEFGHIKLMNPQRSTVWY"
    (tmp_path / "p.fa").write_text(
        "".join(f">p{i:02}\n{''.join(draw.choices(letters, k=30))}\n" for i in range(NODES))
    )
    return tmp_path / "p.tsv", tmp_path / "p.fa"


def test_edges_that_a_transform_takes_away_are_in_no_split(files):
    strong = PairPPI(*files, transform=lambda data: data.edge_subgraph(data.edge_weight >= 0.5))
    pairs = strong[0].num_edges // 2
    assert 0 < pairs < len(PairPPI(*files).split("random").known)
    split = strong.split("C1")
    assert len(split.known) == pairs == len(to_dataframe(strong))
    assert split.message_weight.min() >= 0.5
    assert to_networkx(strong).number_of_edges() == pairs


def test_nodes_that_a_transform_puts_in_another_order_keep_their_partners(files):
    def backwards(data):
        last = data.num_nodes - 1
        return Data(edge_index=last - data.edge_index, edge_weight=data.edge_weight,
                    protein_id=data.protein_id.flip(0), num_nodes=data.num_nodes)  # fmt: skip

    dataset = PairPPI(*files, transform=backwards)
    data, real = dataset[0], named(PairPPI(*files)[0])
    split = dataset.split("cluster", method="kmer")
    assert {frozenset(data.protein_id[i] for i in pair) for pair in split.known.tolist()} == real
    batch = next(iter(link_loader(data, split, "train", [3], batch_size=32, shuffle=True)))
    positive = batch.edge_label_index[:, batch.edge_label == 1].T.tolist()
    assert all(frozenset(batch.protein_id[i] for i in pair) in real for pair in positive)
    graph = to_networkx(dataset)
    own = dict(zip(dataset.sequences.ids, dataset.sequences, strict=True))
    assert {frozenset(edge) for edge in graph.edges} == real
    assert dict(graph.nodes(data="sequence")) == own


def test_nodes_that_a_transform_drops_are_in_no_split_and_no_label(tmp_path):
    plain = StringPPI("string_human_core")
    real = named(plain[0])
    largest = StringPPI("string_human_core", transform=LargestConnectedComponents())
    assert largest.split("random").num_nodes == largest[0].num_nodes < plain[0].num_nodes
    assert to_networkx(largest).number_of_nodes() == largest[0].num_nodes
    options = {"min_proteins": 50, "root": tmp_path}
    function = GOFunction("string_human_core", graph=largest, **options)
    assert function[0].num_nodes == len(function.sequences) == largest[0].num_nodes
    assert named(function[0]) == named(largest[0]) < real
    assert named(GOFunction("string_human_core", graph=plain, **options)[0]) == real
    assert function["TP53"].symbol == "TP53"


def families(count=30, size=4):
    draw, letters = random.Random(0), "ACDEFGHIKLMNPQRSTVWY"
    made = ["".join(draw.choices(letters, k=120)) for _ in range(count)]
    ids = [f"f{i // size:02}_{i % size}" for i in range(count * size)]
    mutated = [
        "".join(
            draw.choice(letters) if draw.random() < 0.1 else letter for letter in made[i // size]
        )
        for i in range(len(ids))
    ]
    return ids, mutated, draw


def test_sequences_in_the_order_of_a_file_are_matched_by_id():
    ids, texts, draw = families()
    order = draw.sample(range(len(ids)), len(ids))
    store = SequenceStore.from_records([ids[i] for i in order], [texts[i] for i in order])
    edges = torch.from_numpy(np.random.default_rng(0).integers(0, len(ids), (2, 4000)))
    data = Data(edge_index=edges[:, edges[0] != edges[1]], num_nodes=len(ids), protein_id=ids)
    split = make_split(data, "cluster", sequences=store, method="kmer", seed=0)
    of_part = [{ids[i][:3] for i in np.unique(part)} for part in (split.train, split.held_out)]
    assert of_part[1] and not of_part[0] & of_part[1]
    with pytest.raises(InputError, match="70 of 120 proteins of the graph have no sequence"):
        make_split(data, "C3", sequences=SequenceStore.from_records(ids[:50], texts[:50]))
    del data.protein_id
    with pytest.raises(InputError, match="120 proteins without `protein_id`, and there are 50"):
        make_split(data, "C3", sequences=SequenceStore.from_records(ids[:50], texts[:50]))


STORE = SequenceStore.from_records(list("abcd"), ["MKT", "MV", "MA", "MKKK"])


def some_data(edges, **more):
    weights = torch.arange(1, 1 + len(edges), dtype=torch.float64) / 10
    return Data(edge_index=torch.tensor(edges).T, edge_weight=weights, protein_id=list("abcd"),
                num_nodes=4, **more)  # fmt: skip


def test_edges_in_one_direction_are_edges_in_every_view():
    data = some_data([[1, 0], [2, 1], [0, 3], [1, 2]])
    before = data.clone()
    dataset = MemoryPPI(data, STORE)
    table = to_dataframe(dataset)
    rows = zip(table.protein1, table.protein2, table.weight, strict=True)
    assert [(a, b, round(w, 4)) for a, b, w in rows] == [
        ("a", "b", 0.1),
        ("a", "d", 0.3),
        ("b", "c", 0.4),
    ]
    assert to_networkx(dataset).number_of_edges() == 3
    assert sorted(dataset.neighbors("a").protein_id) == ["b", "d"]
    assert dataset["d"].degree == 1
    assert len(dataset.split("random", valid=0, test=0.34).known) == 3
    dataset[0].edge_weight.fill_(0.5)
    assert data.protein_id == before.protein_id and isinstance(data.protein_id, list)
    assert torch.equal(data.edge_index, before.edge_index)
    assert torch.equal(data.edge_weight, before.edge_weight)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (some_data([[0, 9]]), "names a protein outside 0..3"),
        (some_data([[1, 0]], edge_attr=torch.rand(1, 2)), "edge_attr, and edges in one direction"),
        (Data(edge_index=torch.tensor([[0], [1]]), num_nodes=4), "no protein_id"),
        (Data(protein_id=list("abcd"), num_nodes=4), "no edge_index"),
    ],
)
def test_what_is_no_graph_of_proteins_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        MemoryPPI(data, STORE)


def test_attributes_of_edges_in_both_directions_stay():
    data = some_data([[0, 1], [1, 0]], edge_attr=torch.rand(2, 2))
    assert torch.equal(MemoryPPI(data, STORE)[0].edge_attr, data.edge_attr)
