"""Proteins that a scorer was asked about, read and embedded once, and answers for pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcplm_graph.heads.convolutions import no_edges
from lcplm_graph.heads.interologs import Interologs
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.link_scores import heard, speakers
from lcplm_graph.heads.names import KnownProteins
from lcplm_graph.heads.nearest import NearestPairs
from lcplm_graph.heads.recipe import Blocks
from lcplm_graph.heads.scored_pairs import ScoredPairs
from lcplm_graph.numeric import FloatArray
from lcplm_graph.pairs import IntArray
from lcplm_graph.process import in_threads, one_thread, without_autocast

# So that what lies between the layers of a member that attends stays in the processor's cache.
_BLOCK = 512
# Sums of many terms end differently in their last bits for another number of rows; double precision
# has some to spare, and what is left of the log-odds does not depend on the other pairs.
_DIGITS = 9

Bools = npt.NDArray[np.bool_]


class _Scored(NamedTuple):
    probability: FloatArray
    spread: FloatArray
    evidence: FloatArray


@dataclass(frozen=True, kw_only=True)
class AskedProteins:
    """Proteins that a `PPIScorer` has read, for which it answers pair by pair.

    What a pair is told does not depend on the pairs that it is asked with.

    Attributes
    ----------
    model : LinkModel
    nearest : NearestPairs
    known : KnownProteins
    proteins : list of str
        Distinct sequences.
    place : dict of str to int
        Where in them each text stands that was asked for.
    states : list of Tensor, shape=(n, channels)
        Of the proteins, from each member of the model.
    digests : ndarray, dtype=uint64, shape=(n,)
        Of the sequences.
    unlike, trained : ndarray, dtype=bool, shape=(n,)
        Unlike all training proteins; one of these.
    interologs : Interologs
        Of the proteins, by training pairs.
    """

    model: LinkModel
    nearest: NearestPairs
    known: KnownProteins
    proteins: list[str]
    place: dict[str, int]
    states: list[Tensor]
    digests: npt.NDArray[np.uint64]
    unlike: Bools
    trained: Bools
    interologs: Interologs

    def probability(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        """Return the probability that each pair interacts, shape (n,)."""
        return self._scored(self._ends(pairs)).probability

    def answer(self, pairs: Sequence[tuple[str, str]]) -> ScoredPairs:
        """Return probabilities with all that one must know beside them."""
        ends = self._ends(pairs)
        found = self._scored(ends)
        identity, nearest = self.nearest.of(self.proteins, ends)
        called = [*self.nearest.names, ""]
        alike = [(called[i], called[j]) for i, j in nearest.tolist()]
        strange = np.asarray(self.unlike[ends].any(axis=1), bool)
        return ScoredPairs(
            list(pairs), found.probability, found.spread, identity, alike, strange, found.evidence,
            self.known.linked(self.digests, ends),
        )  # fmt: skip

    def _ends(self, pairs: Sequence[tuple[str, str]]) -> IntArray:
        ends = [(self.place[a], self.place[b]) for a, b in pairs]
        return np.array(ends, np.int64).reshape(-1, 2)

    def _scored(self, ends: IntArray) -> _Scored:
        if not len(ends):
            return _Scored(np.empty(0), np.empty(0), np.empty(0))
        classes = 3 - self.trained[ends].sum(axis=1)
        evidence = self.interologs.of(ends).round(_DIGITS)
        weight = np.array(self.model.interolog_weight)[classes - 1]
        each = self._log_odds(ends, classes) + weight * evidence
        sure = self.model.calibration
        spread = sure.probability(each, classes).std(axis=0)
        return _Scored(sure.probability(each.mean(axis=0), classes), spread, evidence)

    def _log_odds(self, ends: IntArray, classes: IntArray) -> FloatArray:
        """Return the log-odds of members without a graph, shape (members, n)."""
        speaks = speakers([recipe.classes for recipe in self.model.recipes])
        each = np.zeros((len(speaks), len(ends)))
        for k, (member, h) in enumerate(zip(self.model.members, self.states, strict=True)):
            own = speaks[k, classes - 1]
            parts = torch.from_numpy(ends[own]).split(_BLOCK)
            each[k, own] = np.concatenate(in_threads(partial(_decoded, member, h), parts))
        return heard(each, speaks, classes).round(_DIGITS)


def _decoded(member: LinkPredictor, h: Tensor, pairs: Tensor) -> FloatArray:
    with torch.inference_mode(), without_autocast():  # of this thread
        decoded: FloatArray = member.decode(h, pairs).numpy()
        return decoded


def states_of(model: LinkModel, blocks: Blocks) -> list[Tensor]:
    """Return the states of proteins without a graph, from each member of the model."""
    with torch.inference_mode(), one_thread(), without_autocast():
        return [
            member.embed(recipe.features(blocks), no_edges())
            for member, recipe in zip(model.members, model.recipes, strict=True)
        ]
