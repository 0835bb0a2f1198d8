"""What is no path, no text and no number is said in one sentence at the doors that take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lcplm_graph.errors import InputError, LcPlmError
from lcplm_graph.features.precomputed import has_species, read_embeddings
from lcplm_graph.go.annotations import read_annotations
from lcplm_graph.go.ontology import Ontology
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.splits.split import Split
from lcplm_graph.tokens.masking import mask_tokens
from lcplm_graph.tokens.packing import cu_seqlens_of, tokenize
from lcplm_graph.tokens.vocabulary import encode_residues

DOORS = {
    "FASTA": SequenceStore.from_fasta,
    "split": Split.load,
    "link model": LinkModel.load,
    "embeddings": read_embeddings,
    "embeddings of species": has_species,
    "annotations": read_annotations,
    "ontology": Ontology.from_obo,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", [None, 3, b"a.fasta", ["a.fasta"], np.array("a"), object()])
def test_what_is_no_path_is_refused(door, path):
    with pytest.raises(InputError, match="a file is named by a text or a path, not by"):
        DOORS[door](path)


@pytest.mark.parametrize("door", DOORS)
def test_paths_and_texts_are_taken(door, tmp_path):
    for path in (tmp_path / "none.obo", str(tmp_path / "none.obo"), np.str_(tmp_path / "none.obo")):
        if door == "embeddings of species":
            assert not DOORS[door](path)
            continue
        with pytest.raises(LcPlmError) as told:
            DOORS[door](path)
        assert "named by" not in str(told.value) and str(Path(path).parent) in str(told.value)


@pytest.mark.parametrize("lengths", [[2.5], [[1, 2]], 3, ["3"], torch.tensor([[1, 2]])])
def test_lengths_of_streams_are_whole_numbers(lengths):
    # Fractions were cut, and a table gave boundaries of another shape.
    with pytest.raises(InputError, match="lengths of streams must be"):
        cu_seqlens_of(lengths)


def test_lengths_of_no_stream_and_of_any_kind():
    assert cu_seqlens_of([]).tolist() == [0]
    for lengths in ([3, 4], np.array([3, 4], np.uint8), torch.tensor([3, 4], dtype=torch.int16)):
        assert cu_seqlens_of(lengths).tolist() == [0, 3, 7]


@pytest.mark.parametrize("records", [["a"], ["a", "b", "c"]])
def test_records_are_one_for_each_sequence(records):
    with pytest.raises(InputError, match="records for 2 sequences"):
        tokenize(["MKT", "GA"], records=records)


@pytest.mark.parametrize("sequence", [None, 3, ["MKT"], np.array("MKT")])
def test_sequences_are_texts(sequence):
    with pytest.raises(InputError, match="is a text, not"):
        encode_residues(sequence)


@pytest.mark.parametrize("rates", [{"rate": "0.1"}, {"relation_rate": None}, {"rate": [0.1]}])
def test_rates_of_masking_are_numbers(rates):
    with pytest.raises(InputError, match="rate must be a number"):
        mask_tokens(torch.tensor([0, 5, 2]), **rates)
