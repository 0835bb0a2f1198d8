"""Train a link predictor on the pairs of a split, so that it serves new proteins too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from lcplm_graph.callers import callers_random, for_training
from lcplm_graph.errors import InputError
from lcplm_graph.heads.fit import FitOptions, finite_logits, fit_head
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.structure import PairStructure
from lcplm_graph.heads.trainable import check_trainable, trained_on
from lcplm_graph.pairs import IntArray, is_in, pair_keys
from lcplm_graph.process import one_thread, without_autocast
from lcplm_graph.seeds import derived_seed
from lcplm_graph.splits.classes import large_classes
from lcplm_graph.splits.split import Labelled, Split

#: Chosen on validation pairs alone, see docs/notebook/evaluation.md.
LINK_FIT = FitOptions(steps=200, batch_size=4096, every=50, lr=5e-3)
# Seeds of negatives for each seed of a fit.
_EPOCHS = 1_000_003


def message_graph(split: Split) -> tuple[Tensor, Tensor | None]:
    """Message edges in both directions and their weights, as convolutions take them."""
    both = np.concatenate([split.message, split.message[:, ::-1]])
    weight = split.message_weight
    edge_weight = None if weight is None else torch.from_numpy(np.concatenate([weight, weight]))
    return torch.from_numpy(np.ascontiguousarray(both.T)), edge_weight


@for_training()
def fit_link(
    model: LinkPredictor,
    x: Tensor,
    split: Split,
    options: FitOptions = LINK_FIT,
    structure: PairStructure | None = None,
) -> LinkPredictor:
    """Train on the supervision pairs of a split and its negatives, drawn anew in every epoch.

    Where supervision pairs are message edges too, a step's own pairs are taken out of the graph
    it sees: an edge that is both message and answer gives itself away.  A share of the proteins
    (`options.isolate`) loses all edges in a step; without that, convolutions do worse than none
    on proteins they have never seen.  The state with the best average precision on the validation
    pairs (1 : 1) is kept, the mean over the classes C1, C2, C3 there; without validation pairs
    the last one.

    Parameters
    ----------
    model : LinkPredictor
        Made for features.
    x : Tensor, shape=(num_nodes, d)
    split : Split
    options : FitOptions
    structure : PairStructure, optional
        Of the split's message edges, to be shared by several models that read it (made with
        ``structure=True``).

    Returns
    -------
    LinkPredictor
        The same object, in evaluation mode.

    Raises
    ------
    InputError
        If `x` has not one row per protein or is not on the CPU, there is nothing to train on, or
        `structure` is for a head that does not read it.
    TrainingError
        If the loss is not finite.
    """
    if len(x) != split.num_nodes:
        raise InputError(f"{len(x)} rows of features for a graph of {split.num_nodes} proteins")
    if not len(split.supervision):
        raise InputError("the split has no supervision pairs to train on")
    check_trainable(model)
    model.check_reads(structure)
    return _LinkFit(model, trained_on(x), split, options, structure).run()


class _LinkFit:
    def __init__(
        self,
        model: LinkPredictor,
        x: Tensor,
        split: Split,
        options: FitOptions,
        structure: PairStructure | None,
    ) -> None:
        self.model, self.x, self.split, self.options = model, x, split, options
        self.rng = np.random.default_rng(options.seed)
        self.between: PairStructure | None = None
        if model.between is not None:
            self.between = structure or PairStructure(split.message, split.num_nodes)
        self.edge_index, self.edge_weight = message_graph(split)
        self.message = pair_keys(split.message, split.num_nodes)
        self.batches = self._batches()
        self.valid = validation(split, options.seed)
        self.valid_structure = [self._structure(part.pairs) for part in self.valid]

    def run(self) -> LinkPredictor:
        with one_thread(), without_autocast():
            self.model.gnn.scale.fit(self.x[torch.from_numpy(self.split.seen)])
        score = self._score if self.valid else None
        options = replace(self.options, lr=self.options.lr * self.model.lr_share)
        return fit_head(self.model, self._loss, score, options, "validation AP")

    def _batches(self) -> Iterator[tuple[Labelled, Tensor | None]]:
        """Yield labelled pairs, epoch after epoch, each in an order of its own."""
        epoch, size = 0, self.options.batch_size
        while True:
            seed = derived_seed(self.options.seed, _EPOCHS, epoch)
            pairs, labels = self.split.labelled("train", seed=seed)
            structure = self._structure(pairs, training=True)
            if structure is not None and self.model.between is not None and not epoch:
                self.model.between.fit(structure)
            order = self.rng.permutation(len(pairs))
            # Of equal size: a last small batch would be a step of its own.
            for chosen in np.array_split(order, max(1, round(len(order) / size))):
                part = None if structure is None else structure[torch.from_numpy(chosen)]
                yield Labelled(pairs[chosen], labels[chosen]), part
            epoch += 1

    def _loss(self, _step: int) -> Tensor:
        (pairs, labels), structure = next(self.batches)
        gnn = self.model.gnn
        keep = alone = None
        if len(gnn.convs) or gnn.gated or structure is not None:
            alone = self.rng.random(self.split.num_nodes) < self.options.isolate
        if alone is not None and (len(gnn.convs) or gnn.gated):
            keep = self._kept(pairs[labels], alone)
        h, ends = self._states(torch.from_numpy(pairs), keep)
        if structure is not None and alone is not None:
            structure = structure * ~torch.from_numpy(alone[pairs].any(axis=1))[:, None]
        logits = self.model.decode(h, ends, structure)
        return F.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels).float())

    def _kept(self, own: IntArray, alone: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Tell which message edges are neither given ones nor of isolated proteins."""
        keys = np.sort(pair_keys(np.sort(own, axis=1), self.split.num_nodes))
        return ~(is_in(self.message, keys) | alone[self.split.message].any(axis=1))

    def _states(self, ends: Tensor, keep: npt.NDArray[np.bool_] | None) -> tuple[Tensor, Tensor]:
        """Return states and where in them the pairs' proteins are."""
        if len(self.model.gnn.convs):
            chosen = torch.from_numpy(keep).repeat(2)
            weights = None if self.edge_weight is None else self.edge_weight[chosen]
            return self.model.embed(self.x, self.edge_index[:, chosen], weights), ends
        # Without convolutions a protein's state needs no other one.
        nodes, ends = torch.unique(ends, return_inverse=True)
        known = None
        if keep is not None:
            left = np.bincount(self.split.message[keep].ravel(), minlength=self.split.num_nodes)
            known = torch.from_numpy(left > 0)[nodes]
        return self.model.embed(self.x[nodes], self.edge_index[:, :0], known=known), ends

    def _score(self) -> float:
        with callers_random():
            from sklearn.metrics import average_precision_score

        h = self.model.embed(self.x, self.edge_index, self.edge_weight)
        reached = [
            average_precision_score(
                labels,
                finite_logits(self.model.decode(h, torch.from_numpy(pairs), structure)).numpy(),
            )
            for (pairs, labels), structure in zip(self.valid, self.valid_structure, strict=True)
        ]
        return float(np.mean(reached))

    def _structure(self, pairs: IntArray, *, training: bool = False) -> Tensor | None:
        return None if self.between is None else self.between.of(pairs, training=training)


def validation(
    split: Split, seed: int, kind: str = "stub_matched", ratio: float = 1.0
) -> list[Labelled]:
    """Return validation pairs and labels, class by class where a class has enough of both.

    Negatives are drawn as `Split.labelled` does.
    """
    if not len(split.positives("valid")):
        return []
    part = split.labelled("valid", kind, ratio, seed)
    return list(by_large_class(split, part).values()) or [part]


def by_large_class(split: Split, part: Labelled) -> dict[int, Labelled]:
    """Return the pairs of each class (1, 2, 3 for C1, C2, C3) that has enough of both labels."""
    (pairs, labels), classes = part, split.classify(part.pairs)
    return {
        number: Labelled(pairs[own], labels[own])
        for number, own in large_classes(labels, classes).items()
    }
