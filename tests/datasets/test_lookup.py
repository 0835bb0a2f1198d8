"""Proteins of a dataset by name, and transforms that find its sequences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.transforms import Compose, LargestConnectedComponents, RandomLinkSplit

from lcplm_graph.datasets.memory import MemoryPPI, from_dataframe
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.errors import UnknownNameError
from lcplm_graph.features.transform import AddProteinFeatures

SEQUENCES = {"sp|P1|A_X": "MKT", "b": "MVVA", "c": "MAAAA", "d": "MGGGG", "e": "MCCCC"}


@pytest.fixture
def dataset() -> MemoryPPI:
    edges = pd.DataFrame(
        {
            "protein1": ["P1", "P1", "d", "b"],
            "protein2": ["b", "c", "e", "c"],
            "w": [0.2, 0.9, 1, 1],
        }
    )
    found = from_dataframe(edges, SEQUENCES, weight="w")
    data = found.get(0)
    data.symbol = ["GENE1", "GENE2", "GENE3", "GENE3", "GENE5"]
    return MemoryPPI(data, found.sequences)


@pytest.mark.parametrize("name", ["sp|P1|A_X", "P1", "GENE1", "gene1"])
def test_a_protein_by_name(dataset: MemoryPPI, name: str) -> None:
    protein = dataset[name]
    assert (protein.node, protein.id, protein.symbol) == (0, "sp|P1|A_X", "GENE1")
    assert (protein.sequence, protein.degree, len(protein)) == ("MKT", 2, 3)
    assert "3 residues, degree=2" in repr(protein)


def test_partners_are_a_table_with_the_surest_first(dataset: MemoryPPI) -> None:
    table = dataset.neighbors("GENE1")
    assert table["protein_id"].tolist() == ["c", "b"]
    assert table["symbol"].tolist() == ["GENE3", "GENE2"]
    np.testing.assert_allclose(table["weight"], [0.9, 0.2])


def test_names_that_mean_nothing_or_too_much(dataset: MemoryPPI) -> None:
    with pytest.raises(UnknownNameError, match="no protein 'GENE7' of this dataset, did you"):
        dataset["GENE7"]
    with pytest.raises(UnknownNameError, match="name of 2 proteins of this dataset: c, d"):
        dataset.neighbors("GENE3")


def in_files(tmp_path, **options) -> PairPPI:
    (tmp_path / "p.tsv").write_text("a\tb\nb\tc\nd\te\n")
    (tmp_path / "p.fasta").write_text("".join(f">{n}\nM{n.upper() * 4}\n" for n in "acbde"))
    return PairPPI(tmp_path / "p.tsv", root=tmp_path / "root", **options)


def test_features_as_a_transform_alone_and_composed(tmp_path) -> None:
    add = AddProteinFeatures("composition", progress=False)
    plain = in_files(tmp_path)
    for dataset in (in_files(tmp_path, transform=add), in_files(tmp_path, pre_transform=add)):
        data = dataset[0]
        torch.testing.assert_close(data.x, add.encoder.embed(plain.sequences))
        assert "sequences" not in data
        assert dataset.split("random", valid=0.0, test=0.4).counts()["test"] == 1
    part = in_files(tmp_path, transform=Compose([LargestConnectedComponents(), add]))[0]
    assert part.protein_id == ["a", "c", "b"]
    torch.testing.assert_close(part.x, add.encoder.embed(["MAAAA", "MCCCC", "MBBBB"]))


def test_a_transform_that_gives_several_graphs(tmp_path) -> None:
    add = AddProteinFeatures("composition", progress=False)
    several = Compose([add, RandomLinkSplit(num_val=0.0, num_test=0.4, is_undirected=True)])
    parts = in_files(tmp_path, transform=several)[0]
    assert len(parts) == 3
    assert all("sequences" not in part and part.x.shape == (5, 20) for part in parts)
