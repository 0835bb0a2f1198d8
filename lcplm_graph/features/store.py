"""Protein features on disk, found by encoder, pooling and sequence.

One folder holds the features of one encoder and pooling (and, for features made in a context,
of that context).  Its shards are never changed, only added, so any number of processes may
read and write at the same time, also on network file systems; doubles do no harm.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor
from tqdm import tqdm

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.files.download import cache_root
from lcplm_graph.io import atomic_path
from lcplm_graph.models.encoders import MAX_TOKENS, Encoder, as_encoder, length_sorted_batches
from lcplm_graph.models.pooling import pooled_dim
from lcplm_graph.numeric import whole_number
from lcplm_graph.process import reused_memory
from lcplm_graph.proteins.digests import wide_digests
from lcplm_graph.proteins.store import SequenceStore
from lcplm_graph.strings import string_list
from lcplm_graph.tokens.vocabulary import check_proteins

_RESIDUES_PER_SHARD = 1 << 17
# Part of every folder's name. 2: earlier ones may hold rows under the digest of another sequence
# (from sequences that were not in a list).
_FORMAT = 2
_MANY_SHARDS = 8


class FeatureStore:
    """Features of one kind, by sequence.

    Parameters
    ----------
    key : str
        Names the kind: encoder fingerprint, pooling, context.
    width : int
        Numbers per protein.
    root : path-like, optional
        Default ``features`` under the data root (``LCPLM_DATA``).

    Examples
    --------
    >>> import tempfile
    >>> store = FeatureStore("some encoder, mean", 2, root=tempfile.mkdtemp())
    >>> digests = wide_digests(["MKT", "MV"])
    >>> store.add(digests[:1], np.array([[1.0, 2.0]], np.float32))
    >>> found, values = store.get(digests)
    >>> found.tolist(), values[0].tolist()
    ([True, False], [1.0, 2.0])
    """

    def __init__(self, key: str, width: int, root: str | os.PathLike[str] | None = None) -> None:
        self.key, self.width = key, width
        base = Path(root) if root is not None else cache_root() / "features"
        self.folder = base / hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()[:32]

    def get(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look sequences up.

        Returns
        -------
        found : ndarray, dtype=bool, shape=(n,)
        values : ndarray, dtype=float32, shape=(n, width)
            Zeros where nothing was found.

        Raises
        ------
        DataError
            If a shard is damaged or has another width.
        """
        found = np.zeros(len(digests), bool)
        values = np.zeros((len(digests), self.width), np.float32)
        wanted = _as_keys(digests)
        for path in self._shards():
            shard = self._read(path)
            if shard is None:
                return self.get(digests)
            keys, rows = shard
            order = np.argsort(keys)
            at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
            hit = keys[order[at]] == wanted
            values[hit] = rows[order[at[hit]]]
            found |= hit
        return found, values

    def add(
        self,
        digests: np.ndarray,
        values: np.ndarray | Tensor,
        names: Sequence[str | int] | None = None,
    ) -> None:
        """Add features; a new shard, written whole.

        Parameters
        ----------
        digests : ndarray, dtype=uint64, shape=(n, 2)
        values : array-like, shape=(n, width)
        names : sequence of str or int, optional
            Of the proteins, for messages; by default their rows.

        Raises
        ------
        InputError
            If the width is wrong, or a value is NaN or infinite, or a protein's are all zero.
        """
        values = np.asarray(values)
        if values.shape != (len(digests), self.width):
            raise InputError(
                f"features of shape {values.shape} do not fit a cache of {len(digests)} proteins "
                f"x {self.width}"
            )
        if len(digests):
            check_features(values, names)
            self._write(digests, values)
            self._merge()

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("shard-*.safetensors")) if self.folder.is_dir() else []

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray] | None:
        """Keys and rows of a shard; None if another process has merged it away."""
        try:
            with safe_open(path, framework="numpy") as file:
                digests, rows = file.get_tensor("digests"), file.get_tensor("values")
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged header raises nearly anything
            raise DataError(f"damaged ({error}); delete this cache file", path=path) from error
        if digests.dtype != np.int64 or digests.shape[1:] != (2,) or rows.dtype != np.float32:
            message = f"holds {digests.dtype} and {rows.dtype}; delete this cache file"
            raise DataError(message, path=path)
        if rows.ndim != 2 or rows.shape[1] != self.width or not 0 < len(digests) == len(rows):
            raise DataError(
                f"cached features of shape {rows.shape} do not fit the encoder's width "
                f"{self.width}; delete this folder",
                path=path.parent,
            )
        return _as_keys(digests.view(np.uint64)), rows

    def _write(self, digests: np.ndarray, values: np.ndarray) -> Path:
        tensors: dict[str, np.ndarray] = {
            "digests": np.ascontiguousarray(digests).view(np.int64),
            "values": np.ascontiguousarray(values, dtype=np.float32),
        }
        # Named by its proteins, so that what a kill left half is the same file when run again.
        name = hashlib.sha256(tensors["digests"].tobytes()).hexdigest()[:32]
        path = self.folder / f"shard-{name}.safetensors"
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"key": self.key})
        return path

    def _merge(self) -> None:
        """Join many shards; the old ones go only after the joined one is there."""
        old = self._shards()
        if len(old) < _MANY_SHARDS:
            return
        parts = [shard for path in old if (shard := self._read(path)) is not None]
        keys = np.concatenate([part[0] for part in parts])
        _, first = np.unique(keys, return_index=True)
        rows = np.concatenate([part[1] for part in parts])[first]
        joined = self._write(keys[first].view("<u8").reshape(-1, 2), rows)
        for path in old:
            if path != joined:
                path.unlink(missing_ok=True)


def check_features(values: np.ndarray | Tensor, names: Sequence[str | int] | None = None) -> None:
    """Refuse features that carry nothing: NaN, infinite, or all zero for a protein.

    Parameters
    ----------
    values : array-like, shape=(n, width)
    names : sequence of str or int, optional
        Of the proteins, for the message; by default their rows.

    Raises
    ------
    InputError
    """
    array = np.asarray(values)
    for bad, what in (
        (~np.isfinite(array).all(axis=1), "NaN or infinite values"),
        (~array.any(axis=1), "nothing but zeros"),
    ):
        if bad.any():
            rows = np.flatnonzero(bad)[:3].tolist()
            shown = ", ".join(repr(r if names is None else names[r]) for r in rows)
            raise InputError(
                f"the features of {int(bad.sum())} of {len(array)} proteins hold {what} "
                f"(for example of {shown}); a model would learn nothing from them"
            )


def cached_embeddings(
    encoder: Encoder | str | Path,
    sequences: Iterable[str],
    pool: str | None = None,
    *,
    max_tokens: int = MAX_TOKENS,
    progress: bool = False,
    root: str | os.PathLike[str] | None = None,
) -> Tensor:
    """Embed proteins, computing only what is not in the cache, and each sequence once.

    What is computed is stored piece by piece, so that a kill loses little.

    Parameters
    ----------
    encoder : Encoder or str
        An encoder or the name of one.
    sequences : iterable of str
        A `SequenceStore` of any size is not read as a whole.
    pool, max_tokens, progress
        As in `Encoder.embed`.  What was embedded one by one (`max_tokens` of 1) is kept apart, as
        others in its batch change a protein's last bits.
    root : path-like, optional
        See `FeatureStore`.

    Returns
    -------
    Tensor, dtype=float32, shape=(n, width)

    Raises
    ------
    InputError
        If `sequences` hold something else than strings, or features are NaN, infinite or all zero.
    SequenceError
        If a sequence is empty or holds a character that is not a letter.
    DataError
        If the cache is damaged, has another width, or is removed meanwhile.
    """
    encoder = as_encoder(encoder)
    pool, max_tokens = encoder.chosen_pool(pool), whole_number(max_tokens, "max_tokens")
    width = pooled_dim(encoder.dim, pool)
    texts = sequences if isinstance(sequences, SequenceStore) else string_list(sequences)
    names = texts.ids if isinstance(texts, SequenceStore) else range(len(texts))
    how = " alone" if max_tokens == 1 else ""
    store = FeatureStore(f"{encoder.fingerprint()} {pool}{how}", width, root)
    digests = wide_digests(texts)
    found, values = store.get(digests)
    missing = np.flatnonzero(~found)
    if len(missing):
        _, first = np.unique(_as_keys(digests[missing]), return_index=True)
        rows = missing[np.sort(first)]
        check_proteins((texts[int(i)] for i in rows), (names[int(i)] for i in rows))
        lengths = np.array([len(texts[int(i)]) for i in rows], dtype=np.int64)
        bar = tqdm(
            total=int(lengths.sum()),
            unit="res",
            unit_scale=True,
            disable=not progress,
            desc=f"embedding with {encoder.name}",
        )
        with reused_memory(), bar:
            for group in length_sorted_batches(lengths, max(_RESIDUES_PER_SHARD, max_tokens)):
                chosen = [texts[int(i)] for i in rows[group]]
                made = encoder.embed(chosen, pool, max_tokens=max_tokens)
                store.add(digests[rows[group]], made, [names[int(i)] for i in rows[group]])
                bar.update(int(lengths[group].sum()))
        found, values = store.get(digests)
        if not found.all():
            raise DataError(
                f"features of {int((~found).sum())} proteins were removed while others were made; "
                "run the same again",
                path=store.folder,
            )
    return torch.from_numpy(values)


def _as_keys(digests: np.ndarray) -> np.ndarray:
    """One sortable value per digest: its 16 bytes."""
    return np.ascontiguousarray(digests, dtype="<u8").view("S16").reshape(-1)
