"""Hashes of sequences: what says that two proteins are the same, whatever their ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from lcplm_graph.tokens.vocabulary import normal_form


def sequence_digests(sequences: Iterable[str]) -> np.ndarray:
    """Return the first 8 bytes (little-endian) of the blake2b hash of each normal form.

    Records of training runs hold them, so they never change.

    Parameters
    ----------
    sequences : iterable of str

    Returns
    -------
    ndarray, dtype=uint64, shape=(n,)

    Examples
    --------
    >>> one, same, other = sequence_digests(["MKT", "mkt*", "MV"])
    >>> bool(one == same), bool(one == other)
    (True, False)
    """
    hashes = (hashlib.blake2b(normal_form(s).encode()).digest()[:8] for s in sequences)
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


def wide_digests(sequences: Iterable[str]) -> np.ndarray:
    """Return blake2b hashes of 128 bits of the normal forms, for stores with no other check.

    Parameters
    ----------
    sequences : iterable of str

    Returns
    -------
    ndarray, dtype=uint64, shape=(n, 2)

    Examples
    --------
    >>> wide_digests(["MKT", "mkt*", "MV"]).shape
    (3, 2)
    """
    hashes = (hashlib.blake2b(normal_form(s).encode(), digest_size=16).digest() for s in sequences)
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64).reshape(-1, 2)
