"""Make a `Split` of a protein graph; what each kind proves is explained in docs/splits.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import ConfigError, InputError, UnknownNameError
from lcplm_graph.pairs import PairGraph, pair_graph, pair_hashes, single_graph
from lcplm_graph.proteins.graphs import in_node_order
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.seeds import checked_seed
from lcplm_graph.splits import DEFAULT_KIND
from lcplm_graph.splits.kinds import KINDS, Assignment, Request, check_real
from lcplm_graph.splits.parts import Part, Parts
from lcplm_graph.splits.sets import SPLIT_KINDS
from lcplm_graph.splits.split import Split


def make_split(
    data: Any,
    kind: str = DEFAULT_KIND,
    *,
    seed: int = 0,
    valid: float = 0.1,
    test: float = 0.2,
    disjoint: float = 0.0,
    sequences: Any = None,
    **options: Any,
) -> Split:
    """Split a protein graph into training, validation and test pairs.

    Parameters
    ----------
    data : torch_geometric.data.Data or dataset
        The graph, undirected, each edge in one or both directions; of a dataset, as its
        `transform` makes it.
    kind : str
        By default held-out pairs join two proteins that training never saw (`C3`). Pairs are
        shared out by `random` (any pair), `C1` (both proteins stay in training) and
        `temporal` (the newest pairs). Proteins are shared out by `C2` (one protein is new), `C3`
        (both are), `node` (all three classes in one split), `cluster` (`C3` over clusters of
        similar sequences, no homologue across the border) and `species`.
    seed : int
        The same seed gives the same split.
    valid, test : float
        Fractions held out, of what is shared out: pairs or proteins.
    disjoint : float
        Fraction of the training pairs that is supervision only, the rest being message only.
        0 uses every training pair as both.
    sequences : SequenceStore, optional
        Matched by `data.protein_id`, in node order without these; default `data.sequences`. Needed
        by `cluster`; with any kind, held-out pairs of the same two sequences as an earlier part's
        pair (copies of a gene) are dropped.
    **options
        Of the kind: `taxon`, `valid_taxa`, `test_taxa` (species); `time`, `valid_from`,
        `test_from` (temporal); `identity`, `coverage`, `method`, `clusters` (cluster).

    Returns
    -------
    Split
        Checked.

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    ConfigError
        If a fraction, the seed or an option makes no sense.
    InputError
        If a held-out part that was asked for stays empty, data that the kind needs is missing, or
        a weight is not a number in [0, 1].

    References
    ----------
    .. [1] Park & Marcotte, Nature Methods 9, 1134 (2012), for the classes C1, C2, C3.

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> ring = torch.arange(40)
    >>> graph = Data(edge_index=torch.stack([ring, (ring + 1) % 40]), num_nodes=40)
    >>> split = make_split(graph, "C1", seed=1)
    >>> split.counts()["test_C2"], split.counts()["test_C3"]
    (0, 0)
    """
    _check_request(kind, valid, test, disjoint)
    sequences = _sequences_of(data, sequences)
    data = single_graph(data)
    sequences = None if sequences is None else in_node_order(data, sequences)
    graph = pair_graph(data)
    if not len(graph.pairs):
        raise InputError("this graph has no pair to split")
    seed = checked_seed(seed)
    rng = np.random.default_rng(seed)
    found = _assign(kind, Request(graph, data, sequences, rng, valid, test), options)
    info = {"seed": seed, "valid": valid, "test": test, "disjoint": disjoint, **found.info}
    if sequences is not None:
        hashes = pair_hashes(sequences.digests(), graph.pairs)
        info["held_out_pairs_repeated_by_sequence"] = _drop_repeated(found.pair_part, hashes)
    split = _split_of(kind, graph, found._replace(info=info), disjoint, rng)
    _refuse_empty(split, valid, test)
    return split.check()


def _check_request(kind: str, valid: float, test: float, disjoint: float) -> None:
    if kind not in SPLIT_KINDS:
        raise UnknownNameError(f"no split {kind!r}; choose one of {', '.join(SPLIT_KINDS)}")
    for name, fraction in (("valid", valid), ("test", test), ("disjoint", disjoint)):
        check_real(fraction, name)
    if not (valid >= 0 and test >= 0 and valid + test < 1 and 0 <= disjoint < 1):
        raise ConfigError(
            f"valid={valid}, test={test} and disjoint={disjoint} must be fractions that leave "
            "something to train on"
        )


def _sequences_of(data: Any, sequences: Any) -> SequenceStore | None:
    """Return the sequences that were given, or else those of a dataset."""
    own = getattr(data, "sequences", None) or None  # annotated proteins may have none
    sequences = own if sequences is None else sequences
    if sequences is not None and not isinstance(sequences, SequenceStore):
        raise InputError(f"sequences are a SequenceStore, not {type(sequences).__name__}")
    return sequences


def _split_of(
    kind: str, graph: PairGraph, found: Assignment, disjoint: float, rng: np.random.Generator
) -> Split:
    """Make the split of an assignment; training pairs are shared out here, if they are disjoint."""
    part = found.pair_part
    train = graph.pairs[part == Part.TRAIN]
    supervised = rng.permutation(len(train)) < round(disjoint * len(train))
    message = ~supervised
    weight = None if graph.weight is None else graph.weight[part == Part.TRAIN][message]
    held_out = part >= Part.VALID
    return Split(
        kind=kind,
        num_nodes=graph.num_nodes,
        message=train[message],
        supervision=train[supervised] if disjoint else train,
        held_out=graph.pairs[held_out],
        held_out_part=part[held_out],
        message_weight=weight,
        dropped=graph.pairs[part == Part.NOWHERE],
        node_part=found.node_part,
        info=found.info,
    )


def _drop_repeated(part: Parts, hashes: npt.NDArray[np.uint64]) -> int:
    """Take held-out pairs whose two sequences are also a pair of an earlier part out, in place.

    Copies of a gene have one sequence under several ids: under other ids the pair was seen.
    """
    repeated = 0
    for earlier, later in (
        (Part.TRAIN, Part.VALID),
        (Part.TRAIN, Part.TEST),
        (Part.VALID, Part.TEST),
    ):
        again = (part == later) & np.isin(hashes, hashes[part == earlier])
        part[again] = Part.NOWHERE
        repeated += int(again.sum())
    return repeated


def _assign(kind: str, request: Request, options: dict[str, Any]) -> Assignment:
    kinds = KINDS
    if kind == "cluster":
        # Imported here, because it compiles kernels that no other kind needs.
        from lcplm_graph.splits.clusters import cluster_pairs

        kinds = {"cluster": cluster_pairs}
    try:
        return kinds[kind](request, **options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ConfigError(f"a {kind} split has no such option ({error})") from error


def _refuse_empty(split: Split, valid: float, test: float) -> None:
    counts = split.counts()
    for name, wanted in (("message", 1.0), ("valid", valid), ("test", test)):
        if wanted and not counts[name]:
            raise InputError(
                f"the {split.kind} split leaves no {name} pair in this graph of "
                f"{len(split.known)} pairs; ask for a larger fraction or another kind"
            )
