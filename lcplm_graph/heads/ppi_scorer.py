"""`PPIScorer`: whether two proteins interact, from a model that ships with the package."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor

from lcplm_graph.errors import CheckpointError, UnknownNameError
from lcplm_graph.features.store import cached_embeddings
from lcplm_graph.heads.asked import AskedProteins, states_of
from lcplm_graph.heads.interologs import Interologs
from lcplm_graph.heads.link_model import LinkModel
from lcplm_graph.heads.names import KnownProteins
from lcplm_graph.heads.nearest import NearestPairs
from lcplm_graph.heads.recipe import Blocks, Recipe, pooling_of, wide_blocks
from lcplm_graph.heads.scored_pairs import ScoredPairs
from lcplm_graph.models.checkpoints import first_line
from lcplm_graph.models.encoders import Encoder
from lcplm_graph.models.precision import load_in_precision
from lcplm_graph.models.unlike import warn_of_unlike
from lcplm_graph.numeric import FloatArray
from lcplm_graph.pairs import IntArray
from lcplm_graph.proteins.digests import sequence_digests
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.strings import string_pairs

SCORERS_DIR = Path(__file__).parent / "weights"
DEFAULT = "lcplm-2m-human"
TRAINING = "training.safetensors"
# Features of this many proteins are kept, 12 kB each for lcplm-2m.
_KEPT = 20_000
# From so many on, which take minutes, features are kept on disk: a proteome is screened again.
_WORTH_KEEPING = 500


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
        members = [copy.deepcopy(member).double().eval() for member in model.members]
        self.model, self.encoder = replace(model, members=members), encoder
        self.nearest, self.known = nearest, known
        self._trained = set(nearest.sequences)
        self._rows: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.encoder.name}, {len(self.model.members)} members, "
            f"{len(self._trained)} training proteins)"
        )

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
    ) -> FloatArray:
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
        names = string_pairs(pairs)
        return self._asked_in(names, sequences).probability(names)

    def answer(
        self, pairs: Iterable[Sequence[str]], sequences: Mapping[str, str] | None = None
    ) -> ScoredPairs:
        """Return probabilities with all that one must know beside them; see `score`."""
        names = string_pairs(pairs)
        return self._asked_in(names, sequences).answer(names)

    def asked(
        self,
        texts: Iterable[str],
        sequences: Mapping[str, str] | SequenceStore | None = None,
        *,
        short: bool = True,
        progress: bool = False,
    ) -> AskedProteins:
        """Read and embed proteins, and search their relatives, to ask for pairs of them in parts.

        Parameters
        ----------
        texts : iterable of str
            As in the pairs of `score`.
        sequences : mapping of str to str, or SequenceStore, optional
            The gene names in a store's UniProt headers are names, too.
        short : bool
            Take a short word that is no name as a sequence, with a warning; else it is refused.
        progress : bool

        Raises
        ------
        UnknownNameError
            If a text is neither a name nor a sequence.
        """
        given = None if sequences is None else KnownProteins.of(sequences)
        if given is not None and not len(given.store):
            given = None
        read = self.known.sequences(texts, given, short)
        called: dict[str, str] = {}
        for text, sequence in read.items():
            called.setdefault(sequence, text)
        proteins = list(called)
        number = {sequence: i for i, sequence in enumerate(proteins)}
        blocks = self._features(proteins, progress)
        farthest = self.model.facts["farthest"]
        unlike = warn_of_unlike(distance(self.model, blocks), list(called.values()), farthest)
        weights = self.nearest.weights(proteins, progress=progress)
        return AskedProteins(
            model=self.model,
            nearest=self.nearest,
            proteins=proteins,
            place={text: number[sequence] for text, sequence in read.items()},
            states=states_of(self.model, blocks),
            digests=sequence_digests(proteins),
            unlike=unlike,
            trained=np.array([protein in self._trained for protein in proteins], bool),
            interologs=Interologs(weights, self.nearest.pairs),
            known=self.known,
        )

    def _asked_in(
        self, pairs: list[tuple[str, str]], sequences: Mapping[str, str] | None
    ) -> AskedProteins:
        return self.asked(itertools.chain.from_iterable(pairs), sequences)

    def _features(self, sequences: list[str], progress: bool) -> Blocks:
        """Return the blocks of sequence-only members, float64; proteins are embedded one by one."""
        pool = pooling_of(self.model.recipes)
        new = [sequence for sequence in sequences if sequence not in self._rows]
        if new and len(self._rows) + len(new) > _KEPT:
            self._rows, new = {}, sequences
        # With others in its batch a protein's features would differ in their last bits.
        made: Iterable[Tensor]
        if len(new) >= _WORTH_KEEPING:
            made = cached_embeddings(self.encoder, new, pool, max_tokens=1, progress=progress)
        else:
            made = self.encoder.embed(new, pool, max_tokens=1, progress=progress) if new else ()
        self._rows.update(zip(new, made, strict=True))
        rows = [self._rows[sequence] for sequence in sequences]
        wide = torch.stack(rows) if rows else self.encoder.embed([], pool)
        return wide_blocks(wide.double(), self.encoder.dim)


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


def distance(model: LinkModel, blocks: Blocks) -> FloatArray:
    """Return how far proteins are from the training proteins: their mean squared feature."""
    recipe: Recipe = model.recipes[0]
    return model.members[0].gnn.scale.distance(recipe.features(blocks)).numpy()
