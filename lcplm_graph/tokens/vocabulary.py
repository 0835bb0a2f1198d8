"""The token alphabet: ESM-2's 33 tokens in ESM-2's order, then four graph markers.

The order of the first 33 ids is that of the published ESM-2 and LC-PLM checkpoints, so the
weights of both families load.  Published embedding tables are padded to 128 rows; the graph
markers take four of the rows that exist there unused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from lcplm_graph.errors import InputError, SequenceError
from lcplm_graph.io import warn_once

TOKENS: tuple[str, ...] = (
    "<cls>", "<pad>", "<eos>", "<unk>",
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    "<null_1>", "<mask>",
    "[BON]", "[EON]", "[EDGE]", "[NO_EDGE]",
)  # fmt: skip
TOKEN_TO_ID: dict[str, int] = {token: i for i, token in enumerate(TOKENS)}

CLS, PAD, EOS, UNK = (TOKEN_TO_ID[t] for t in ("<cls>", "<pad>", "<eos>", "<unk>"))
MASK = TOKEN_TO_ID["<mask>"]
BON, EON = TOKEN_TO_ID["[BON]"], TOKEN_TO_ID["[EON]"]
EDGE, NO_EDGE = TOKEN_TO_ID["[EDGE]"], TOKEN_TO_ID["[NO_EDGE]"]

RESIDUES = "LAGVSERTIDPKQNFYMHWCXBUZO"
STANDARD_RESIDUES = RESIDUES[:20]
FIRST_RESIDUE, LAST_RESIDUE = TOKEN_TO_ID["L"], TOKEN_TO_ID["O"]

_X = TOKEN_TO_ID["X"]
_INVALID = 255


def _byte_table() -> np.ndarray:
    table = np.full(256, _INVALID, dtype=np.uint8)
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        table[ord(letter)] = table[ord(letter.lower())] = TOKEN_TO_ID.get(letter, _X)
    # Gap characters of aligned FASTA are tokens of the alphabet.
    table[ord(".")], table[ord("-")] = TOKEN_TO_ID["."], TOKEN_TO_ID["-"]
    return table


_BYTE_TO_ID = _byte_table()
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_READ_AS = "".join(letter if letter in RESIDUES else "X" for letter in _LETTERS)
_NORMAL = str.maketrans(_LETTERS + _LETTERS.lower(), 2 * _READ_AS)
_OUTSIDE = re.compile(r"[^A-Za-z.\-]")
_PLAIN = re.compile(r"[.\-]*[A-Za-z][A-Za-z.\-]*\*?")
_SPECIAL = re.compile(
    r"(<cls>|<pad>|<eos>|<unk>|<null_1>|<mask>|\[BON\]|\[EON\]|\[EDGE\]|\[NO_EDGE\])"
)


def normal_form(sequence: str) -> str:
    """Spell a sequence in the one way in which it is stored, compared and hashed.

    Capitals, without a final ``*``, letters outside the alphabet as ``X``: two spellings of one
    normal form are the same tokens.

    Examples
    --------
    >>> normal_form("mktJ*")
    'MKTX'
    """
    return sequence.removesuffix("*").translate(_NORMAL)


def encode_residues(sequence: str | bytes, *, record: str | int | None = None) -> np.ndarray:
    """Map residues to token ids, without `<cls>` and `<eos>`.

    Lower case is folded, a final ``*`` (translated stop) is dropped, and letters outside the
    alphabet (``J``) become ``X`` with one warning.

    Parameters
    ----------
    sequence : str or bytes
        One-letter amino-acid codes.
    record : str or int, optional
        Identifier of the protein, or its number counted from 0, for messages.

    Returns
    -------
    ndarray, dtype=uint8, shape=(n_residues,)

    Raises
    ------
    SequenceError
        If the sequence is empty, has gaps only, or holds a character that is not a letter.

    Examples
    --------
    >>> encode_residues("MKTx").tolist()
    [20, 15, 11, 24]
    """
    ids = encode_piece(sequence, record=record)
    if not (sequence.strip(".-*") if isinstance(sequence, str) else sequence.strip(b".-*")):
        raise SequenceError(f"{_named(record)} has gaps only; a protein needs at least one residue")
    return ids


def encode_piece(sequence: str | bytes, *, record: str | int | None = None) -> np.ndarray:
    """Map a piece of a protein, which may be of gaps only; else as `encode_residues`."""
    if not isinstance(sequence, str | bytes | bytearray | memoryview):
        kind = type(sequence).__name__
        raise InputError(f"{_named(record)} is a text, not {kind} {sequence!r:.60}")
    raw = sequence.encode("utf-8") if isinstance(sequence, str) else bytes(sequence)
    if raw.endswith(b"*"):
        raw = raw[:-1]
    named = _named(record)
    if not raw:
        raise SequenceError(f"{named} is empty; a protein needs at least one residue")
    codes = np.frombuffer(raw, dtype=np.uint8)
    ids = _BYTE_TO_ID[codes]
    if (ids == _INVALID).any():
        text = raw.decode("utf-8", errors="replace")
        found = _OUTSIDE.search(text)
        position, character = (found.start() + 1, found.group()) if found else (1, "?")
        raise SequenceError(
            f"{named} has {character!r} at position {position}, which is not an amino-acid letter; "
            "remove it or replace it by X"
        )
    replaced = int(((codes | 0x20) == ord("j")).sum())
    if replaced:
        warn_once(
            f"{named} holds {replaced} residue(s) J outside the alphabet, read as X; "
            "further ones are not reported",
            key="tokens.J",
        )
    return ids


def pair_walk(left: np.ndarray, right: np.ndarray, marker: int) -> np.ndarray:
    """Lay two proteins out as a walk: ``<cls> [BON] left [EON] marker [BON] right [EON] <eos>``.

    Parameters
    ----------
    left, right : ndarray of int
        Residue tokens, from `encode_residues`.
    marker : int
        `EDGE`, `NO_EDGE` or `MASK`; its position is ``len(left) + 3``.

    Returns
    -------
    ndarray, dtype=int64, shape=(len(left) + len(right) + 7,)

    Examples
    --------
    >>> ids = pair_walk(encode_residues("MK"), encode_residues("G"), EDGE)
    >>> "".join(TOKENS[i] for i in ids)
    '<cls>[BON]MK[EON][EDGE][BON]G[EON]<eos>'
    """
    parts = ([CLS, BON], left, [EON, marker, BON], right, [EON, EOS])
    return np.concatenate(parts).astype(np.int64)


def encode_protein(sequence: str, *, record: str | int | None = None) -> np.ndarray:
    """Map a protein to ``<cls> residues <eos>``; ``<mask>`` and other tokens may be spelled out.

    Parameters
    ----------
    sequence : str
        Residues, optionally with special tokens written as in `TOKENS`.
    record : str or int, optional
        Identifier of the protein, or its number counted from 0, for messages.

    Returns
    -------
    ndarray, dtype=int64, shape=(n_tokens + 2,)

    Examples
    --------
    >>> encode_protein("MK<mask>T").tolist()
    [0, 20, 15, 32, 11, 2]
    """
    if "<" in sequence or "[" in sequence:
        parts = [
            np.array([TOKEN_TO_ID[part]])
            if part in TOKEN_TO_ID
            else encode_piece(part, record=record)
            for part in _SPECIAL.split(sequence)
            if part
        ]
        body = np.concatenate(parts)
    else:
        body = encode_residues(sequence, record=record)
    out = np.empty(len(body) + 2, dtype=np.int64)
    out[0], out[1:-1], out[-1] = CLS, body, EOS
    return out


def check_proteins(sequences: Iterable[str], records: Iterable[str | int]) -> None:
    """Raise `SequenceError` for the first protein that `encode_protein` would not take.

    Examples
    --------
    >>> check_proteins(["MKT", "GA"], records=["a", "b"])
    """
    for sequence, record in zip(sequences, records, strict=True):
        if not _PLAIN.fullmatch(sequence):
            encode_protein(sequence, record=record)


def decode(ids: Sequence[int] | np.ndarray) -> str:
    """Spell token ids out; ids past the last token are written ``<unk>``.

    Examples
    --------
    >>> decode([0, 20, 15, 35, 2])
    '<cls>MK[EDGE]<eos>'
    """
    return "".join(TOKENS[int(i)] if 0 <= int(i) < len(TOKENS) else "<unk>" for i in ids)


def _named(record: str | int | None) -> str:
    if record is None:
        return "the sequence"
    if isinstance(record, int):
        return f"sequence number {record} (counted from 0)"
    return f"protein {record!r}"
