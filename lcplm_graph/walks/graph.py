"""The part of a `Split` that walks may see, as flat arrays."""

from __future__ import annotations

from lcplm_graph.datasets.split import Split
from lcplm_graph.errors import InputError
from lcplm_graph.ops.random_walk.tables import WalkGraph, make_graph


def walk_graph(split: Split, *, weighted: bool = False, adjacency_bits: bool = False) -> WalkGraph:
    """Take the message edges of a split to walk on, and its training edges to avoid.

    Held-out pairs are not read at all: neither walks nor negative hops can depend on them.

    Parameters
    ----------
    split : Split
    weighted : bool
        Build the tables of weighted steps, from `split.message_weight`.
    adjacency_bits : bool
        Build the adjacency bitmap of node2vec, if it is small.

    Raises
    ------
    InputError
        If `split` is no `Split`, or has no weights where they are asked for.
    """
    if not isinstance(split, Split):
        raise InputError(
            f"walks take a Split, not a {type(split).__name__}, so that they cannot see held-out "
            "edges; make one by dataset.split(...)"
        )
    if weighted and split.message_weight is None:
        raise InputError("this split has no edge weights; walk with weighted=False")
    return make_graph(
        split.num_nodes,
        split.message,
        split.message_weight if weighted else None,
        excluded=split.supervision,
        adjacency_bits=adjacency_bits,
    )
