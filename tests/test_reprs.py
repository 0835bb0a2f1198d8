"""What a notebook prints of an object is a line that says what it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from lcplm_graph.datasets.memory import from_dataframe
from lcplm_graph.heads.function import FunctionPredictor
from lcplm_graph.heads.function_model import FunctionModel
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.loaders import NeighborSampler
from lcplm_graph.heads.members import untrained
from lcplm_graph.heads.ppi_scorer import PPIScorer
from lcplm_graph.heads.recipe import Recipe
from lcplm_graph.models.encoders import load_encoder
from lcplm_graph.models.folder import Record
from lcplm_graph.splits.split import Split

PAIRS = np.array([[0, 1], [1, 2]])
SPLIT = Split("C1", 4, PAIRS, PAIRS, [[0, 2], [0, 3]], [0, 1], dropped=[[1, 3]])
OF_SPLIT = "2 message, 2 supervision, 1 valid, 1 test, 1 dropped"


def test_objects_say_what_they_are() -> None:
    frame = pd.DataFrame({"protein1": ["a", "b"], "protein2": ["b", "c"]})
    dataset = from_dataframe(frame, {"a": "MKT", "b": "MV", "c": "MA"})
    link = LinkModel([untrained(0, in_channels=4)], [Recipe(conv="GraphSAGE")])
    head = FunctionPredictor(4, num_terms=1, conv="none")
    edges = torch.tensor([[0, 1], [1, 2]])
    lines = {
        "MemoryPPI(3 proteins, 2 edges)": dataset,
        f"Split('C1', 4 proteins; pairs: {OF_SPLIT})": SPLIT,
        "LinkModel(1 members: GraphSAGE)": link,
        "LinkScores(1 members on 4 proteins, 2 message edges)": link.on(torch.rand(4, 4), SPLIT),
        "FunctionModel(1 terms of MF, no annotated proteins)": FunctionModel(
            head, ["GO:0000001"], ["a"], "MF", []
        ),
        "NeighborSampler(3 proteins, 2 edges, num_neighbors=[3], seed=0)": NeighborSampler(
            edges, 3, [3]
        ),
        "Record(facts: data, steps; 2 seen edges)": Record(
            {"data": "x", "steps": 3}, np.array([1, 2], np.uint64)
        ),
        "CompositionEncoder(name='dipeptide', dim=420, pool='mean')": load_encoder("dipeptide"),
    }
    for line, thing in lines.items():
        assert repr(thing) == line
    assert "name='random:1m', dim=160, pool='mean'" in repr(load_encoder("random:1m"))


def test_a_scorer_says_what_it_is() -> None:
    shown = repr(PPIScorer.from_pretrained())
    assert shown.startswith("PPIScorer(lcplm-2m, ")
    assert shown.endswith(" training proteins)")
