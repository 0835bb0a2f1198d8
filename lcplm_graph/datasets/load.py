"""Protein graphs by the name that ``--graph`` takes, and their splits by what ``--split`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.datasets.string import StringPPI
from lcplm_graph.errors import ConfigError

if TYPE_CHECKING:
    from lcplm_graph.splits.split import Split


def load_graph(name: str) -> PPIDataset:
    """Load a graph with its sequences: a STRING network by name, or ``pairs:FILE``.

    Examples
    --------
    >>> load_graph("string_human_core")[0].num_nodes
    7728
    """
    return PairPPI(name) if name.startswith("pairs:") else StringPPI(name)


def graph_split(dataset: PPIDataset, split: str, seed: int) -> Split:
    """Split a graph by a kind, or as a file says.

    Parameters
    ----------
    dataset : PPIDataset
    split : str
        One of `lcplm_graph.splits.make.SPLIT_KINDS`, or the path of a saved split.
    seed : int
        Of a kind; a saved split is as it is.

    Raises
    ------
    UnknownNameError
        If there is neither such a kind nor such a file.
    ConfigError
        If a saved split is of another graph.
    """
    from lcplm_graph.splits.split import Split

    path = Path(split)
    if not path.suffix and len(path.parts) == 1 and not path.with_suffix(".json").exists():
        return dataset.split(kind=split, seed=seed)
    made = Split.load(split)
    if made.num_nodes != len(dataset.sequences):
        raise ConfigError(
            f"{split} splits a graph of {made.num_nodes} proteins, but this one has "
            f"{len(dataset.sequences)}; give the graph it was made for"
        )
    return made
