"""How likely each residue is at each position of a protein, given the rest of it.

Wild-type marginals read all positions from one pass over the unchanged protein.  Masked marginals
hide one position at a time, one pass for each (Meier et al. 2021, "Language models enable
zero-shot prediction of the effects of mutations on protein function").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from lcplm_graph.errors import InputError
from lcplm_graph.models.encoder import MAX_TOKENS
from lcplm_graph.models.masked_lm import MaskedLM
from lcplm_graph.numeric import Float32Array
from lcplm_graph.pairs import IntArray
from lcplm_graph.tasks.parts import Parts
from lcplm_graph.tasks.passes import COLUMNS, Stream, run_passes
from lcplm_graph.tokens.vocabulary import MASK, encode_protein

_KEPT_TOKENS = 1 << 18


def wild_type_marginals(lm: MaskedLM, sequence: str) -> Float32Array:
    """Return log-probabilities of all residues from one pass over the unchanged protein.

    Parameters
    ----------
    lm : MaskedLM
    sequence : str
        Of any length that the model takes.

    Returns
    -------
    ndarray, dtype=float32, shape=(L, 25)
        Columns in the order of `lcplm_graph.tokens.vocabulary.RESIDUES`; normalised over the
        whole vocabulary.

    Examples
    --------
    >>> from lcplm_graph.models.masked_lm import load_masked_lm
    >>> wild_type_marginals(load_masked_lm("random:1m"), "MKTAY").shape
    (5, 25)
    """
    check_length(lm, sequence)
    ids = encode_protein(sequence)
    (table,) = run_passes(lm, [Stream(ids, np.arange(1, len(ids) - 1))])
    return table


def masked_marginals(
    lm: MaskedLM,
    sequence: str,
    positions: Sequence[int] | IntArray | None = None,
    *,
    max_tokens: int = MAX_TOKENS,
    bar: tqdm | None = None,
    parts: Parts | None = None,
) -> Float32Array:
    """Return log-probabilities of residues at positions that are masked one at a time.

    Parameters
    ----------
    lm : MaskedLM
    sequence : str
    positions : sequence of int, optional
        Counted from 0; default: all.
    max_tokens : int
        Tokens per batch; does not change the result.
    bar : tqdm, optional
        Told the tokens that are done.
    parts : Parts, optional
        Where to keep what is computed, block by block.

    Returns
    -------
    ndarray, dtype=float32, shape=(positions, 25)

    Raises
    ------
    InputError
        If positions are no whole numbers, one is beyond the protein, or the protein is too long
        for the model.
    """
    check_length(lm, sequence)
    ids = encode_protein(sequence)
    wanted = np.arange(len(ids) - 2) if positions is None else _whole(positions)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(ids) - 2):
        raise InputError(
            f"positions run from 0 to {len(ids) - 3} in a protein of {len(ids) - 2} residues, "
            f"got {wanted.min()} to {wanted.max()}"
        )
    block = max(1, _KEPT_TOKENS // len(ids))
    tables = [np.empty((0, COLUMNS.stop - COLUMNS.start), np.float32)]
    for start in range(0, len(wanted), block):
        chosen = wanted[start : start + block]
        name = f"{sequence} {chosen.tolist()}"
        table = None if parts is None else parts.get(name)
        if table is None:
            streams = _masked_one_at_a_time(ids, chosen)
            rows = run_passes(lm, streams, max_tokens=max_tokens, bar=bar)
            table = np.concatenate(list(rows))
            if parts is not None:
                parts.put(name, table)
        elif bar is not None:
            bar.update(len(ids) * len(chosen))
        tables.append(table)
    return np.concatenate(tables)


def _whole(positions: Any) -> IntArray:
    """Return positions as an array; a mask or fractions would be other positions."""
    array = np.asarray(positions)
    if array.size and (array.ndim != 1 or array.dtype.kind not in "iu"):
        raise InputError(
            f"positions are whole numbers of shape (n,), not {array.dtype} of shape {array.shape}; "
            "np.flatnonzero makes them of a mask"
        )
    return array.astype(np.int64).reshape(-1)


def log_likelihood(
    lm: MaskedLM,
    sequence: str,
    *,
    masked: bool = True,
    max_tokens: int = MAX_TOKENS,
    bar: tqdm | None = None,
    parts: Parts | None = None,
) -> float:
    """Return the pseudo-log-likelihood of a protein: the sum over its own residues.

    Parameters
    ----------
    lm : MaskedLM
    sequence : str
    masked : bool
        Each residue is predicted while it is masked (Salazar et al. 2020), one pass a residue;
        else all from one pass over the protein as it is (Brandes et al. 2023).
    max_tokens, bar, parts
        As in `masked_marginals`.
    """
    if masked:
        table = masked_marginals(lm, sequence, max_tokens=max_tokens, bar=bar, parts=parts)
    else:
        table = wild_type_marginals(lm, sequence)
        if bar is not None:
            bar.update(len(table) + 2)
    return float(own(table, sequence).sum(dtype=np.float64))


def pseudo_perplexity(lm: MaskedLM, sequence: str, *, max_tokens: int = MAX_TOKENS) -> float:
    """Return ``exp(-log_likelihood / L)`` with each residue masked: 1 at best.

    Examples
    --------
    >>> from lcplm_graph.models.masked_lm import load_masked_lm
    >>> 20 < pseudo_perplexity(load_masked_lm("random:1m"), "MKTAY") < 500
    True
    """
    total = log_likelihood(lm, sequence, max_tokens=max_tokens)
    return float(np.exp(-total / (len(encode_protein(sequence)) - 2)))


def own(table: Float32Array, sequence: str) -> Float32Array:
    """Return the column of each position's own residue, shape (L,)."""
    letters = encode_protein(sequence)[1:-1] - COLUMNS.start
    if letters.min() < 0 or letters.max() >= table.shape[1]:
        at = int(np.argmax((letters < 0) | (letters >= table.shape[1])))
        raise InputError(
            f"position {at + 1} of the sequence is a gap or a special token, which has no "
            "likelihood; remove it"
        )
    return np.take_along_axis(table, letters[:, None], axis=1)[:, 0]


def check_length(lm: MaskedLM, *sequences: str) -> None:
    """Raise `InputError` if a protein is not a string, or longer than the model takes."""
    for sequence in sequences:
        if not isinstance(sequence, str):
            kind = type(sequence).__name__
            raise InputError(f"expected one sequence as a string, got {kind} {sequence!r:.60}")
        if lm.max_length is not None and len(sequence) > lm.max_length:
            raise InputError(
                f"{lm.name} takes at most {lm.max_length:,} residues, and the protein has "
                f"{len(sequence):,}; use an encoder without a limit, such as lcplm-2m"
            )


def _masked_one_at_a_time(ids: IntArray, positions: IntArray) -> Iterator[Stream]:
    for position in positions.tolist():
        masked = ids.copy()
        masked[position + 1] = MASK
        yield Stream(masked, np.array([position + 1]))
