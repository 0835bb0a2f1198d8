"""Several link predictors that differ in their seed alone; their mean is one row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lcplm_graph.callers import for_training
from lcplm_graph.heads.fit import FitOptions
from lcplm_graph.heads.fit_link import LINK_FIT, fit_link
from lcplm_graph.heads.kinds import link_head
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.structure import PairStructure
from lcplm_graph.process import in_threads, initialised
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits.split import Split


@for_training()
def fit_link_members(
    x: Tensor,
    split: Split,
    seeds: Sequence[int],
    options: FitOptions = LINK_FIT,
    *,
    conv: str = "none",
    decoder: str = "hadamard-mlp",
    structure: bool = False,
) -> list[LinkPredictor]:
    """Make a link predictor for each seed and train them at the same time, as `fit_link` does.

    Parameters
    ----------
    x : Tensor, shape=(num_nodes, d)
    split : Split
    seeds : sequence of int
        Of initialisation and training; they take the place of the one in `options`.
    options : FitOptions
    conv, decoder, structure
        Of `LinkPredictor`.

    Returns
    -------
    list of LinkPredictor
        In the order of the seeds, in evaluation mode; the same for any number of threads.
    """
    arguments: dict[str, Any] = {"conv": conv, "decoder": decoder, "structure": structure}
    heads = [untrained(seed, in_channels=x.shape[1], **arguments) for seed in seeds]
    return fit_members([(head, x) for head in heads], split, seeds, options)


def untrained(seed: int, head: str = "link", **arguments: Any) -> LinkPredictor:
    """Make a link predictor (see `link_head`) from a seed; torch's generator stays as it was."""
    with initialised(checked_seed(seed)):
        return link_head(head, **arguments)


def fit_members(
    heads: Sequence[tuple[LinkPredictor, Tensor]],
    split: Split,
    seeds: Sequence[int],
    options: FitOptions = LINK_FIT,
) -> list[LinkPredictor]:
    """Train link predictors at the same time, each on features and with a seed of its own."""
    between = None
    if any(head.between is not None for head, _ in heads):
        between = PairStructure(split.message, split.num_nodes)

    def train(number: int) -> LinkPredictor:
        head, x = heads[number]
        own = None if head.between is None else between
        return fit_link(head, x, split, replace(options, seed=seeds[number]), own)

    return in_threads(train, range(len(seeds)))
