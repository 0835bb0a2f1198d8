"""Stage 2's batches: masked walks of the training graph, and held-out pairs to be told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from lcplm_graph.errors import InputError
from lcplm_graph.models.relation import marker_log_odds
from lcplm_graph.splits.classes import large_classes
from lcplm_graph.splits.split import Split
from lcplm_graph.tokens.masking import IGNORE, is_relation, mask_tokens
from lcplm_graph.tokens.packing import pack
from lcplm_graph.tokens.vocabulary import EDGE, NO_EDGE, pair_walk
from lcplm_graph.training.data import MASKS_OF_WALKS, Batch, Hops, keyed_generator
from lcplm_graph.training.metrics import Logits
from lcplm_graph.training.module import means, score
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.stream import WalkSource

MASK_RATE = 0.15
AUROC = "valid_relation_auroc"
COLUMNS = (
    "valid_residue_loss", "valid_residue_accuracy",
    "valid_relation_loss", "valid_relation_accuracy", AUROC,
)  # fmt: skip


class WalkBatches:
    """Endless masked batches of walks; batch k is a function of (seed, k) alone.

    Batch k holds walks ``k n`` to ``(k + 1) n - 1``, so every walk of an epoch comes exactly once,
    whatever the number of processes.

    Parameters
    ----------
    stream : WalkSource
    max_tokens : int
        Most tokens of a batch.
    relation_rate : float
        Share of the relation markers that is masked.
    seed : int
        Of the masks.
    lengths : callable, optional
        From the number of a batch to the proteins of its walks; all by default.
    """

    def __init__(
        self,
        stream: WalkSource,
        *,
        max_tokens: int,
        relation_rate: float,
        seed: int,
        lengths: Callable[[int], int | None] = lambda _: None,
    ) -> None:
        self.stream, self.max_tokens = stream, max_tokens
        self.relation_rate, self.seed, self.lengths = relation_rate, seed, lengths
        stream.walks_per_batch(max_tokens)  # says at once if not even one fits

    def batch(self, index: int) -> Batch:
        """Return batch `index`."""
        return self.with_hops(index)[0]

    def with_hops(self, index: int) -> tuple[Batch, Hops]:
        """Return batch `index`, and its masked markers with the proteins on either side."""
        walks = self.stream.batch(index, self.max_tokens, self.lengths(index))
        packed = walks.packed
        masked = mask_tokens(
            packed.input_ids,
            rate=MASK_RATE,
            relation_rate=self.relation_rate,
            generator=keyed_generator(self.seed, MASKS_OF_WALKS, index),
        )
        asked = masked.labels[torch.from_numpy(walks.marker_positions)] != IGNORE
        before = np.flatnonzero(~walks.ends_stream)
        hops = Hops(
            *(
                torch.from_numpy(array)[asked]
                for array in (
                    walks.marker_positions,
                    walks.spans[before],
                    walks.spans[before + 1],
                    walks.marker_labels.astype(np.float32),
                )
            )
        )
        return Batch(masked.input_ids, packed.cu_seqlens, masked.labels, index), hops


def growing(longest: int, batches: int | None, index: int) -> int:
    """Proteins of the walks of batch `index`: from pairs to `longest`, which batch `batches` has.

    Without `batches` all have `longest`.  Batches are counted, not steps, so that it is the same
    for any number of processes.

    Examples
    --------
    >>> [growing(5, 6, index) for index in (0, 1, 2, 3, 4, 5, 6, 1000)]
    [2, 2, 3, 3, 4, 4, 5, 5]
    """
    return longest if batches is None else min(longest, 2 + index * (longest - 2) // batches)


class Pairs(NamedTuple):
    """Pairs to be told apart, and which of them are edges.

    Attributes
    ----------
    nodes : ndarray, dtype=int64, shape=(n, 2)
    is_edge : ndarray, dtype=bool, shape=(n,)
    """

    nodes: np.ndarray
    is_edge: np.ndarray


def held_out_pairs(split: Split, count: int) -> Pairs:
    """Take at most `count` validation edges and as many stub-matched negatives, shuffled.

    Raises
    ------
    InputError
        If the split has no validation edges.
    """
    rng = np.random.default_rng(0)
    positives = split.positives("valid")
    if not len(positives):
        raise InputError(
            "this split holds no validation edges out; stage 2 needs some to be judged"
        )
    negatives = rng.permutation(split.negatives("valid"))[:count]
    positives = rng.permutation(positives)[:count]
    nodes = rng.permuted(np.concatenate([positives, negatives]), axis=1)
    is_edge = np.arange(len(nodes)) < len(positives)
    order = rng.permutation(len(nodes))
    return Pairs(nodes[order], is_edge[order])


class HeldOutWalks:
    """Evaluate stage 2 on walks of two proteins over held-out pairs.

    Half of the pairs are validation edges, half stub-matched negatives, so a protein's degree
    alone scores at chance.  The marker is masked, and residues are masked as in training.  The
    edges are unseen; whether the proteins are depends on the kind of split.

    Parameters
    ----------
    graphs : sequence of (Split, ResidueTable)
        Of one graph, or of several species.
    share : int
        Residues of each protein; longer ones are cropped to one random window.
    count : int
        Most edges, and most negatives, of all graphs together.
    max_tokens : int
        Tokens of a batch.
    """

    def __init__(
        self,
        graphs: Sequence[tuple[Split, ResidueTable]],
        *,
        share: int,
        count: int,
        max_tokens: int,
    ) -> None:
        parts = [held_out_pairs(split, -(-count // len(graphs))) for split, _ in graphs]
        self.pairs = Pairs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        self._graph = np.repeat(np.arange(len(graphs)), [len(part.nodes) for part in parts])
        self._residues = [residues for _, residues in graphs]
        classes = np.concatenate(
            [split.classify(part.nodes) for (split, _), part in zip(graphs, parts, strict=True)]
        )
        large = large_classes(self.pairs.is_edge, classes)
        self._of_class = {f"{AUROC}_C{number}": chosen for number, chosen in large.items()}
        per_batch = max(1, max_tokens // (2 * share + 7))
        self.batches = [
            self._batch(share, first, per_batch)
            for first in range(0, len(self.pairs.nodes), per_batch)
        ]

    def _batch(self, share: int, first: int, count: int) -> Batch:
        rng = np.random.default_rng([1, first])
        streams = []
        for i in range(first, min(first + count, len(self.pairs.nodes))):
            (a, b), edge = self.pairs.nodes[i].tolist(), self.pairs.is_edge[i]
            residues = self._residues[self._graph[i]]
            left, right = (_window(residues, node, share, rng) for node in (a, b))
            streams.append(pair_walk(left, right, EDGE if edge else NO_EDGE))
        packed = pack(streams)
        generator = keyed_generator(0, first)
        masked = mask_tokens(
            packed.input_ids, rate=MASK_RATE, relation_rate=1.0, generator=generator
        )
        return Batch(masked.input_ids, packed.cu_seqlens, masked.labels, first)

    def __call__(self, logits: Logits, device: torch.device) -> dict[str, float]:
        """Return losses and accuracies of residues and markers, and the markers' AUROC."""
        totals, margins = [], []
        for batch in self.batches:
            labels = batch.labels.to(device)
            out = logits(batch.input_ids.to(device), batch.cu_seqlens.to(device))
            totals.append(score(out, labels).double().cpu())
            margins.append(marker_log_odds(out[is_relation(labels)]).cpu())
        result = {f"valid_{k}": v for k, v in means(torch.stack(totals).sum(0)).items()}
        margin, is_edge = torch.cat(margins).numpy(), self.pairs.is_edge
        result[AUROC] = float(roc_auc_score(is_edge, margin))
        for name, chosen in self._of_class.items():
            result[name] = float(roc_auc_score(is_edge[chosen], margin[chosen]))
        return result

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the figures; AUROCs by class of pair (C1, C2, C3) where there are any."""
        return (*COLUMNS, *self._of_class)


def _window(residues: ResidueTable, node: int, share: int, rng: np.random.Generator) -> np.ndarray:
    first, last = residues.offsets[node], residues.offsets[node + 1]
    start = first + rng.integers(max(0, last - first - share) + 1)
    return residues.tokens[start : min(last, start + share)].astype(np.int64)
