"""From residue states to one vector a protein.

Pooling is over residues only, never over `<cls>`, `<eos>` or graph markers.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from lcplm_graph.errors import UnknownNameError
from lcplm_graph.models.names import Pool
from lcplm_graph.tokens.packing import PackedTokens, stream_ids
from lcplm_graph.tokens.vocabulary import BON, CLS, EDGE, EON, EOS, MASK, NO_EDGE

POOLS: tuple[str, ...] = get_args(Pool)
"""Known ways of pooling; ``mean_std`` doubles the width, ``mean_std_max_min`` makes it fourfold."""
#: Stretches of equal length that ``mean_std_max_min_parts`` divides a protein into.
NUM_PARTS = 8
_FACTOR = {"mean_std": 2, "mean_std_max_min": 4, "mean_std_max_min_parts": 4 + NUM_PARTS}


def pooled_dim(dim: int, pool: str) -> int:
    """Width of the pooled vector for residue states of width `dim`."""
    check_pool(pool)
    return _FACTOR.get(pool, 1) * dim


def check_pool(pool: str) -> None:
    """Raise `UnknownNameError` unless `pool` is known."""
    if pool not in POOLS:
        raise UnknownNameError(f"unknown pooling {pool!r}; known: {', '.join(POOLS)}")


def pool_residues(states: Tensor, packed: PackedTokens, pool: str = "mean") -> Tensor:
    """Pool every stream of a packed batch.

    Parameters
    ----------
    states : Tensor, shape=(T, dim)
        One vector per token.
    packed : PackedTokens
    pool : {"mean", "mean_std", "mean_std_max_min", "mean_std_max_min_parts", "cls", "max"}
        ``mean_std`` is the mean and the (population) standard deviation side by side,
        ``mean_std_max_min`` both and the extremes, ``mean_std_max_min_parts`` these and the means
        of `NUM_PARTS` stretches, from the first to the last; ``cls`` takes the first token.

    Returns
    -------
    Tensor, shape=(S, `pooled_dim`)

    Examples
    --------
    >>> from lcplm_graph.tokens.packing import tokenize
    >>> packed = tokenize(["MK", "G"])
    >>> states = torch.tensor([[9.0], [1.0], [3.0], [9.0], [9.0], [5.0], [9.0]])
    >>> pool_residues(states, packed, "mean_std").tolist()
    [[2.0, 1.0], [5.0, 0.0]]
    """
    check_pool(pool)
    if pool == "cls":
        return states[packed.cu_seqlens[:-1].long()]
    inside = _is_inside(packed.input_ids)
    owner = stream_ids(packed.cu_seqlens)[inside]
    return _pool(states[inside], owner, packed.num_streams, pool)


def pool_spans(states: Tensor, spans: Tensor, pool: str = "mean") -> Tensor:
    """Pool stretches of residues, such as the proteins of a walk.

    Parameters
    ----------
    states : Tensor, shape=(T, dim)
        One vector per token.
    spans : Tensor, dtype=int64, shape=(n, 2)
        First position and the one after the last.
    pool : {"mean", "mean_std", "max"}

    Returns
    -------
    Tensor, shape=(n, dim) or for ``mean_std`` (n, 2 dim)

    Raises
    ------
    UnknownNameError
        For other ways of pooling; a stretch has no `<cls>`.

    Examples
    --------
    >>> pool_spans(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([[0, 2], [2, 3]])).tolist()
    [[2.0], [9.0]]
    """
    check_pool(pool)
    if pool == "cls":
        raise UnknownNameError("a stretch of residues has no <cls>; pool by mean, mean_std or max")
    lengths = spans[:, 1] - spans[:, 0]
    owner = torch.repeat_interleave(torch.arange(len(spans), device=spans.device), lengths)
    place = torch.arange(len(owner), device=spans.device) - (lengths.cumsum(0) - lengths)[owner]
    return _pool(states[place + spans[owner, 0]], owner, len(spans), pool)


def _pool(states: Tensor, owner: Tensor, count: int, pool: str) -> Tensor:
    shape = (count, states.shape[1])
    if pool == "max":
        return _extreme(states, owner, shape)
    counts = torch.bincount(owner, minlength=count)[:, None]
    mean = states.new_zeros(shape).index_add(0, owner, states) / counts
    if pool == "mean":
        return mean
    # Two passes: the difference of squares would cancel.
    variance = states.new_zeros(shape).index_add(0, owner, (states - mean[owner]) ** 2) / counts
    # The root has no finite gradient at zero, where a protein is one residue.
    varies = variance > 0
    deviation = torch.where(varies, variance, 1.0).sqrt() * varies
    if pool == "mean_std":
        return torch.cat([mean, deviation], dim=1)
    low = -_extreme(-states, owner, shape)
    wide = torch.cat([mean, deviation, _extreme(states, owner, shape), low], dim=1)
    if pool == "mean_std_max_min":
        return wide
    return torch.cat([wide, _part_means(states, owner, counts, mean)], dim=1)


def _part_means(states: Tensor, owner: Tensor, counts: Tensor, mean: Tensor) -> Tensor:
    """Average stretches of each protein, shape (count, NUM_PARTS * dim).

    A protein of fewer residues than parts has its mean where a part is empty.
    """
    lengths = counts[:, 0]
    place = torch.arange(len(owner), device=owner.device) - (lengths.cumsum(0) - lengths)[owner]
    part = owner * NUM_PARTS + place * NUM_PARTS // lengths[owner]
    sizes = torch.bincount(part, minlength=NUM_PARTS * len(mean))[:, None]
    sums = states.new_zeros((len(sizes), states.shape[1])).index_add(0, part, states)
    means = torch.where(
        sizes > 0, sums / sizes.clamp(min=1), mean.repeat_interleave(NUM_PARTS, dim=0)
    )
    return means.reshape(len(mean), -1)


def _extreme(states: Tensor, owner: Tensor, shape: tuple[int, int]) -> Tensor:
    low = states.new_full(shape, -torch.inf)
    return low.scatter_reduce(0, owner[:, None].expand_as(states), states, "amax")


def _is_inside(input_ids: Tensor) -> Tensor:
    """Tell what belongs to a protein from markers; a relation marker may be masked."""
    markers = torch.tensor([CLS, EOS, BON, EON, EDGE, NO_EDGE], device=input_ids.device)
    masked_relation = (input_ids == MASK) & (input_ids.roll(1) == EON)
    return ~(torch.isin(input_ids, markers) | masked_relation)
