"""From annotation files to label matrices: which protein has which term, before and later."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from lcplm_graph.go.annotations import Annotations, read_annotations
from lcplm_graph.go.ontology import ROOTS, Ontology


def read_all(paths: Iterable[str | os.PathLike[str]]) -> Annotations:
    """Read annotation files and join them, adding up their counts."""
    parts = [read_annotations(path) for path in paths]
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Annotations(pd.concat([p.table for p in parts], ignore_index=True), dict(counts))


def renamed(annotations: Annotations, names: pd.DataFrame) -> Annotations:
    """Replace the names of proteins.

    Parameters
    ----------
    annotations : Annotations
        As read.
    names : pandas.DataFrame
        Columns `alias` (the name in the annotations) and `protein_id`.  Copies of a gene often
        share an accession: each of its proteins gets the annotation.  A name that is not there,
        or whose protein is missing, stays, and counts as another protein.

    Returns
    -------
    Annotations
        Its counts also have ``names_translated`` and ``names_of_several_proteins``.
    """
    names = names.dropna(subset="protein_id")
    table = annotations.table.merge(names, how="left", left_on="protein", right_on="alias")
    table["protein"] = table["protein_id"].fillna(table["protein"])
    per_name = names["alias"].value_counts()
    counts = {
        "names_translated": len(per_name),
        "names_of_several_proteins": int((per_name > 1).sum()),
    }
    return Annotations(table[annotations.table.columns], annotations.counts | counts)


def label_matrix(
    annotations: Annotations, ontology: Ontology, proteins: pd.Index, exclude: Collection[str] = ()
) -> tuple[sparse.csr_array, dict[str, int]]:
    """Propagate annotations to a matrix over the terms of the ontology.

    Parameters
    ----------
    annotations : Annotations
        Already filtered by evidence and date.
    ontology : Ontology
        Old ids are followed; those it does not know are dropped and counted.
    proteins : pandas.Index
        Ids of the rows.
    exclude : collection of str
        Terms that do not count, under any of their ids, neither as annotation nor as label.

    Returns
    -------
    matrix : scipy.sparse.csr_array, dtype=bool, shape=(proteins, terms)
        Closed under the true-path rule, without the three roots and the excluded terms.
    counts : dict of str to int
    """
    table = annotations.table
    rows = proteins.get_indexer(pd.Index(table["protein"]))
    terms, outcome = ontology.resolve(table["go_id"])
    barred = excluded_positions(ontology, exclude)
    is_known = rows >= 0
    is_barred = np.isin(terms, barred)
    kept = is_known & (terms >= 0) & ~is_barred
    matrix = ontology.propagate(ontology.annotate(rows[kept], terms[kept], len(proteins)))
    outcome.pop("current")
    counts = {f"terms_{kind}": number for kind, number in outcome.items()}
    counts["annotations_of_other_proteins"] = int((~is_known).sum())
    counts["other_proteins"] = int(table["protein"][~is_known].nunique())
    counts["excluded_terms"] = int((is_known & is_barred).sum())
    counts["annotations_kept"] = int(kept.sum())
    allowed = np.ones(len(ontology), dtype=bool)
    allowed[np.concatenate([barred, excluded_positions(ontology, ROOTS.values())])] = False
    return keep_columns(matrix, allowed), annotations.counts | counts


def excluded_positions(ontology: Ontology, ids: Iterable[str]) -> npt.NDArray[np.int64]:
    """Positions of those of the ids that the ontology has."""
    positions, _ = ontology.resolve(ids)
    return positions[positions >= 0]


def keep_columns(matrix: sparse.csr_array, allowed: npt.NDArray[np.bool_]) -> sparse.csr_array:
    """Empty the columns that are not allowed; the shape stays."""
    entries = sparse.coo_array(matrix)
    rows, columns = entries.coords
    right = allowed[columns]
    where = (rows[right], columns[right])
    return sparse.csr_array((np.ones(int(right.sum()), dtype=bool), where), shape=matrix.shape)


class Gain(NamedTuple):
    """What proteins gained between two dates, in the classes of CAFA.

    Attributes
    ----------
    gained : scipy.sparse.csr_array, dtype=bool, shape=(n, terms)
        Terms true later that were not true before.
    none, limited, partial : ndarray, dtype=bool, shape=(n,)
        Of the proteins that gained: no annotation before in any aspect, none in this aspect,
        some in this aspect.
    """

    gained: sparse.csr_array
    none: npt.NDArray[np.bool_]
    limited: npt.NDArray[np.bool_]
    partial: npt.NDArray[np.bool_]


def gain(
    before: sparse.csr_array, later: sparse.csr_array, in_aspect: npt.NDArray[np.bool_]
) -> Gain:
    """Compare two propagated label matrices over all aspects within the aspects asked for."""
    now = keep_columns(later, in_aspect).astype(np.int8)
    gained = sparse.csr_array(now - now * before.astype(np.int8))
    gained.eliminate_zeros()
    has_gain = has_any(gained)
    known = has_any(before)
    known_here = has_any(keep_columns(before, in_aspect))
    return Gain(
        gained.astype(bool),
        has_gain & ~known,
        has_gain & known & ~known_here,
        has_gain & known_here,
    )


def has_any(matrix: sparse.csr_array) -> npt.NDArray[np.bool_]:
    """Mask of the rows that are not empty."""
    return np.diff(matrix.indptr) > 0


def parents_among(ontology: Ontology, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Edges (child, parent) between label columns, over terms that are not labels.

    Returns
    -------
    ndarray, dtype=int64, shape=(2, m)
        Positions in `columns`; what information content given the parents needs.
    """
    place = {int(term): i for i, term in enumerate(columns)}
    parents = ontology.parents
    edges: set[tuple[int, int]] = set()
    for term, child in place.items():
        stack, seen = [term], {term}
        while stack:
            at = stack.pop()
            for parent in parents.indices[parents.indptr[at] : parents.indptr[at + 1]].tolist():
                if parent in place:
                    edges.add((child, place[parent]))
                elif parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
    return np.array(sorted(edges), dtype=np.int64).reshape(-1, 2).T
