"""Nearest neighbours of proteins among embeddings, by cosine of standardised features."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.numeric import Float32Array, whole_number
from lcplm_graph.strings import one_of

Engine = Literal["exact", "faiss", "usearch"]
# So many queries at a time, and no more cosines than fit into 256 MB.
_BLOCK, _CELLS = 1024, 1 << 26


class EmbeddingIndex:
    """Embeddings to be searched; each feature is standardised over them first.

    Parameters
    ----------
    values : ndarray, shape=(n, width)
    engine : {"exact", "faiss", "usearch"}
        ``exact`` and ``faiss`` compare with all; ``usearch`` (HNSW) is faster and may miss some.

    Raises
    ------
    ConfigError
        If there is no such engine, or it is not installed.
    InputError
        If there are no embeddings, or all are equal, so that no feature tells them apart.

    Examples
    --------
    >>> index = EmbeddingIndex(np.array([[1, 0], [0, 1], [-1, 0.5]], np.float32))
    >>> neighbours, cosine = index.search(np.array([[0.9, 0.1]], np.float32), 1)
    >>> neighbours.tolist()
    [[0]]
    """

    def __init__(self, values: Float32Array, engine: Engine = "exact") -> None:
        values = _embeddings(values)
        if not len(values):
            raise InputError("there is no embedding to search in")
        if (values == values[0]).all():
            raise InputError(
                f"all {len(values):,} embedding(s) to search in are equal, so no feature tells "
                "them apart; give two proteins or more that differ"
            )
        self.mean = values.mean(0, dtype=np.float64).astype(np.float32)
        spread = values.std(0, dtype=np.float64).astype(np.float32)
        # A feature that never changes tells nothing.
        self.scale = np.where(spread > 1e-12, 1 / np.maximum(spread, 1e-12), 0).astype(np.float32)
        self.units = self._directions(values)
        self._index = _make_index(self.units, engine)

    def __len__(self) -> int:
        return len(self.units)

    def search(
        self, queries: Float32Array, top: int = 10
    ) -> tuple[npt.NDArray[np.int64], Float32Array]:
        """Return the nearest of each query and their cosines, best first.

        Parameters
        ----------
        queries : ndarray, shape=(q, width)
            As they were embedded, not standardised.
        top : int

        Returns
        -------
        neighbours : ndarray, dtype=int64, shape=(q, min(top, n))
        cosine : ndarray, dtype=float32, of the same shape
        """
        top = whole_number(top, "top")
        queries = _embeddings(queries)
        if queries.shape[1] != self.units.shape[1]:
            raise InputError(
                f"queries of shape {queries.shape} do not fit embeddings of width "
                f"{self.units.shape[1]}; embed both with the same encoder and pooling"
            )
        units, top = self._directions(queries), min(top, len(self))
        if self._index is not None:
            return self._index(units, top)
        found = list(self._exact(units, top))
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])

    def _exact(
        self, units: Float32Array, top: int
    ) -> Iterator[tuple[npt.NDArray[np.int64], Float32Array]]:
        block = max(1, min(_BLOCK, _CELLS // len(self)))
        for start in range(0, len(units), block):
            cosine = units[start : start + block] @ self.units.T
            order = np.stack([_highest(row, top) for row in cosine])
            yield order, np.take_along_axis(cosine, order, axis=1)

    def _directions(self, values: Float32Array) -> Float32Array:
        standard = (values.astype(np.float32) - self.mean) * self.scale
        length = np.linalg.norm(standard, axis=1, keepdims=True)
        return standard / np.maximum(length, 1e-12)


def _highest(values: Float32Array, top: int) -> npt.NDArray[np.int64]:
    """Return the places of the highest values, best first, and of equal ones the first first."""
    # Sorting all of them would take ten times as long.
    near = np.flatnonzero(values >= np.partition(values, -top)[-top])
    return near[np.argsort(-values[near], kind="stable")[:top]]


def _embeddings(values: Any) -> Float32Array:
    """Take an array or tensor of one embedding a row, all numbers finite."""
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(
            f"embeddings are numbers of shape (n, width), not {array.dtype} of {array.shape}"
        )
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise InputError(f"embedding {row} (from 0) holds NaN or infinite values")
    return array


def _make_index(units: Float32Array, engine: Engine) -> Any:
    one_of(engine, "engine", get_args(Engine))
    if engine == "exact":
        return None
    try:
        module: Any = importlib.import_module("usearch.index" if engine == "usearch" else engine)
    except ImportError:
        raise ConfigError(f"{engine} is not installed; use the exact search") from None
    if engine == "faiss":
        flat = module.IndexFlatIP(units.shape[1])
        flat.add(units)

        def by_faiss(queries: Float32Array, top: int) -> Any:
            cosine, neighbours = flat.search(queries, top)
            return neighbours.astype(np.int64), cosine

        return by_faiss
    graph = module.Index(ndim=units.shape[1], metric="ip", dtype="f32")
    graph.add(np.arange(len(units)), units)

    def by_usearch(queries: Float32Array, top: int) -> Any:
        found = [graph.search(query, top) for query in queries]
        neighbours = np.stack([np.asarray(f.keys).astype(np.int64) for f in found])
        return neighbours, np.stack([1 - np.asarray(f.distances, np.float32) for f in found])

    return by_usearch
