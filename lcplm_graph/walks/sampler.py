"""`WalkSampler`: random walks over the message edges of a split, walk i from (seed, i) alone."""

from __future__ import annotations

import operator
from os import PathLike

import numpy as np

from lcplm_graph.numeric import flag, whole_number
from lcplm_graph.ops.random_walk import random_walk
from lcplm_graph.ops.random_walk.tables import WalkGraph, WalkLaw, make_law
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.split import Split
from lcplm_graph.walks.graph import open_graph, save_graph, walk_graph


class WalkSampler:
    """An endless list of random walks over the message edges of a split.

    Walk `i` is a pure function of `(seed, i)`: any order, chunking, number of threads, workers,
    ranks or restarts gives the same walks.  Walks ``e * n`` to ``(e + 1) * n - 1`` are epoch `e`
    and start once from each of the n proteins, in an order of that epoch's own.

    Parameters
    ----------
    split : Split
        Walks see its message edges and nothing else.
    length : int
        Proteins per walk, the first included.
    p, q : float
        node2vec's return and in-out parameters (Grover and Leskovec, KDD 2016); a step back to
        the protein before weighs ``1/p``, one to a common neighbour 1, any other ``1/q``.
    weighted : bool
        Choose edges in proportion to `split.message_weight`, else all alike.
    seed : int
        From 0 to 2**63 - 1.

    Raises
    ------
    ConfigError
        If the seed is none.
    InputError
        If `split` is not a `Split`, `length` is below 1, `p` or `q` not within [1e-9, 1e9], or
        weights are asked for that the split does not have.

    Notes
    -----
    A protein without message edges is a walk of its own, padded by -1; a walk never leaves its
    connected component.  In the main process long requests use all of Numba's threads; in child
    processes (data loader workers) one, because OpenMP does not survive a fork.

    Examples
    --------
    >>> split = Split("random", 4, [[0, 1], [1, 2]], [[0, 1], [1, 2]], [[0, 2]], [1])
    >>> sampler = WalkSampler(split, length=5)
    >>> walks = sampler.walks(0, 4)
    >>> walks.shape, sorted(walks[:, 0].tolist())
    ((4, 5), [0, 1, 2, 3])
    >>> bool((walks[2] == sampler[2]).all())
    True
    >>> walks[walks[:, 0] == 3].tolist()
    [[3, -1, -1, -1, -1]]
    """

    def __init__(
        self,
        split: Split,
        length: int,
        p: float = 1.0,
        q: float = 1.0,
        weighted: bool = False,
        seed: int = 0,
    ) -> None:
        self._set(
            walk_graph(split, weighted=weighted, adjacency_bits=q != 1.0),
            length,
            p,
            q,
            weighted,
            seed,
        )

    def _set(
        self, graph: WalkGraph, length: int, p: float, q: float, weighted: bool, seed: int
    ) -> None:
        self.graph = graph
        self.length = whole_number(length, "the length of a walk")
        self.p, self.q, self.weighted = p, q, flag(weighted, "weighted")
        self._law = make_law(p=p, q=q, weighted=weighted)
        self.seed = checked_seed(seed)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the graph's tables as ``.npy`` files, which `open` maps instead of reading."""
        save_graph(self.graph, folder)

    @classmethod
    def open(
        cls,
        folder: str | PathLike[str],
        length: int,
        p: float = 1.0,
        q: float = 1.0,
        weighted: bool = False,
        seed: int = 0,
    ) -> WalkSampler:
        """Memory-map what `save` wrote: the same walks, and only the pages they touch are read.

        Parameters
        ----------
        folder : path-like
        length, p, q, weighted, seed
            As above; the tables for `weighted` must have been there when it was saved.

        Raises
        ------
        DataError
            If a file is missing or damaged.
        """
        sampler = cls.__new__(cls)
        sampler._set(open_graph(folder), length, p, q, weighted, seed)
        return sampler

    @property
    def num_nodes(self) -> int:
        """Number of proteins, which is also the number of walks in an epoch."""
        return len(self.graph.indptr) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        index = operator.index(index)
        return self.walks(index, index + 1)[0]

    def walks(self, start: int, stop: int) -> np.ndarray:
        """Return walks `start` to ``stop - 1``, int32 of shape (stop - start, length)."""
        return self._run(start, stop, self._law)[0]

    def hops(self, start: int, stop: int, negative_rate: float) -> tuple[np.ndarray, np.ndarray]:
        """Return walks of which some hops lead to a protein that no training edge joins.

        Parameters
        ----------
        start, stop : int
            Which walks.
        negative_rate : float
            Probability, in [0, 1], that a hop is negative.  Its target is drawn in proportion to
            message degree (stub-matched); message and supervision edges are avoided, held-out
            ones are not known here.  The walk goes on from there by that protein's own edges.

        Returns
        -------
        nodes : numpy.ndarray
            int32 (stop - start, length), padded by -1.
        negative : numpy.ndarray
            uint8 of the same shape, 1 where a protein was reached by a negative hop.
        """
        law = make_law(p=self.p, q=self.q, weighted=self.weighted, negative_rate=negative_rate)
        return self._run(start, stop, law)

    def _run(self, start: int, stop: int, law: WalkLaw) -> tuple[np.ndarray, np.ndarray]:
        start, stop = operator.index(start), operator.index(stop)
        return random_walk(
            self.graph,
            law,
            seed=self.seed,
            first=start,
            count=stop - start,
            length=self.length,
        )

    def __repr__(self) -> str:
        return (
            f"WalkSampler({self.num_nodes} proteins, {len(self.graph.indices) // 2} edges, "
            f"length={self.length}, p={self.p}, q={self.q}, weighted={self.weighted}, "
            f"seed={self.seed})"
        )
