"""Stage 2's pairs: many labels a step from whole proteins and partners anywhere in the graph.

Cropped proteins lose what tells pairs apart, and whole ones are long, so a batch holds few of
them.  One protein of a pair is encoded in the batch; its partner's state comes from a bank.
Negatives have the degrees of the positives and avoid training edges only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from lcplm_graph.errors import InputError
from lcplm_graph.io import warn_once
from lcplm_graph.pairs import IntArray, adjacency, degrees, is_in, pair_keys
from lcplm_graph.splits.split import Split
from lcplm_graph.tokens.masking import IGNORE, mask_tokens
from lcplm_graph.tokens.packing import pack
from lcplm_graph.tokens.vocabulary import CLS, EOS
from lcplm_graph.training.data import MASKS_OF_PAIRS, PAIRS, Batch, Relations, keyed_generator
from lcplm_graph.training.walks import MASK_RATE, WalkBatches
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.stream import MIN_SHARE

PARTNERS, NEGATIVES = 16, 2
"""Positive partners drawn for each protein of a batch, and negatives for each of them."""
CLEAN = 0.75
"""Share of the single proteins that are not masked, and have partners."""
_LEAST_TOKENS = MIN_SHARE + 2


class PairDraw(NamedTuple):
    """Pairs that were drawn for some proteins."""

    left: IntArray
    partners: IntArray
    labels: np.ndarray


class PairSampler:
    """Draw proteins that have training edges, and partners for them.

    Parameters
    ----------
    split : Split
        Its supervision edges are positives; negatives avoid every training edge, no others.

    Raises
    ------
    InputError
        If the split has no training edge.
    """

    def __init__(self, split: Split) -> None:
        positives = split.positives("train")
        if not len(positives):
            raise InputError("this split has no training edges; stage 2 has nothing to learn from")
        self.num_nodes = split.num_nodes
        self.indptr, self.indices = adjacency(positives, split.num_nodes)
        self.degree = degrees(positives, split.num_nodes)
        self.seen = np.flatnonzero(self.degree)
        # Half by degree, so that edges come alike, and half alike, so that every protein comes.
        weight = self.degree[self.seen] / self.degree.sum() + 1 / len(self.seen)
        self._cumulative = np.cumsum(weight / weight.sum())
        self._train = np.sort(pair_keys(split.train, split.num_nodes))

    def nodes(self, rng: np.random.Generator, count: int) -> IntArray:
        """Draw proteins, with repeats, int64 (count,)."""
        at = np.searchsorted(self._cumulative, rng.random(count), side="right")
        return self.seen[np.minimum(at, len(self.seen) - 1)]

    def pairs(self, rng: np.random.Generator, nodes: IntArray) -> PairDraw:
        """Draw neighbours of each protein, and for each proteins that are not neighbours.

        The negatives of a protein are the neighbours drawn for the others, so they have the
        degrees of positives.
        """
        left = np.repeat(np.arange(len(nodes)), PARTNERS)
        step = (rng.random(len(left)) * self.degree[nodes[left]]).astype(np.int64)
        partners = self.indices[self.indptr[nodes[left]] + step]
        wrong = np.concatenate([rng.permutation(partners) for _ in range(NEGATIVES)])
        left_of_wrong = np.tile(left, NEGATIVES)
        ends = np.sort(np.stack([nodes[left_of_wrong], wrong], axis=1), axis=1)
        fine = ~is_in(pair_keys(ends, self.num_nodes), self._train) & (ends[:, 0] != ends[:, 1])
        return PairDraw(
            np.concatenate([left, left_of_wrong[fine]]),
            np.concatenate([partners, wrong[fine]]),
            np.arange(len(left) + int(fine.sum())) < len(left),
        )


class RelationBatches:
    """Endless batches of masked walks and of whole single proteins with partners.

    Batch k is a function of (seed, k) alone.

    Parameters
    ----------
    walks : WalkBatches
        Fill a part of each batch.
    sampler : PairSampler
    residues : ResidueTable
    max_tokens : int
        Tokens of single proteins; one that is longer is cropped to a random window.
    seed : int

    Raises
    ------
    InputError
        If a batch has no room for a single protein of 8 residues.
    """

    def __init__(
        self,
        walks: WalkBatches,
        sampler: PairSampler,
        residues: ResidueTable,
        *,
        max_tokens: int,
        seed: int,
    ) -> None:
        self.walks, self.sampler, self.residues = walks, sampler, residues
        self.max_tokens, self.seed = max_tokens, seed
        if max_tokens < _LEAST_TOKENS:
            raise InputError(
                f"walks leave single proteins {max_tokens} tokens of a batch, fewer than "
                f"{_LEAST_TOKENS}; give larger batches (--max-tokens) or walks a smaller share "
                "(--walk-share)"
            )
        long = int((residues.lengths[sampler.seen] > max_tokens - 2).sum())
        if long:
            warn_once(
                f"{long} of {len(sampler.seen)} proteins are longer than {max_tokens - 2} "
                "residues, what a batch has room for; each time one comes it is cropped to a "
                "random window"
            )

    def batch(self, index: int) -> Batch:
        """Return batch `index`."""
        walks, hops = self.walks.with_hops(index)
        rng = np.random.default_rng([self.seed, PAIRS, index])
        nodes = self._draw(rng)
        packed = pack([self._tokens(node, rng) for node in nodes.tolist()])
        clean = rng.random(len(nodes)) < CLEAN
        clean[0] = True  # at least one has partners
        masked = mask_tokens(
            packed.input_ids,
            rate=MASK_RATE,
            generator=keyed_generator(self.seed, MASKS_OF_PAIRS, index),
        )
        whole = torch.from_numpy(np.repeat(clean, np.diff(packed.cu_seqlens.numpy())))
        drawn = self.sampler.pairs(rng, nodes[clean])
        first = len(walks.cu_seqlens) - 1
        return Batch(
            torch.cat([walks.input_ids, torch.where(whole, packed.input_ids, masked.input_ids)]),
            torch.cat([walks.cu_seqlens, packed.cu_seqlens[1:] + walks.cu_seqlens[-1]]),
            torch.cat([walks.labels, masked.labels.masked_fill(whole, IGNORE)]),
            index,
            relations=Relations(
                torch.from_numpy(np.flatnonzero(clean) + first),
                torch.from_numpy(nodes[clean]),
                torch.from_numpy(drawn.left),
                torch.from_numpy(drawn.partners),
                torch.from_numpy(drawn.labels.astype(np.float32)),
                hops,
            ),
        )

    def _draw(self, rng: np.random.Generator) -> IntArray:
        """Draw distinct proteins until the budget is full."""
        room = self.max_tokens
        taken: dict[int, None] = {}
        for node in self.sampler.nodes(rng, room).tolist():
            if node in taken:
                continue
            room -= min(int(self.residues.lengths[node]) + 2, self.max_tokens)
            if room < 0:
                break
            taken[node] = None
        return np.fromiter(taken, np.int64)

    def _tokens(self, node: int, rng: np.random.Generator) -> np.ndarray:
        first, last = self.residues.offsets[node : node + 2].tolist()
        room = self.max_tokens - 2
        start = first + int(rng.integers(max(0, last - first - room) + 1))
        residues = self.residues.tokens[start : min(last, start + room)].astype(np.int64)
        return np.concatenate([[CLS], residues, [EOS]])
