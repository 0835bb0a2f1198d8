"""`WalkStream`: random walks as token streams, stream i from (seed, i) alone."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lcplm_graph.errors import InputError
from lcplm_graph.io import warn_once
from lcplm_graph.numeric import real_number, whole_number
from lcplm_graph.ops.random_walk.reference import derive_key
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.seeds import checked_seed
from lcplm_graph.tokens.packing import PackedTokens
from lcplm_graph.walks.assemble import fill, measure
from lcplm_graph.walks.residues import ResidueTable
from lcplm_graph.walks.sampler import WalkSampler

MIN_SHARE = 8
_WINDOW = 3


@dataclass(frozen=True, eq=False)
class WalkTokens:
    """Token streams of S walks, end to end, and what lies where.

    Attributes
    ----------
    input_ids : numpy.ndarray
        int64 (T,).
    cu_seqlens : numpy.ndarray
        int32 (S + 1,), where each stream begins.
    marker_positions : numpy.ndarray
        int64 (K,), places of the relation markers in `input_ids`.
    marker_labels : numpy.ndarray
        int64 (K,), 1 at `[EDGE]`, 0 at `[NO_EDGE]`.
    nodes : numpy.ndarray
        int64 (N,), the proteins in order.
    spans : numpy.ndarray
        int64 (N, 2), where the residues of each begin and end (exclusive) in `input_ids`.
    windows : numpy.ndarray
        int64 (N,), the residue of the whole protein at which its span begins; 0 unless cropped.
    nodes_per_stream : numpy.ndarray
        int64 (S,), proteins in each stream; they sum to N = K + S.
    cropped : int
        How many of the N proteins are not whole.
    """

    input_ids: np.ndarray
    cu_seqlens: np.ndarray
    marker_positions: np.ndarray
    marker_labels: np.ndarray
    nodes: np.ndarray
    spans: np.ndarray
    windows: np.ndarray
    nodes_per_stream: np.ndarray
    cropped: int

    @property
    def packed(self) -> PackedTokens:
        """The tokens as an encoder takes them."""
        import torch

        return PackedTokens(torch.from_numpy(self.input_ids), torch.from_numpy(self.cu_seqlens))

    @property
    def ends_stream(self) -> np.ndarray:
        """Which proteins are the last of their stream, bool (N,)."""
        last = np.zeros(len(self.nodes), bool)
        last[np.cumsum(self.nodes_per_stream) - 1] = True
        return last

    @property
    def marker_pairs(self) -> np.ndarray:
        """The two proteins on either side of each marker, int64 (K, 2), in path order."""
        before = np.flatnonzero(~self.ends_stream)
        return np.stack([self.nodes[before], self.nodes[before + 1]], axis=1)

    def shifted(self, first_node: int) -> WalkTokens:
        """Return the same with proteins counted from `first_node`."""
        return replace(self, nodes=self.nodes + first_node)

    @classmethod
    def joined(cls, parts: Sequence[WalkTokens]) -> WalkTokens:
        """Put streams end to end."""
        sizes = np.cumsum([0, *(len(part.input_ids) for part in parts)])
        if sizes[-1] >= 1 << 31:
            raise InputError(f"{len(parts)} walks have more than 2**31 tokens; ask for fewer")

        def all_of(name: str, offsets: Sequence[int] | None = None) -> np.ndarray:
            moved = [0] * len(parts) if offsets is None else offsets
            arrays = [getattr(p, name) + o for p, o in zip(parts, moved, strict=True)]
            return np.concatenate(arrays) if arrays else np.empty(0, np.int64)

        places = sizes[:-1].tolist()
        ends = [part.cu_seqlens[1:] + place for part, place in zip(parts, places, strict=True)]
        return cls(
            all_of("input_ids"),
            np.concatenate([[0], *ends]).astype(np.int32),
            all_of("marker_positions", places),
            all_of("marker_labels"),
            all_of("nodes"),
            all_of("spans", places).reshape(-1, 2),
            all_of("windows"),
            all_of("nodes_per_stream"),
            sum(part.cropped for part in parts),
        )


class WalkSource(ABC):
    """An endless list of token streams, and of batches of them."""

    max_tokens: int

    @abstractmethod
    def walks(self, start: int, stop: int, length: int | None = None) -> WalkTokens:
        """Return streams `start` to ``stop - 1``, end to end; of each `length` proteins, or all."""

    def __getitem__(self, index: int) -> WalkTokens:
        index = operator.index(index)
        return self.walks(index, index + 1)

    def batch(self, index: int, max_tokens: int, length: int | None = None) -> WalkTokens:
        """Return batch `index` of the endless list of batches, at most `max_tokens` tokens each.

        Of each walk the first `length` proteins, or all.

        A batch is a fixed number of consecutive walks, as many as fit when each has all of
        its own budget, so that batch b is a pure function of (seed, b) and a resumed run goes on
        where it stopped.

        Raises
        ------
        InputError
            If not even one walk fits.
        """
        size = self.walks_per_batch(max_tokens)
        index = operator.index(index)
        return self.walks(index * size, (index + 1) * size, length)

    def walks_per_batch(self, max_tokens: int) -> int:
        """Return how many walks a batch of at most `max_tokens` tokens has."""
        size = whole_number(max_tokens, "max_tokens") // self.max_tokens
        if size < 1:
            raise InputError(
                f"a batch of {max_tokens} tokens holds no walk of {self.max_tokens}; give batches "
                "at least as many tokens as walks"
            )
        return size


class WalkStream(WalkSource):
    """Random walks as token streams, with random access.

    Stream `i` is walk `i`: ``<cls> [BON] residues [EON] [EDGE] [BON] residues [EON] <eos>``, the
    proteins in path order.  With probability `negative_rate` a hop goes to a protein that no
    training edge joins to the one before and is marked ``[NO_EDGE]``; the walk goes on from
    there, so that every ``[EDGE]`` is a message edge.  Held-out edges are neither walked nor
    avoided, so ``[NO_EDGE]`` may stand between two proteins that are held out as a positive.

    Parameters
    ----------
    sampler : WalkSampler
    store : SequenceStore or ResidueTable
        The proteins in node order.  Encoding a store takes about two seconds per 50 M residues; a
        `ResidueTable` that was saved is memory-mapped at once.
    max_tokens : int
        Most tokens of a stream.  Where a walk's proteins do not fit, the longer ones are cropped
        to equal shares, each to a random window that is a function of (seed, i).
    negative_rate : float
        Probability, in [0, 1], that a hop is negative.
    seed : int, optional
        Of the windows; the sampler's own if not given.

    Raises
    ------
    InputError
        If `store` has not one protein per node, `max_tokens` leaves a protein of a full walk
        fewer than 8 residues, or `negative_rate` is out of range.

    Examples
    --------
    >>> from lcplm_graph.splits.split import Split
    >>> from lcplm_graph.tokens.vocabulary import decode
    >>> split = Split("random", 2, [[0, 1]], [[0, 1]], [], [])
    >>> store = SequenceStore.from_records(["a", "b"], ["MKT", "MV"])
    >>> stream = WalkStream(WalkSampler(split, 3), store, max_tokens=64, negative_rate=0.0)
    >>> i = int(stream.sampler.walks(0, 2)[:, 0].argmin())
    >>> decode(stream[i].input_ids)
    '<cls>[BON]MKT[EON][EDGE][BON]MV[EON][EDGE][BON]MKT[EON]<eos>'
    >>> stream[i].marker_labels.tolist(), stream[i].nodes.tolist()
    ([1, 1], [0, 1, 0])
    """

    def __init__(
        self,
        sampler: WalkSampler,
        store: SequenceStore | ResidueTable,
        *,
        max_tokens: int,
        negative_rate: float = 0.2,
        seed: int | None = None,
    ) -> None:
        if not isinstance(store, SequenceStore | ResidueTable):
            raise InputError(
                f"walks need the proteins' sequences as a SequenceStore, not {type(store).__name__}"
            )
        if not isinstance(sampler, WalkSampler):
            raise InputError(f"walks come from a WalkSampler, not a {type(sampler).__name__}")
        if not 0.0 <= real_number(negative_rate, "negative_rate") <= 1.0:
            raise InputError(f"negative_rate must be between 0 and 1, not {negative_rate!r}")
        self.sampler = sampler
        self.max_tokens = whole_number(max_tokens, "max_tokens", least=0)
        self.negative_rate = float(negative_rate)
        self.seed = sampler.seed if seed is None else checked_seed(seed)
        self.residues = store if isinstance(store, ResidueTable) else ResidueTable.from_store(store)
        self._check_sizes()

    def _check_sizes(self) -> None:
        length, count = self.sampler.length, len(self.residues.lengths)
        if count != self.sampler.num_nodes:
            raise InputError(
                f"the graph has {self.sampler.num_nodes} proteins but the store has {count} "
                "sequences; they must be the same in the same order"
            )
        share = (self.max_tokens - 1 - length) // length - 2
        if share < MIN_SHARE:
            raise InputError(
                f"max_tokens={self.max_tokens} leaves each protein of a walk of {length} fewer "
                f"than {MIN_SHARE} residues; give at least {1 + length * (3 + MIN_SHARE)} or "
                "shorten the walks"
            )
        long = int((self.residues.lengths > share).sum())
        if long:
            warn_once(
                f"{long} of {count} proteins are longer than {share} residues, their share of "
                f"max_tokens={self.max_tokens} in a walk of {length}; where a walk does not fit "
                "they are cropped to a random window (WalkTokens.cropped counts them)"
            )

    def walks(self, start: int, stop: int, length: int | None = None) -> WalkTokens:
        """Return streams `start` to ``stop - 1``, end to end; of each `length` proteins, or all.

        Raises
        ------
        InputError
            If `length` is no whole number from 1, or the streams are too many to count.
        """
        if length is not None:
            length = whole_number(length, "the length of a walk")
        found = self.sampler.hops(start, stop, self.negative_rate)
        nodes, negative = (np.ascontiguousarray(array[:, :length]) for array in found)
        offsets = self.residues.offsets
        kept, size = measure(nodes, offsets, self.max_tokens)
        per_stream = (nodes >= 0).sum(axis=1)
        n, k = int(per_stream.sum()), int(per_stream.sum()) - len(nodes)
        if size.sum() >= 1 << 31:
            raise InputError(f"{len(nodes)} walks have more than 2**31 tokens; ask for fewer")
        cu_seqlens = np.zeros(len(nodes) + 1, np.int32)
        np.cumsum(size, out=cu_seqlens[1:])
        ids = np.empty(int(size.sum()), np.int64)
        markers, labels, visited, windows = (np.empty(m, np.int64) for m in (k, k, n, n))
        spans = np.empty((n, 2), np.int64)
        key = np.uint64(derive_key(self.seed % (1 << 64), _WINDOW))
        fill(
            nodes, negative, kept, self.residues.tokens, offsets, key, start,
            ids, markers, labels, visited, spans, windows,
        )  # fmt: skip
        whole = offsets[visited + 1] - offsets[visited]
        cropped = int((spans[:, 1] - spans[:, 0] < whole).sum())
        return WalkTokens(
            ids, cu_seqlens, markers, labels, visited, spans, windows, per_stream, cropped
        )

    def __repr__(self) -> str:
        return (
            f"WalkStream({self.sampler!r}, max_tokens={self.max_tokens}, "
            f"negative_rate={self.negative_rate}, seed={self.seed})"
        )
