"""Use a trained link predictor: partners of new proteins, and edges the graph lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lcplm_graph.errors import InputError
from lcplm_graph.heads.fit_link import message_graph
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.pairs import adjacency
from lcplm_graph.splits.split import Split

_BLOCK = 64


class Partners(NamedTuple):
    """Best partners of one protein, best first.

    Attributes
    ----------
    nodes : ndarray, dtype=int64, shape=(k,)
    scores : ndarray, dtype=float64, shape=(k,)
        Log-odds at one negative per positive: for ranking, no probability in a whole proteome.
    """

    nodes: np.ndarray
    scores: np.ndarray


def partners_of(
    model: LinkPredictor, x: Tensor, split: Split, features: Tensor, top: int = 20
) -> Iterator[Partners]:
    """Rank all proteins of a graph as partners of proteins that are not in it.

    Parameters
    ----------
    model : LinkPredictor
        Trained on the graph.
    x : Tensor, shape=(num_nodes, d)
        Features of the graph's proteins.
    split : Split
        Of the graph; message edges are used.
    features : Tensor, shape=(m, d)
        Of the new proteins; the same kind.
    top : int

    Yields
    ------
    Partners
        One per new protein, in order.
    """
    _check_top(top)
    edge_index, edge_weight = message_graph(split)
    with torch.inference_mode():
        # New proteins have no edges; put after the others they change nothing for those.
        h = model.embed(torch.cat([x, features]), edge_index, edge_weight)
        old = h[: split.num_nodes]
        for row in h[split.num_nodes :]:
            scores = model.decoder(row[None], old)
            best = scores.topk(min(top, len(scores)))
            yield Partners(best.indices.numpy(), best.values.double().numpy())


def new_edges(
    model: LinkPredictor, x: Tensor, split: Split, top: int = 1000, *, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find the pairs with the highest scores that are not known to interact.

    Looks at every pair of the graph, in memory for `top` and one block of rows.

    Returns
    -------
    pairs : ndarray, dtype=int64, shape=(k, 2)
        i < j, best first.
    scores : ndarray, dtype=float64, shape=(k,)
        Log-odds, see `Partners`.
    """
    _check_top(top)
    edge_index, edge_weight = message_graph(split)
    indptr, indices = adjacency(split.known, split.num_nodes)
    keys, scores = np.empty(0, np.int64), np.empty(0)
    blocks = tqdm(
        range(0, split.num_nodes, _BLOCK), disable=not progress, unit_scale=_BLOCK, unit="protein"
    )
    with torch.inference_mode():
        h = model.embed(x, edge_index, edge_weight)
        for start in blocks:
            block = torch.arange(start, min(start + _BLOCK, split.num_nodes))
            rows = model.rows(h, block).double().numpy()
            for at, node in enumerate(block.tolist()):
                rows[at, : node + 1] = -np.inf
                rows[at, indices[indptr[node] : indptr[node + 1]]] = -np.inf
            k = min(top, rows.size)
            flat = np.argpartition(-rows.ravel(), k - 1)[:k]
            i, j = np.divmod(flat, split.num_nodes)
            keys = np.append(keys, (i + start) * split.num_nodes + j)
            scores = np.append(scores, rows.ravel()[flat])
            best = np.lexsort((keys, -scores))[:top]
            keys, scores = keys[best], scores[best]
    real = np.isfinite(scores)
    return np.stack(np.divmod(keys[real], split.num_nodes), axis=1), scores[real]


def _check_top(top: int) -> None:
    if top < 1:
        raise InputError(f"top must be at least 1, not {top}")
