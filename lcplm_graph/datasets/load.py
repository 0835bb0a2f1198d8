"""Protein graphs by the name that ``--graph`` takes, and their splits by what ``--split`` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lcplm_graph.datasets.base import PPIDataset
from lcplm_graph.datasets.pairs import PairPPI
from lcplm_graph.datasets.string import StringPPI
from lcplm_graph.errors import ConfigError, UnknownNameError
from lcplm_graph.files.catalog import list_cards
from lcplm_graph.pairs import pair_graph, pair_keys
from lcplm_graph.registry import Registry

if TYPE_CHECKING:
    from lcplm_graph.splits.split import Split


def _ours() -> dict[str, str]:
    string = "lcplm_graph.datasets.string:StringPPI"
    names = ["string", *(card.name for card in list_cards() if card.kind == "ppi")]
    return {**dict.fromkeys(names, string), "pairs": "lcplm_graph.datasets.pairs:PairPPI"}


GRAPHS: Registry[Callable[[str], PPIDataset]] = Registry(
    "dataset", "lcplm_graph.datasets", **_ours()
)
"""Graphs by the first word of their name; each is called with the whole name."""


def load_graph(name: str, min_score: float | None = None) -> PPIDataset:
    """Load a graph with its sequences by what ``--graph`` takes.

    Parameters
    ----------
    name : str
        A STRING network, ``pairs:FILE``, or ``NAME`` or ``NAME:...`` of an installed package
        that has the entry point `NAME` in the group ``lcplm_graph.datasets``.
    min_score : float, optional
        Keep edges of at least this score in thousandths, a whole number; of STRING and of
        ``pairs:FILE``.

    Raises
    ------
    ConfigError
        If `min_score` is none, or the graph has no scores, or is of another package.
    UnknownNameError
        If the name is not known; if it is a file without ``pairs:``.
    PluginError
        If another package's dataset fails.

    Examples
    --------
    >>> load_graph("string_human_core")[0].num_nodes
    7728
    """
    key = name.partition(":")[0]
    if key not in GRAPHS and Path(name).is_file():
        raise UnknownNameError(
            f"{name!r} is a file, not a dataset; a table of pairs is pairs:{name}"
        )
    if min_score is not None:
        return _strong_links(key, name, float(min_score))
    return GRAPHS.make(key, name, base=PPIDataset) if key in GRAPHS else StringPPI(name)


def _strong_links(key: str, name: str, min_score: float) -> PPIDataset:
    if not min_score.is_integer():
        advice = f"give {min_score * 1000:g}" if 0 < min_score < 1 else "give a whole number"
        raise ConfigError(
            f"--min-score {min_score:g}: scores are in thousandths here, as STRING has them; "
            f"{advice}"
        )
    if key == "pairs":
        return PairPPI(name, min_score=int(min_score))
    if key in GRAPHS and key not in _ours():
        raise ConfigError(f"--min-score is of STRING and pairs:FILE; {name} takes none")
    return StringPPI(name, min_score=int(min_score))


def is_saved_split(split: str) -> bool:
    """Tell whether this is the path of a saved split, not a kind; see `graph_split`.

    Examples
    --------
    >>> is_saved_split("C1"), is_saved_split("C1.json"), is_saved_split("runs/two/split")
    (False, True, True)
    """
    from lcplm_graph.splits.sets import SPLIT_KINDS

    path = Path(split)
    named = path.suffix or len(path.parts) > 1 or path.with_suffix(".json").exists()
    return split not in SPLIT_KINDS and bool(named)


def graph_split(dataset: PPIDataset, split: str, seed: int) -> Split:
    """Split a graph by a kind, or as a file says.

    Parameters
    ----------
    dataset : PPIDataset
    split : str
        One of `lcplm_graph.splits.sets.SPLIT_KINDS`, or the path of a saved split.
    seed : int
        Of a kind; a saved split is as it is.  A file that is called like a kind needs its suffix.

    Raises
    ------
    UnknownNameError
        If there is neither such a kind nor such a file.
    ConfigError
        If a saved split is of another graph.
    """
    from lcplm_graph.splits.split import Split

    if not is_saved_split(split):
        return dataset.split(kind=split, seed=seed)
    made = Split.load(split)
    other = f"{split} splits another graph; give the graph it was made for"
    graph = pair_graph(dataset[0])
    if made.num_nodes != graph.num_nodes:
        raise ConfigError(f"{other} (it has {made.num_nodes} proteins, this one {graph.num_nodes})")
    edges = graph.pairs
    keys = pair_keys(made.known, made.num_nodes), pair_keys(edges, made.num_nodes)
    both = np.intersect1d(keys[0], keys[1])
    if not len(both) == len(made.known) == len(edges):
        raise ConfigError(
            f"{other} (it has {len(made.known)} edges, this one {len(edges)}, and {len(both)} are "
            "in both)"
        )
    return made
