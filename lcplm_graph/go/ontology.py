"""The Gene Ontology: terms, true-path closure over is_a and part_of, and what became of old ids."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.sparse import csgraph

from lcplm_graph.errors import DataError, InputError, UnknownNameError
from lcplm_graph.go.obo import ASPECTS, read_obo
from lcplm_graph.numeric import finite
from lcplm_graph.strings import as_path, string_list

ROOTS = {"BP": "GO:0008150", "MF": "GO:0003674", "CC": "GO:0005575"}
_LETTERS = {"BP": "P", "MF": "F", "CC": "C"}
_ALIASES = {
    alias: code
    for code, name in ASPECTS.items()
    for alias in (code, _LETTERS[code], f"{code}O", name)
}
_OUTCOMES = ("current", "alt_id", "replaced_by", "obsolete", "unknown")


def aspect_code(name: str) -> str:
    """Return ``BP``, ``MF`` or ``CC`` for any usual spelling of a namespace.

    Examples
    --------
    >>> aspect_code("F"), aspect_code("BPO"), aspect_code("cellular_component")
    ('MF', 'BP', 'CC')
    """
    try:
        return _ALIASES[name]
    except KeyError:
        raise UnknownNameError(f"no aspect {name!r}; known: {', '.join(_ALIASES)}") from None


class Ontology:
    """Terms of the Gene Ontology and who is whose ancestor.

    Only `is_a` and `part_of` carry an annotation upwards, and only within one aspect: the three
    are propagated and scored apart, as in CAFA. Edges that cross are left out and counted.

    Parameters
    ----------
    terms : sequence of str
        Ids of the terms in force.
    aspects : sequence of str
        ``BP``, ``MF`` or ``CC`` of each term.
    edges : array-like, dtype=int64, shape=(m, 2)
        Positions (child, parent).
    names : sequence of str, optional
        Names of the terms; by default their ids.
    former : dict of str to (str, str or None), optional
        Ids no longer in force: how they went (``alt_id``, ``replaced_by``, ``obsolete``) and the
        term that stands for them now.
    version : str
        Release, as ``releases/2022-07-01``.

    Attributes
    ----------
    counts : dict of str to int
        Terms, edges, edges that cross aspects, and former ids by how they went.

    Raises
    ------
    DataError
        If the edges close a cycle, which is then named.

    References
    ----------
    .. [1] Ashburner et al., Nature Genetics 25, 25 (2000).

    Examples
    --------
    >>> tree = Ontology(["GO:1", "GO:2", "GO:3"], ["MF"] * 3, [[1, 0], [2, 1]])
    >>> tree.ancestors_of("GO:3")
    ['GO:1', 'GO:2']
    """

    def __init__(
        self,
        terms: Sequence[str],
        aspects: Sequence[str],
        edges: npt.ArrayLike,
        names: Sequence[str] | None = None,
        former: dict[str, tuple[str, str | None]] | None = None,
        version: str = "",
    ) -> None:
        self.terms, self.version = list(terms), version
        self.names = list(names) if names is not None else list(terms)
        self.aspects = np.asarray([aspect_code(name) for name in aspects], dtype="U2")
        if len(self.aspects) != len(self.terms):
            raise InputError(f"{len(self.terms)} terms but {len(self.aspects)} aspects")
        self.index = {term: i for i, term in enumerate(self.terms)}
        self.former = former or {}
        pairs = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
        within = self.aspects[pairs[:, 0]] == self.aspects[pairs[:, 1]]
        n = len(self.terms)
        ones = np.ones(int(within.sum()), dtype=bool)
        #: Direct parents, CSR bool of shape (terms, terms): row = child, column = parent.
        self.parents = sparse.csr_array((ones, pairs[within].T), shape=(n, n), dtype=bool)
        self._refuse_cycle()
        #: Ancestors and the term itself, CSR bool of shape (terms, terms).
        self.ancestors = _closure(self.parents)
        self.counts = {
            "terms": n,
            "edges": int(self.parents.nnz),
            "cross_aspect_edges": int((~within).sum()),
            **Counter(kind for kind, _ in self.former.values()),
        }

    @classmethod
    def from_obo(cls, path: str | os.PathLike[str]) -> Ontology:
        """Read an OBO file, such as go-basic.obo (plain, gzip, zstd, bz2 or xz).

        Parameters
        ----------
        path : path-like
            The file, OBO 1.2 or 1.4.

        Raises
        ------
        DataError
            If it is not OBO, a parent is not defined, or the terms form a cycle.
        """
        try:
            return cls(*read_obo(as_path(path)))
        except DataError as error:
            raise error if error.path else DataError(str(error), path=path) from None

    def __len__(self) -> int:
        return len(self.terms)

    def __repr__(self) -> str:
        return f"Ontology({len(self)} terms, {self.counts['edges']} edges, {self.version!r})"

    def resolve(self, go_ids: Iterable[str]) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
        """Find terms by id, following `alt_id` and `replaced_by`.

        Parameters
        ----------
        go_ids : iterable of str
            Ids, current or old.

        Returns
        -------
        positions : ndarray, dtype=int64, shape=(n,)
            -1 for ids that are obsolete without a replacement, or unknown. (`consider` tags are
            suggestions to a curator and are not followed.)
        counts : dict of str to int
            How many ids were `current`, `alt_id`, `replaced_by`, `obsolete`, `unknown`.
        """
        codes, unique = pd.factorize(pd.Series(string_list(go_ids, "GO ids"), dtype="str"))
        found = np.full(len(unique), -1, dtype=np.int64)
        outcome = np.empty(len(unique), dtype=np.int64)
        for i, go_id in enumerate(unique):
            kind, term = ("current", go_id) if go_id in self.index else self._former(go_id)
            outcome[i] = _OUTCOMES.index(kind)
            if term is not None:
                found[i] = self.index[term]
        totals = np.bincount(outcome[codes], minlength=len(_OUTCOMES)).tolist()
        return found[codes], dict(zip(_OUTCOMES, totals, strict=True))

    def ancestors_of(self, go_id: str) -> list[str]:
        """Ids of all proper ancestors of a term, sorted; old ids are followed.

        Raises
        ------
        UnknownNameError
            If the ontology has no such term.
        """
        (row,), _ = self.resolve([go_id])
        if row < 0:
            raise UnknownNameError(f"the ontology has no term {go_id!r} in force")
        columns = self.ancestors[[int(row)]].indices
        return sorted(self.terms[i] for i in columns if i != row)

    def in_aspect(self, *aspects: str) -> npt.NDArray[np.bool_]:
        """Mask of shape (terms,) of the terms in the given aspects."""
        return np.isin(self.aspects, [aspect_code(name) for name in aspects])

    def annotate(
        self, rows: npt.ArrayLike, terms: npt.ArrayLike, num_rows: int
    ) -> sparse.csr_array:
        """Make an annotation matrix of pairs (row, position of a term); repeats count once.

        Returns
        -------
        scipy.sparse.csr_array, dtype=bool, shape=(num_rows, terms)
        """
        i, j = np.asarray(rows, dtype=np.int64), np.asarray(terms, dtype=np.int64)
        shape = (num_rows, len(self))
        for what, values, size in zip(("row", "term"), (i, j), shape, strict=True):
            if len(values) and not (values.min() >= 0 and values.max() < size):
                raise InputError(f"a {what} lies outside 0..{size - 1}")
        return sparse.csr_array((np.ones(len(i), dtype=bool), (i, j)), shape=shape, dtype=bool)

    def propagate(self, annotations: Any) -> sparse.csr_array:
        """Apply the true-path rule: who has a term has all its ancestors.

        Parameters
        ----------
        annotations : sparse or dense matrix of shape (n, terms)
            Non-zero where a protein has a term.

        Returns
        -------
        scipy.sparse.csr_array, dtype=bool, shape=(n, terms)
        """
        given = annotations if sparse.issparse(annotations) else np.asarray(annotations)
        matrix = sparse.csr_array(given).astype(bool)
        self._check_width(matrix.shape[1], len(self))
        result = sparse.csr_array(matrix @ self.ancestors)
        result.sort_indices()
        return result

    def propagate_scores(
        self, scores: npt.ArrayLike, terms: Sequence[str] | None = None
    ) -> npt.NDArray[np.floating]:
        """Raise each predicted score to the largest among the term and its descendants.

        Parameters
        ----------
        scores : array-like of float, shape (n, t)
            Predictions.
        terms : sequence of str, optional
            Ids of the t columns; default all terms of the ontology in order.

        Returns
        -------
        ndarray of float, shape (n, t)
            A parent never scores below its child.
        """
        finite(scores, "scores")
        by_term = np.array(np.asarray(scores).T, order="C")
        if by_term.ndim != 2:
            raise InputError(f"scores need the shape (n, terms), not {np.shape(scores)}")
        positions = self._positions(terms)
        self._check_width(by_term.shape[0], len(positions))
        below = sparse.csc_array(self.ancestors[positions][:, positions])
        # A maximum of maxima is the same maximum, so the order of the terms does not matter.
        for column in range(len(positions)):
            rows = below.indices[below.indptr[column] : below.indptr[column + 1]]
            if len(rows) > 1:
                by_term[column] = by_term[rows].max(axis=0)
        return np.ascontiguousarray(by_term.T)

    def _positions(self, terms: Sequence[str] | None) -> npt.NDArray[np.int64]:
        if terms is None:
            return np.arange(len(self))
        positions, counts = self.resolve(terms)
        if (positions < 0).any():
            lost = terms[int(np.argmin(positions))]
            raise UnknownNameError(
                f"{counts['obsolete'] + counts['unknown']} terms are not in the ontology, "
                f"the first is {lost!r}; use the ontology that the labels were made with"
            )
        return positions

    def _former(self, go_id: str) -> tuple[str, str | None]:
        return self.former.get(go_id, ("unknown", None))

    @staticmethod
    def _check_width(found: int, expected: int) -> None:
        if found != expected:
            raise InputError(f"{found} columns for {expected} terms")

    def _refuse_cycle(self) -> None:
        itself = np.flatnonzero(self.parents.diagonal())
        if len(itself):
            raise DataError(f"the term {self.terms[itself[0]]} is its own parent")
        count, group = csgraph.connected_components(self.parents, connection="strong")
        if count == len(self):
            return
        import networkx

        members = np.flatnonzero(group == np.argmax(np.bincount(group)))
        inside = networkx.from_scipy_sparse_array(
            self.parents[members][:, members], create_using=networkx.DiGraph
        )
        cycle = [self.terms[members[child]] for child, _ in networkx.find_cycle(inside)]
        raise DataError(f"the terms form a cycle: {' -> '.join([*cycle, cycle[0]])}")


def _closure(parents: sparse.csr_array) -> sparse.csr_array:
    """Reach of each term upwards, itself included, by repeated squaring: log2(depth) products."""
    reach = sparse.csr_array(parents + sparse.eye_array(parents.shape[0], dtype=bool))
    while True:
        further = sparse.csr_array(reach @ reach)
        if further.nnz == reach.nnz:
            further.sort_indices()
            return further
        reach = further
