"""`LinkScores`: what a trained link model says about pairs of one graph's proteins."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lcplm_graph.errors import InputError
from lcplm_graph.heads.calibration import Calibration
from lcplm_graph.heads.fit_link import message_graph
from lcplm_graph.heads.interologs import NO_WEIGHT, Interologs
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.heads.recipe import EVERY_CLASS
from lcplm_graph.heads.structure import PairStructure
from lcplm_graph.numeric import FloatArray
from lcplm_graph.pairs import IntArray, as_nodes, ordered_pairs
from lcplm_graph.process import one_thread, without_autocast
from lcplm_graph.splits.split import Split

_BLOCK = 1024


class LinkScores:
    """What members of a link model say about pairs of one graph's proteins.

    Parameters
    ----------
    heads : sequence of (LinkPredictor, Tensor)
        Members, each with its features of shape (num_nodes, d); copies of them answer, in
        evaluation mode.
    split : Split
        Its message edges are used.
    calibration : Calibration
    classes : sequence of tuple of int, optional
        Of pairs that each member speaks about, see `Recipe`; by default all.
    interologs : Interologs, optional
        Evidence that is added to the log-odds of every member.
    interolog_weight : sequence of float
        Of that evidence, for each of the classes C1, C2 and C3.
    """

    def __init__(
        self,
        heads: Sequence[tuple[LinkPredictor, Tensor]],
        split: Split,
        calibration: Calibration = Calibration(),  # noqa: B008
        classes: Sequence[tuple[int, ...]] | None = None,
        interologs: Interologs | None = None,
        interolog_weight: Sequence[float] = NO_WEIGHT,
    ) -> None:
        for _, x in heads:
            if len(x) != split.num_nodes:
                raise InputError(
                    f"{len(x)} rows of features for a graph of {split.num_nodes} proteins"
                )
        # Several threads may ask at the same time; none changes the mode of another's members.
        self.members = [copy.deepcopy(member).eval() for member, _ in heads]
        self.split, self.calibration = split, calibration
        self._speaks = speakers(classes or [EVERY_CLASS] * len(heads))
        self.interologs, self._weight = interologs, np.array(interolog_weight, np.float64)
        self.known = np.zeros(split.num_nodes, bool)
        self.known[split.message.ravel()] = True
        graph = message_graph(split)
        with torch.inference_mode(), one_thread(), without_autocast():
            self.states = [
                member.embed(x, *graph) for member, (_, x) in zip(self.members, heads, strict=True)
            ]
        self.structure: PairStructure | None = None
        if any(member.between is not None for member in self.members):
            self.structure = PairStructure(split.message, split.num_nodes)

    def __repr__(self) -> str:
        graph = f"{self.split.num_nodes} proteins, {len(self.split.message)} message edges"
        return f"{type(self).__name__}({len(self.members)} members on {graph})"

    def log_odds(self, pairs: IntArray) -> FloatArray:
        """Return each member's log-odds, shape (members, n), not calibrated.

        A member that does not speak about a pair has the mean of those who do, so that the mean of
        all is theirs.

        Raises
        ------
        InputError
            If a pair names a protein outside the graph.
        """
        pairs = ordered_pairs(pairs, self.split.num_nodes)
        ends = torch.from_numpy(pairs)
        between = None if self.structure is None else self.structure.of(pairs)
        with torch.inference_mode(), one_thread(), without_autocast():
            each = np.stack(
                [
                    _in_blocks(partial(member.decode, h), ends, _read_by(member, between))
                    for member, h in zip(self.members, self.states, strict=True)
                ]
            )
        heard(each, self._speaks, 3 - self.known[pairs].sum(axis=1))
        if self.interologs is not None:
            each = each + self._weights(pairs) * self.interologs.of(pairs)
        return each

    def probability(self, pairs: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return calibrated probabilities and the members' spread, both of shape (n,).

        The probability is that of the mean of the members' log-odds; the spread is the standard
        deviation of the members' own probabilities.

        Raises
        ------
        InputError
            If a pair names a protein outside the graph.
        """
        each, classes = self.log_odds(pairs), self.split.classify(pairs)
        own = self.calibration.probability(each, classes)
        return self.calibration.probability(each.mean(axis=0), classes), own.std(axis=0)

    def row(self, protein: int, others: IntArray) -> FloatArray:
        """Return mean log-odds of one protein with others, shape (len(others),).

        Raises
        ------
        InputError
            If one of them is outside the graph.
        """
        others = as_nodes(others, self.split.num_nodes, "others")
        [protein] = as_nodes([protein], self.split.num_nodes, "proteins").tolist()
        chosen, between = torch.from_numpy(others), None
        if self.structure is not None:
            between = next(self.structure.rows(np.array([protein])))[chosen]
        classes = 3 - (self.known[others].astype(np.int64) + self.known[protein])
        says = np.asarray(self._speaks[:, classes - 1].any(axis=1))
        each = np.zeros((len(self.members), len(others)))
        with torch.inference_mode(), one_thread(), without_autocast():
            for k, (member, h) in enumerate(zip(self.members, self.states, strict=True)):
                if says[k]:
                    beside = _read_by(member, between)
                    each[k] = _in_blocks(partial(member.row, h, protein), chosen, beside)
        mean = heard(each, self._speaks, classes).mean(axis=0)
        if self.interologs is None:
            return mean
        pairs = np.stack([np.full(len(others), protein), others], axis=1)
        return mean + self._weights(pairs) * self.interologs.row(protein, others)

    def _weights(self, pairs: IntArray) -> FloatArray:
        """Return the weight of evidence for each pair, by its class."""
        return self._weight[self.split.classify(pairs) - 1]

    def rows(self, proteins: IntArray) -> FloatArray:
        """Return mean log-odds of proteins with all proteins, shape (b, num_nodes)."""
        everyone = np.arange(self.split.num_nodes)
        return np.stack([self.row(protein, everyone) for protein in np.asarray(proteins).tolist()])


def speakers(classes: Sequence[tuple[int, ...]]) -> npt.NDArray[np.bool_]:
    """Tell which members speak about C1, C2 and C3, shape (members, 3): all, where none would."""
    speaks = np.array([[number in own for number in EVERY_CLASS] for own in classes], bool)
    return speaks | ~speaks.any(axis=0)


def heard(each: FloatArray, speaks: npt.NDArray[np.bool_], classes: IntArray) -> FloatArray:
    """Give members that are silent about a class the mean of the others there, in place.

    Parameters
    ----------
    each : ndarray, shape=(members, n)
    speaks : ndarray, dtype=bool, shape=(members, 3)
        From `speakers`.
    classes : ndarray, dtype=int64, shape=(n,)
        1, 2 or 3, of the pairs.
    """
    for number, says in zip(EVERY_CLASS, speaks.T, strict=True):
        own = classes == number
        if own.any() and not says.all():
            each[np.ix_(~says, own)] = each[np.ix_(says, own)].mean(axis=0)
    return each


def _read_by(member: LinkPredictor, between: Tensor | None) -> Tensor | None:
    return None if member.between is None else between


def _in_blocks(
    score: Callable[[Tensor, Tensor | None], Tensor], asked: Tensor, between: Tensor | None
) -> FloatArray:
    """Score block by block, so that what lies between layers stays in the processor's cache."""
    parts = asked.split(_BLOCK)
    beside = [None] * len(parts) if between is None else between.split(_BLOCK)
    found = [score(*part) for part in zip(parts, beside, strict=True)]
    return torch.cat(found).double().numpy()
