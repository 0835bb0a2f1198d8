"""`PPIScorer`: whether two proteins interact, from a model that ships with the package."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file
from torch import Tensor

from lcplm_graph.errors import CheckpointError, UnknownNameError
from lcplm_graph.heads.interologs import Interologs
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.names import KnownProteins
from lcplm_graph.heads.nearest import NearestPairs
from lcplm_graph.heads.recipe import WIDE, Blocks, Recipe, wide_blocks
from lcplm_graph.models.checkpoints import first_line
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.models.precision import load_in_precision
from lcplm_graph.models.unlike import warn_of_unlike
from lcplm_graph.pairs import IntArray
from lcplm_graph.process import one_thread
from lcplm_graph.strings import string_pairs

SCORERS_DIR = Path(__file__).parent / "weights"
DEFAULT = "lcplm-2m-human"
TRAINING = "training.safetensors"
_BLOCK = 1 << 14
# Sums of many terms end differently in their last bits for another number of rows; double precision
# has some to spare, and what is left of the log-odds does not depend on the other pairs.
_DIGITS = 9
# Features of this many proteins are kept, 3 kB each for lcplm-1m.
_KEPT = 20_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoredPairs:
    """Answers, in the order of the pairs.

    Attributes
    ----------
    names : list of (str, str)
    probability : ndarray, dtype=float64, shape=(n,)
        Calibrated at one pair that does not interact per pair that does.
    uncertainty : ndarray, dtype=float64, shape=(n,)
        Standard deviation of the members' own probabilities.
    nearest_training_identity : ndarray, dtype=float64, shape=(n,)
        Of the nearest training pair, see `NearestPairs`; 0 if none is similar.
    nearest_training_pair : list of (str, str)
        That pair, the protein like the first one first; two empty names if none is similar.
    unlike_training : ndarray, dtype=bool, shape=(n,)
        A protein whose features lie outside of what training proteins have.
    interolog_evidence : ndarray, dtype=float64, shape=(n,)
        From 0 to 1: what training pairs between relatives of the two say, see `Interologs`.
    known : ndarray, dtype=bool, shape=(n,)
        The network that ships has this pair.  A probability knows of it only where it was a
        training pair, whose `nearest_training_identity` is 1.
    """

    names: list[tuple[str, str]]
    probability: Floats
    uncertainty: Floats
    nearest_training_identity: Floats
    nearest_training_pair: list[tuple[str, str]]
    unlike_training: npt.NDArray[np.bool_]
    interolog_evidence: Floats
    known: npt.NDArray[np.bool_]

    def rows(self, *, details: bool = False) -> list[tuple[Any, ...]]:
        """Return the rows of the table that ``lcplm score`` writes, one per pair.

        Parameters
        ----------
        details : bool
            Add the nearest training pair, ``yes`` or ``no`` for `unlike_training`, the evidence,
            and ``yes`` or ``no`` for `known`.
        """
        numbers = (self.probability, self.uncertainty, self.nearest_training_identity)
        short = [
            (a, b, *(round(float(column[i]), 4) for column in numbers))
            for i, (a, b) in enumerate(self.names)
        ]
        if not details:
            return short
        odd, known = (
            ["yes" if value else "no" for value in column]
            for column in (self.unlike_training, self.known)
        )
        evidence = [round(float(value), 4) for value in self.interolog_evidence]
        more = zip(odd, evidence, known, strict=True)
        pairs = zip(short, self.nearest_training_pair, more, strict=True)
        return [(*row, *pair, *rest) for row, pair, rest in pairs]


class _Scored(NamedTuple):
    """Numbers of each pair; of each protein whether it is unlike training proteins."""

    probability: Floats
    spread: Floats
    evidence: Floats
    unlike: npt.NDArray[np.bool_]


class PPIScorer:
    """Calibrated probabilities that proteins interact, from their sequences.

    A pair has one answer to the last bit, in either order, alone or among thousands.  The features
    of proteins are kept for later calls.

    Parameters
    ----------
    model : LinkModel
    encoder : Encoder
        The one it was trained on.
    nearest : NearestPairs
    known : KnownProteins
        Names that may stand for proteins.

    Examples
    --------
    >>> scorer = PPIScorer.from_pretrained()
    >>> one, other = scorer.score([("TP53", "MDM2"), ("MDM2", "TP53")])
    >>> bool(one == other)
    True
    """

    def __init__(
        self, model: LinkModel, encoder: Encoder, nearest: NearestPairs, known: KnownProteins
    ) -> None:
        members = [copy.deepcopy(member).double() for member in model.members]
        self.model, self.encoder = replace(model, members=members), encoder
        self.nearest, self.known = nearest, known
        self._trained = set(nearest.sequences)
        self._weight = np.array(model.interolog_weight)
        self._rows: dict[str, Tensor] = {}

    @classmethod
    def from_pretrained(
        cls,
        name: str | None = None,
        precision: str = "float32",
        device: str | torch.device | None = None,
    ) -> PPIScorer:
        """Load a scorer that ships with the package, or a folder that ``save`` of one wrote.

        Parameters
        ----------
        name : str, optional
            Default: the one that was best on pairs of new proteins.
        precision : {"auto", "float32", "bfloat16"}
            What the encoder computes with; see `lcplm_graph.models.precision`.
        device : str or torch.device, optional
            Of the encoder; default: the CPU.

        Raises
        ------
        UnknownNameError
            If there is no such scorer.
        """
        name = DEFAULT if name is None else str(name)
        folder = SCORERS_DIR / name if (SCORERS_DIR / name).is_dir() else Path(name)
        if not folder.is_dir():
            shipped = ", ".join(sorted(p.name for p in SCORERS_DIR.glob("*") if p.is_dir()))
            raise UnknownNameError(
                f"no scorer {name!r} ships with this package; shipped: {shipped}"
            )
        model = LinkModel.load(folder)
        facts = model.facts
        kinds = {"data": str, "encoder": str, "farthest": float}
        if not isinstance(facts, dict) or not all(
            isinstance(facts.get(key), kind) for key, kind in kinds.items()
        ):
            raise CheckpointError(f"{folder}: a link model, but no scorer; fetch it again")
        known = KnownProteins.embedded(facts["data"])
        ids, pairs = _read_training(folder / TRAINING)
        rows = known.store.index_of(ids)
        sequences = [known.store[i] for i in rows]
        symbols = np.asarray(known.names.names)[rows]
        names = [symbol or known.store.ids[i] for symbol, i in zip(symbols, rows, strict=True)]
        nearest = NearestPairs(sequences, pairs, names)
        encoder = load_in_precision(model.facts["encoder"], precision, device)
        return cls(model, encoder, nearest, known)

    def score(
        self, pairs: Iterable[Sequence[str]], sequences: Mapping[str, str] | None = None
    ) -> Floats:
        """Return the probability that each pair interacts, shape (n,).

        Parameters
        ----------
        pairs : iterable of (str, str)
            Each a sequence, or a name: first of `sequences` (ids in any usual spelling), then of
            the training data (STRING id, UniProt accession, gene name); a warning counts and names
            what is taken from there although `sequences` are given.
        sequences : mapping of str to str, optional

        Raises
        ------
        InputError
            If a pair is not two texts.
        UnknownNameError
            If a text is neither a name nor a sequence.
        """
        return self._scored(*self._resolved(pairs, sequences)).probability

    def answer(
        self, pairs: Iterable[Sequence[str]], sequences: Mapping[str, str] | None = None
    ) -> ScoredPairs:
        """Return probabilities with all that one must know beside them; see `score`."""
        names, proteins, ends = self._resolved(pairs, sequences)
        found = self._scored(names, proteins, ends)
        identity, nearest = self.nearest.of(proteins, ends)
        called = [*self.nearest.names, ""]
        alike = [(called[i], called[j]) for i, j in nearest.tolist()]
        strange = np.asarray(found.unlike[ends].any(axis=1), bool)
        return ScoredPairs(
            names, found.probability, found.spread, identity, alike, strange, found.evidence,
            self.known.linked(proteins, ends),
        )  # fmt: skip

    def _resolved(
        self, pairs: Iterable[Sequence[str]], sequences: Mapping[str, str] | None
    ) -> tuple[list[tuple[str, str]], list[str], IntArray]:
        """Return names, distinct sequences, and where in them each pair's proteins are."""
        given = None if sequences is None else KnownProteins.of(sequences)
        if given is not None and not len(given.store):
            given = None
        names = string_pairs(pairs)
        read = self.known.sequences(itertools.chain.from_iterable(names), given)
        place: dict[str, int] = {}
        ends = [[place.setdefault(read[text], len(place)) for text in pair] for pair in names]
        return names, list(place), np.array(ends, np.int64).reshape(-1, 2)

    def _scored(self, names: list[tuple[str, str]], proteins: list[str], ends: IntArray) -> _Scored:
        if not len(ends):
            return _Scored(np.empty(0), np.empty(0), np.empty(0), np.empty(0, bool))
        blocks = self._features(proteins)
        classes = 3 - np.array([s in self._trained for s in proteins], np.int64)[ends].sum(axis=1)
        evidence = self._interologs(proteins, ends)
        each = member_log_odds(self.model, blocks, ends) + self._weight[classes - 1] * evidence
        sure = self.model.calibration
        own = sure.probability(each, classes)
        called = [""] * len(proteins)
        for pair, end in zip(names, ends.tolist(), strict=True):
            for name, place in zip(pair, end, strict=True):
                called[place] = called[place] or name
        unlike = warn_of_unlike(distance(self.model, blocks), called, self.model.facts["farthest"])
        probability = sure.probability(each.mean(axis=0), classes)
        return _Scored(probability, own.std(axis=0), evidence, unlike)

    def _interologs(self, proteins: list[str], ends: IntArray) -> Floats:
        """Return the evidence of training pairs between relatives, see `Interologs`."""
        found = Interologs(self.nearest.weights(proteins), self.nearest.pairs)
        return found.of(ends).round(_DIGITS)

    def _features(self, sequences: list[str]) -> Blocks:
        """Return the blocks of sequence-only members, float64; proteins are embedded one by one."""
        new = [sequence for sequence in sequences if sequence not in self._rows]
        if len(self._rows) + len(new) > _KEPT:
            self._rows, new = {}, sequences
        # With others in its batch a protein's features would differ in their last bits.
        made = self.encoder.embed(new, WIDE, max_tokens=1) if new else torch.empty(0)
        self._rows.update(zip(new, made, strict=True))
        wide = torch.stack([self._rows[sequence] for sequence in sequences]).double()
        return wide_blocks(wide)


def _read_training(path: Path) -> tuple[list[str], IntArray]:
    """Read the ids of the training proteins, and the training pairs as places in them."""
    try:
        training = load_file(path)
        ids = json.loads(training["ids"].tobytes().decode())
        pairs = training["pairs"].astype(np.int64)
        is_right = all(isinstance(name, str) for name in ids) and pairs.shape[1:] == (2,)
        is_right = is_right and bool(((pairs >= 0) & (pairs < len(ids))).all())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent}: {TRAINING} is missing") from error
    except Exception as error:  # a damaged file raises nearly anything
        raise CheckpointError(f"{path}: cannot be read ({first_line(error)})") from error
    if not is_right:
        raise CheckpointError(f"{path}: it does not hold ids, and pairs of them; fetch it again")
    return ids, pairs


def member_log_odds(model: LinkModel, blocks: Blocks, ends: IntArray) -> Floats:
    """Return the log-odds of members without a graph, shape (members, n)."""
    nothing = torch.empty((2, 0), dtype=torch.int64)
    found = []
    with torch.inference_mode(), one_thread():
        for member, recipe in zip(model.members, model.recipes, strict=True):
            h = member.embed(recipe.features(blocks), nothing)
            parts = torch.from_numpy(ends).split(_BLOCK)
            found.append(torch.cat([member.decode(h, part) for part in parts]).numpy())
    return np.stack(found).round(_DIGITS)


def distance(model: LinkModel, blocks: Blocks) -> Floats:
    """Return how far proteins are from the training proteins: their mean squared feature."""
    recipe: Recipe = model.recipes[0]
    with torch.inference_mode():
        scaled: Any = model.members[0].gnn.scale(recipe.features(blocks))
    return scaled.double().square().mean(dim=1).numpy()
