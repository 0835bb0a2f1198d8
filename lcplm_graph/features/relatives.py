"""How related proteins are to those of a graph: what a search found, as weights from 0 to 1."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file
from scipy import sparse

from lcplm_graph.errors import DataError
from lcplm_graph.files.download import cache_root
from lcplm_graph.io import atomic_path, warn_once
from lcplm_graph.pairs import IntArray
from lcplm_graph.proteins.alignment import MAX_LENGTH
from lcplm_graph.proteins.digests import wide_digests
from lcplm_graph.proteins.search import Hits, homologous_pairs
from lcplm_graph.strings import string_list

# What a residue that is aligned with itself is worth, in bits, as a mean over proteins.
_BITS = 2.0
# Part of the names of kept files: another search, or other weights, are other files.
_FORMAT = 1


def relatives(
    proteins: Iterable[str],
    graph: Iterable[str] | None = None,
    *,
    progress: bool = False,
    root: str | os.PathLike[str] | None = None,
) -> sparse.csr_array:
    """Search relatives of proteins among those of a graph, or take what an earlier search found.

    The built-in search looks, so that other programs on the machine change nothing: alignments
    with an E-value of at most 0.001, whatever their identity and coverage.  What is found is kept.

    Parameters
    ----------
    proteins : SequenceStore or other iterable of str
    graph : the same, optional
        The graph's proteins; by default `proteins` are these.
    progress : bool
    root : path-like, optional
        Default: ``relatives`` under the data root (``LCPLM_DATA``).

    Returns
    -------
    scipy.sparse.csr_array, dtype=float64, shape=(n, m)
        1 for the same sequence; else bits, by two for each residue of a protein of (geometric)
        mean length, at most 1; 0 without an alignment, which peptides of a few residues never have.

    Raises
    ------
    DataError
        If a kept file is damaged.

    Warns
    -----
    LcPlmWarning
        If proteins are too long for the search; they have no relatives.

    Examples
    --------
    >>> import tempfile
    >>> globin = "VLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVD"
    >>> found = relatives([globin, "MK" * 40, globin[30:]], root=tempfile.mkdtemp())
    >>> found.toarray().round(1).tolist()
    [[1.0, 0.0, 0.8], [0.0, 1.0, 0.0], [0.8, 0.0, 1.0]]
    """
    rows = string_list(proteins)
    columns = rows if graph is None else string_list(graph)
    shape = len(rows), len(columns)
    key = hashlib.sha256(f"{_FORMAT} {shape} {graph is None}".encode())
    for texts in (rows, columns):
        key.update(wide_digests(texts).tobytes())
    base = Path(root) if root is not None else cache_root() / "relatives"
    path = base / f"{key.hexdigest()[:32]}.safetensors"
    if path.exists():
        return _read(path, shape)
    found = _searched(rows, None if graph is None else columns, progress)
    with atomic_path(path) as temporary:
        save_file({"pairs": found[0], "weights": found[1]}, temporary)
    return _matrix(*found, shape)


def weights(hits: Hits, rows: Sequence[str], columns: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the weights of alignments, as `relatives` has them, shape (h,).

    Parameters
    ----------
    hits : Hits
    rows, columns : sequence of str
        The proteins that its pairs are places in.
    """
    lengths = [np.array([len(text) for text in texts], np.float64) for texts in (rows, columns)]
    i, j = hits.pairs.T
    same = np.array([rows[a] == columns[b] for a, b in hits.pairs.tolist()], bool)
    return np.where(
        same, 1.0, np.minimum(hits.bits / (_BITS * np.sqrt(lengths[0][i] * lengths[1][j])), 1)
    )


def all_alignments(
    rows: list[str], columns: list[str] | None = None, *, progress: bool = False
) -> Hits:
    """Search for every alignment that `relatives` counts; see there.

    Parameters
    ----------
    rows, columns : list of str
        Proteins, and those that they are searched among; by default one another, each pair once.
        Proteins that are too long for the built-in search are left out, which a warning says.
    progress : bool
    """
    places = [_short(texts) for texts in (rows, columns) if texts is not None]
    kept = [
        [texts[i] for i in short.tolist()]
        for texts, short in zip((rows, columns), places, strict=False)
        if texts is not None
    ]
    hits = homologous_pairs(*kept, identity=0, coverage=0, method="kmer", progress=progress)
    pairs = [places[0][hits.pairs[:, 0]], places[-1][hits.pairs[:, 1]]]
    return hits._replace(pairs=np.stack(pairs, axis=1))


def _searched(
    rows: list[str], columns: list[str] | None, progress: bool
) -> tuple[IntArray, npt.NDArray[np.float64]]:
    hits = all_alignments(rows, columns, progress=progress)
    weight = weights(hits, rows, rows if columns is None else columns)
    if columns is not None:
        return hits.pairs, weight
    own = np.arange(len(rows))
    both = np.concatenate([hits.pairs, hits.pairs[:, ::-1], np.stack([own, own], axis=1)])
    return both, np.concatenate([weight, weight, np.ones(len(rows))])


def _short(texts: list[str]) -> IntArray:
    """Return the places of the proteins that the search takes."""
    places = np.array([i for i, text in enumerate(texts) if len(text) <= MAX_LENGTH], np.int64)
    left = len(texts) - len(places)
    if left:
        warn_once(
            f"{left:,} of {len(texts):,} proteins have more than {MAX_LENGTH:,} residues; no "
            "relatives of theirs are searched"
        )
    return places


def _read(path: Path, shape: tuple[int, int]) -> sparse.csr_array:
    try:
        kept = load_file(path)
        return _matrix(kept["pairs"], kept["weights"], shape)
    except Exception as error:  # a damaged file raises nearly anything
        raise DataError(f"damaged ({error}); delete this cache file", path=path) from error


def _matrix(
    pairs: IntArray, weight: npt.NDArray[np.float64], shape: tuple[int, int]
) -> sparse.csr_array:
    return sparse.csr_array((weight, (pairs[:, 0], pairs[:, 1])), shape=shape)
