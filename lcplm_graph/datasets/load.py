"""Protein graphs by the name that ``--graph`` takes."""

from __future__ import annotations

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.datasets.string import StringPPI


def load_graph(name: str) -> PPIDataset:
    """Load a graph with its sequences: a STRING network by name, or ``pairs:FILE``.

    Examples
    --------
    >>> load_graph("string_human_core")[0].num_nodes
    7728
    """
    return PairPPI(name) if name.startswith("pairs:") else StringPPI(name)
