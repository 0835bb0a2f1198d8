"""Random walks on a graph: uniform, weighted, and node2vec, with optional negative hops."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from lcplm_graph.backends import choose_kernel
from lcplm_graph.errors import InputError
from lcplm_graph.numeric import whole_number

if TYPE_CHECKING:
    import numpy as np

    from lcplm_graph.ops.random_walk.tables import WalkGraph, WalkLaw

OP = "random_walk"


def random_walk(
    graph: WalkGraph,
    law: WalkLaw,
    *,
    seed: int,
    first: int,
    count: int,
    length: int,
    backend: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Take walks `first` to ``first + count - 1`` of the endless list of walks under a seed.

    Walk i is a function of (seed, i) alone: any chunking, number of threads, process or backend
    gives the same nodes.  Each epoch of n walks starts once from every node, in an order of its
    own.  A walk ends early, padded with -1, at a node without neighbours.

    Parameters
    ----------
    graph : WalkGraph
        Made by `tables.make_graph`.
    law : WalkLaw
        Made by `tables.make_law`.
    seed : int
        Any integer; taken modulo 2**64.
    first, count : int
        Which walks; both at least 0.
    length : int
        Nodes per walk, at least 1.
    backend : {"numba", "reference"}, optional
        Compiled, or plain Python (same walks, about a thousand times slower); see
        `lcplm_graph.backends`.

    Returns
    -------
    nodes : numpy.ndarray
        int32 (count, length).
    negative : numpy.ndarray
        uint8 (count, length), 1 where a node was reached by a negative hop: one to a node drawn
        in proportion to degree among those that neither an edge of the graph nor an excluded
        pair joins to the node before.  Where no such node exists the hop is an ordinary one.  A
        hop after a negative one is of first order: it has no edge to look back along.  Nodes
        without neighbours take no part in negative hops, on either side: they would be seen with
        negatives only.

    Raises
    ------
    InputError
        If `first`, `count` or `length` is out of range, or the law is weighted and the graph not.
    UnknownNameError, BackendError
        If `backend` is not known, or has no walks.

    Notes
    -----
    Uniform and weighted steps take one 64-bit random number; node2vec steps (Grover and Leskovec,
    KDD 2016) are exact by rejection, and by a scan of the row after 64 rejections.  The random
    numbers are SplitMix64 streams, one per walk: see `reference.Stream`.

    Examples
    --------
    >>> import numpy as np
    >>> from lcplm_graph.ops.random_walk.tables import make_graph, make_law
    >>> path = make_graph(3, np.array([[0, 1], [1, 2]]))
    >>> nodes, _ = random_walk(path, make_law(), seed=0, first=0, count=3, length=5)
    >>> sorted(nodes[:, 0].tolist()), bool((abs(np.diff(nodes)) == 1).all())
    ([0, 1, 2], True)
    """
    first, count = map(operator.index, (first, count))
    length = whole_number(length, "length")
    if first < 0 or count < 0 or first + count >= 1 << 63:
        raise InputError(f"walks are counted from 0 to 2**63 - 1; asked for {count} from {first}")
    if law.weighted and not len(graph.weight) and len(graph.indices):
        raise InputError("a weighted walk needs a graph with weights; this one has none")
    seed = operator.index(seed) % (1 << 64)
    return choose_kernel(OP, requested=backend).run(graph, law, seed, first, count, length)
