"""Use a trained link model: partners of proteins, and edges the graph lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from tqdm import tqdm

from lcplm_graph.errors import InputError
from lcplm_graph.heads.link_model import LinkModel, as_blocks
from lcplm_graph.heads.link_scores import LinkScores
from lcplm_graph.heads.recipe import BASE, Blocks
from lcplm_graph.numeric import FloatArray, whole_number
from lcplm_graph.pairs import IntArray, adjacency, as_nodes
from lcplm_graph.process import in_threads
from lcplm_graph.splits.split import Split

_R = TypeVar("_R")
_BLOCK = 64
_HIDDEN = -np.inf


class Candidates(NamedTuple):
    """Pairs, best first.

    Attributes
    ----------
    pairs : ndarray, dtype=int64, shape=(k, 2)
    probability : ndarray, dtype=float64, shape=(k,)
        Calibrated at one negative per positive; in a whole proteome pairs that interact are far
        rarer, so it is for ranking there.
    spread : ndarray, dtype=float64, shape=(k,)
        Standard deviation of the members' own probabilities.
    """

    pairs: IntArray
    probability: FloatArray
    spread: FloatArray


def partners_of(
    model: LinkModel,
    graph: Blocks | Tensor,
    split: Split,
    features: Blocks | Tensor,
    nodes: IntArray | None = None,
    top: int = 20,
    *,
    itself: bool = False,
    novel: bool = False,
    relatives: sparse.csr_array | None = None,
    progress: bool = False,
) -> Iterator[Candidates]:
    """Rank all proteins of a graph as partners of some proteins.

    Parameters
    ----------
    model : LinkModel
    graph : mapping of str to Tensor, or Tensor, shape=(num_nodes, d)
        Features of the graph's proteins.
    split : Split
        Of the graph; message edges are used.
    features : the same, shape=(m, d)
        Of the proteins asked about; the same kind.
    nodes : ndarray, dtype=int64, shape=(m,), optional
        Which protein of the graph each one is, whose edges then count; -1 for none, as is the
        default.
    top : int
    itself : bool
        Rank a protein of the graph among its own partners, too.
    novel : bool
        Leave out the partners that a protein has in the graph.
    relatives : sparse array, shape=(num_nodes + m, num_nodes), optional
        Among the graph's proteins, of these and of those asked about; for a model that looks at
        them.
    progress : bool

    Yields
    ------
    Candidates
        One per protein, in order; the first of each pair is `num_nodes` plus its number if it is
        none of the graph's.

    Raises
    ------
    InputError
        If `nodes` are not one for each protein, or one is not in the graph.
    """
    _check_top(top)
    own, new = as_blocks(graph), as_blocks(features)
    count, more = split.num_nodes, len(new[BASE])
    asked = count + np.arange(more)
    if nodes is not None:
        asked = _known_nodes(nodes, asked, count)
    # New proteins have no edges; put after the others they change nothing for those.
    wider = replace(split, num_nodes=count + more, node_part=None)
    every_protein = {name: torch.cat([x, new[name]]) for name, x in own.items()}
    scores = model.on(every_protein, wider, relatives)
    every = np.arange(count)
    indptr, indices = adjacency(split.known, count + more)

    def best(query: int) -> Candidates:
        others = every if itself else every[every != query]
        if novel:
            others = np.setdiff1d(others, indices[indptr[query] : indptr[query + 1]])
        odds = _calibrated(scores, query, others)
        chosen = others[np.lexsort((others, -odds))[:top]]
        return _named(scores, np.stack([np.full(len(chosen), query), chosen], axis=1))

    yield from _for_each(best, asked, "ranking", progress)


def new_edges(scores: LinkScores, top: int = 1000, *, progress: bool = False) -> Candidates:
    """Find the pairs with the highest probability that are not known to interact.

    Looks at every pair of the graph, in memory for `top` and one block of rows.  Of equal pairs
    those of the first proteins come first.

    Parameters
    ----------
    scores : LinkScores
        A link model on a graph.
    top : int
    progress : bool

    Returns
    -------
    Candidates
        i < j.
    """
    _check_top(top)
    split = scores.split
    indptr, indices = adjacency(split.known, split.num_nodes)

    def best(node: int) -> tuple[IntArray, FloatArray]:
        others = np.arange(node + 1, split.num_nodes)
        own = _calibrated(scores, node, others)
        known = indices[indptr[node] : indptr[node + 1]]
        own[known[known > node] - node - 1] = _HIDDEN
        # Equal ones at the end all stay: which of them come first is decided among all rows.
        least = np.partition(own, -min(top, len(own)))[-min(top, len(own))]
        chosen = own >= least
        return node * split.num_nodes + others[chosen], own[chosen]

    keys, odds = np.empty(0, np.int64), np.empty(0)
    every = np.arange(split.num_nodes - 1)
    for own_keys, own_odds in _for_each(best, every, None, progress):
        keys, odds = np.append(keys, own_keys), np.append(odds, own_odds)
        if len(keys) > 4 * top + _BLOCK * top:
            keys, odds = _highest(keys, odds, top)
    keys, odds = _highest(keys, odds, top)
    keys = keys[np.isfinite(odds)]
    return _named(scores, np.stack(np.divmod(keys, split.num_nodes), axis=1))


def _highest(keys: IntArray, odds: FloatArray, top: int) -> tuple[IntArray, FloatArray]:
    kept = np.lexsort((keys, -odds))[:top]
    return keys[kept], odds[kept]


def _for_each(
    best: Callable[[int], _R], proteins: IntArray, what: str | None, progress: bool
) -> Iterator[_R]:
    """Yield the answers about proteins in their order, some computed at the same time."""
    with tqdm(total=len(proteins), desc=what, unit="protein", disable=not progress) as bar:
        for start in range(0, len(proteins), _BLOCK):
            for found in in_threads(best, proteins[start : start + _BLOCK].tolist()):
                bar.update()
                yield found


def _calibrated(scores: LinkScores, node: int, others: IntArray) -> FloatArray:
    pairs = np.stack([np.full(len(others), node), others], axis=1)
    return scores.calibration.log_odds(scores.row(node, others), scores.split.classify(pairs))


def _named(scores: LinkScores, pairs: IntArray) -> Candidates:
    return Candidates(pairs, *scores.probability(pairs))


def _known_nodes(nodes: IntArray, asked: IntArray, count: int) -> IntArray:
    """Return the numbers that proteins of the graph have there, and those in `asked` of others."""
    given = np.asarray(nodes)
    if given.shape != asked.shape:
        raise InputError(f"nodes of shape {given.shape} for features of {len(asked)} proteins")
    is_new = given == -1
    found = asked.copy()
    found[~is_new] = as_nodes(given[~is_new], count)
    return found


def _check_top(top: int) -> None:
    whole_number(top, "top")
