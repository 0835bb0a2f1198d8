"""`FrozenTask`: a relation decoder on the states of an encoder that stays as it is.

It is the control of every gain of stage 2, and a head that ships where there is none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lcplm_graph.errors import ConfigError
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.models.pooling import pooled_dim
from lcplm_graph.splits.split import Labelled, Split
from lcplm_graph.tokens.vocabulary import EDGE
from lcplm_graph.training.data import FROZEN_PAIRS, Batch, Hops, Relations
from lcplm_graph.training.esm2_graph import GraphModel
from lcplm_graph.training.fit_decoder import NEGATIVES_FOR, draw_pairs, known_pairs
from lcplm_graph.training.graphs import TrainGraph
from lcplm_graph.training.held_out_pairs import PairAurocs
from lcplm_graph.training.metrics import PAIR_COLUMNS, Evaluate, Logits
from lcplm_graph.training.options import Stage2Options
from lcplm_graph.training.relation_task import RelationTask, give_decoder, give_marker_steps
from lcplm_graph.training.walks import Pairs, held_out_pairs


def frozen_task(
    options: Stage2Options, graph: TrainGraph, model: GraphModel, encoder: Encoder
) -> tuple[FrozenTask, PairBatches, Evaluate, tuple[str, ...]]:
    """Return what a run needs that trains a decoder alone: task, batches, evaluation, columns.

    Raises
    ------
    ConfigError
        If the graph is of several species on disk.
    """
    if graph.sequences is None:
        raise ConfigError("--relation frozen needs one graph in memory")
    split, _ = graph.held_out[0]
    asked = held_out_pairs(split, options.eval_pairs)
    needed = np.union1d(np.flatnonzero(split.seen), asked.nodes)
    width = pooled_dim(model.config.hidden_size, model.config.pool)
    bank = torch.zeros(split.num_nodes, width, dtype=torch.float32, device="cpu")
    bank[torch.from_numpy(needed)] = cached_embeddings(
        encoder, graph.sequences.select(needed), model.config.pool, progress=True
    )
    decoder = give_decoder(model, options.seed)
    give_marker_steps(model, options.marker_step)
    decoder.observe(bank[torch.from_numpy(np.flatnonzero(split.seen))])
    task = FrozenTask(model.train(), options, bank)
    evaluate, columns = _evaluation(task, split, asked)
    return task, PairBatches(split, options.seed), evaluate, columns


def _evaluation(task: FrozenTask, split: Split, asked: Pairs) -> tuple[Evaluate, tuple[str, ...]]:
    aurocs = PairAurocs(split, asked)
    ends = torch.from_numpy(asked.nodes)

    def evaluate(_: Logits, device: torch.device) -> dict[str, float]:
        return aurocs(task.decoder, task.bank, ends.to(device))

    return evaluate, (*PAIR_COLUMNS, *aurocs.columns)


class PairBatches:
    """Endless batches of 2048 pairs, half of them training edges, with no tokens.

    Batch k is a function of (seed, k) alone.

    Parameters
    ----------
    split : Split
    seed : int
    """

    def __init__(self, split: Split, seed: int) -> None:
        self.split, self.seed = split, seed
        self._known = lru_cache(maxsize=1)(self._of_block)

    def _of_block(self, block: int) -> Labelled:
        return known_pairs(self.split, self.seed, block)

    def batch(self, index: int) -> Batch:
        """Return batch `index`."""
        rng = np.random.default_rng([self.seed, FROZEN_PAIRS, index])
        pairs, labels = draw_pairs(self._known(index // NEGATIVES_FOR), rng)
        none = torch.empty(0, dtype=torch.int64, device="cpu")
        relations = Relations(
            none,
            torch.from_numpy(pairs[:, 0].copy()),
            torch.from_numpy(np.arange(len(pairs))),
            torch.from_numpy(pairs[:, 1].copy()),
            torch.from_numpy(labels.astype(np.float32)),
            Hops(none, none.view(0, 2), none.view(0, 2), none.float()),
        )
        return Batch(none, none.new_zeros(1, dtype=torch.int32), none, index, relations=relations)


class FrozenTask(RelationTask):
    """Train the relation decoder alone, on pooled states that do not change."""

    default_decoder_lr = 3e-3

    def __init__(self, model: GraphModel, options: Stage2Options, bank: Tensor) -> None:
        super().__init__(model, options, bank)
        model.requires_grad_(False)
        self.decoder.requires_grad_(True)
        self.decoder.marker_weight.requires_grad_(False)  # there is not a marker to weigh

    @property
    def shown_rate(self) -> float:
        """The decoder's, since nothing else is trained."""
        return self.learning_rate("model.relation.")

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return the loss of a batch, and its summed scores."""
        assert batch.relations is not None
        states = self.bank[batch.relations.nodes]
        paired = self.pair_scores(states, batch.relations, batch.number)
        logits = states.new_empty(0, EDGE)  # of no token
        return self.finish_step(batch, logits, paired)
