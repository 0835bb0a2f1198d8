"""A graph of proteins and their sequences in node order."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lcplm_graph.errors import InputError
from lcplm_graph.pairs import single_graph
from lcplm_graph.proteins.store import SequenceStore

if TYPE_CHECKING:
    from torch_geometric.data import Data


def graph_and_sequences(
    data: Any, sequences: SequenceStore | None = None, *, edges: bool = False
) -> tuple[Data, SequenceStore]:
    """Return a shallow copy of the graph and its sequences in node order.

    Parameters
    ----------
    data : Data or dataset
        Of a dataset its graph as `transform` makes it, which may drop proteins.
    sequences : SequenceStore, optional
        In any order, see `in_node_order`; by default those of the dataset.
    edges : bool
        Whether there must be edges.

    Raises
    ------
    InputError
        If there are no sequences, or proteins of the graph have none.
    """
    own = getattr(data, "sequences", None)
    sequences = own if sequences is None else sequences
    graph = copy.copy(single_graph(data, edges=edges))
    if sequences is None:
        raise InputError(
            "sequences are needed: give the dataset instead of its graph, or `sequences`"
        )
    return graph, in_node_order(graph, sequences)


def in_node_order(graph: Data, sequences: SequenceStore) -> SequenceStore:
    """Return the sequences of a graph's proteins, in their order.

    Parameters
    ----------
    graph : Data
    sequences : SequenceStore
        In any order, matched by `graph.protein_id`, see `SequenceStore.match`; in node order if
        the graph has none.

    Raises
    ------
    InputError
        If proteins of the graph have no sequence.
    """
    ids = getattr(graph, "protein_id", None)
    if ids is None:
        if len(sequences) != graph.num_nodes:
            raise InputError(
                f"the graph has {graph.num_nodes} proteins without `protein_id`, and there are "
                f"{len(sequences)} sequences; give `protein_id` to match them"
            )
        return sequences
    if len(ids) == len(sequences) and list(ids) == sequences.ids:
        return sequences
    return sequences.select(match_ids(ids, sequences))


def match_ids(ids: Sequence[str], sequences: SequenceStore) -> np.ndarray:
    """Positions of the ids in a store.

    Raises
    ------
    InputError
        If some are missing, with counts and examples of both sides.
    """
    rows = sequences.match(ids, "graph and sequences")
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        shown = ", ".join(repr(ids[i]) for i in missing[:3])
        there = ", ".join(repr(name) for name in sequences.ids[:3])
        raise InputError(
            f"{len(missing)} of {len(ids)} proteins of the graph have no sequence, for example "
            f"{shown}; the {len(sequences)} sequences are named like {there}; bring the ids "
            "to one form, or leave those proteins out"
        )
    return rows
