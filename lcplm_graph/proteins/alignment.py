"""Find and align similar proteins: a k-mer index, an ungapped filter, a banded alignment.

Local alignment with affine gaps is that of Smith & Waterman (1981) and Gotoh (1982), the matrix
BLOSUM62 (Henikoff & Henikoff 1992), the statistics those of Karlin & Altschul (1990).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from lcplm_graph.pairs import IntArray

LETTERS = "ARNDCQEGHILKMFPSTWYV"
UNKNOWN = len(LETTERS)
_BLOSUM62 = """
 4 -1 -2 -2  0 -1 -1  0 -2 -1 -1 -1 -1 -2 -1  1  0 -3 -2  0
-1  5  0 -2 -3  1  0 -2  0 -3 -2  2 -1 -3 -2 -1 -1 -3 -2 -3
-2  0  6  1 -3  0  0  0  1 -3 -3  0 -2 -3 -2  1  0 -4 -2 -3
-2 -2  1  6 -3  0  2 -1 -1 -3 -4 -1 -3 -3 -1  0 -1 -4 -3 -3
 0 -3 -3 -3  9 -3 -4 -3 -3 -1 -1 -3 -1 -2 -3 -1 -1 -2 -2 -1
-1  1  0  0 -3  5  2 -2  0 -3 -2  1  0 -3 -1  0 -1 -2 -1 -2
-1  0  0  2 -4  2  5 -2  0 -3 -3  1 -2 -3 -1  0 -1 -3 -2 -2
 0 -2  0 -1 -3 -2 -2  6 -2 -4 -4 -2 -3 -3 -2  0 -2 -2 -3 -3
-2  0  1 -1 -3  0  0 -2  8 -3 -3 -1 -2 -1 -2 -1 -2 -2  2 -3
-1 -3 -3 -3 -1 -3 -3 -4 -3  4  2 -3  1  0 -3 -2 -1 -3 -1  3
-1 -2 -3 -4 -1 -2 -3 -4 -3  2  4 -2  2  0 -3 -2 -1 -2 -1  1
-1  2  0 -1 -3  1  1 -2 -1 -3 -2  5 -1 -3 -1  0 -1 -3 -2 -2
-1 -1 -2 -3 -1  0 -2 -3 -2  1  2 -1  5  0 -2 -1 -1 -1 -1  1
-2 -3 -3 -3 -2 -3 -3 -3 -1  0  0 -3  0  6 -4 -2 -2  1  3 -1
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4  7 -1 -1 -4 -3 -2
 1 -1  1  0 -1  0  0  0 -1 -2 -2  0 -1 -2 -1  4  1 -3 -2 -2
 0 -1  0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1  1  5 -2 -2  0
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1  1 -4 -3 -2 11  2 -3
-2 -2 -2 -3 -2 -1 -2 -3  2 -1 -1 -2 -1  3 -3 -2 -2  2  7 -1
 0 -3 -3 -3 -1 -2 -2 -3 -3  3  1 -2  1 -1 -2 -2  0 -3 -1  4
"""
#: Substitution scores; an unknown letter costs 1 against every letter.
SCORES = np.full((UNKNOWN + 1, UNKNOWN + 1), -1, np.int32)
SCORES[:UNKNOWN, :UNKNOWN] = np.fromstring(_BLOSUM62, np.int32, sep=" ").reshape(20, 20)
GAP_OPEN, GAP_EXTEND = 11, 1
#: Karlin-Altschul parameters of BLOSUM62 with these gap costs.
LAMBDA, K = 0.267, 0.041
MAX_LENGTH = 65_535

# Seeds are spaced words over groups of letters that replace each other often.
_GROUPS = ("LVIM", "C", "A", "G", "ST", "P", "FYW", "EDNQ", "KR", "H")
_SEED = "1110111"
BAND = 64


Codes = npt.NDArray[np.uint8]


class Encoded(NamedTuple):
    """Sequences as one array of letter codes; sequence i is codes[starts[i]:starts[i + 1]]."""

    codes: Codes
    starts: IntArray


class SeedIndex(NamedTuple):
    """Where each seed word occurs: positions[pointers[w]:pointers[w + 1]], ascending."""

    words: npt.NDArray[np.int32]
    pointers: IntArray
    positions: npt.NDArray[np.int32]
    owner: npt.NDArray[np.int32]


def encode(sequences: list[str]) -> Encoded:
    """Turn sequences into letter codes; letters other than the 20 become unknown."""
    table = np.full(256, UNKNOWN, np.uint8)
    for code, letter in enumerate(LETTERS):
        table[[ord(letter), ord(letter.lower())]] = code
    starts = np.zeros(len(sequences) + 1, np.int64)
    np.cumsum([len(s) for s in sequences], out=starts[1:])
    return Encoded(table[np.frombuffer("".join(sequences).encode(), np.uint8)], starts)


def index_seeds(encoded: Encoded) -> SeedIndex:
    """Index every seed word that lies inside one sequence and says something.

    Words with an unknown letter, or with fewer than three groups of letters, as in stretches of
    one or two residues, are left out.
    """
    codes, starts = encoded
    group = np.full(UNKNOWN + 1, -1, np.int32)
    for number, letters in enumerate(_GROUPS):
        group[[LETTERS.index(letter) for letter in letters]] = number
    owner = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
    offsets = np.flatnonzero(np.frombuffer(_SEED.encode(), np.uint8) == ord("1"))
    words = _seed_words(codes, starts, group, offsets)
    return SeedIndex(words, *_by_word(words, len(_GROUPS) ** len(offsets)), owner)


@njit(cache=True, nogil=True)
def _seed_words(
    codes: Codes, starts: IntArray, group: npt.NDArray[np.int32], offsets: IntArray
) -> npt.NDArray[np.int32]:
    """Return the word at each position, -1 where none is."""
    words = np.full(len(codes), -1, np.int32)
    base, last = group.max() + 1, offsets[-1]
    for sequence in range(len(starts) - 1):
        for i in range(starts[sequence], starts[sequence + 1] - last):
            word, present = 0, 0
            for offset in offsets:
                letter = group[codes[i + offset]]
                if letter < 0:
                    present = 0
                    break
                word = word * base + letter
                present |= 1 << letter
            # Without its two lowest bits something is left: three groups or more.
            present &= present - 1
            if present & (present - 1):
                words[i] = word
    return words


@njit(cache=True, nogil=True)
def _by_word(words: npt.NDArray[np.int32], count: int) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """Sort positions by their word, by counting; those without one are left out."""
    pointers = np.zeros(count + 1, np.int64)
    for word in words:
        if word >= 0:
            pointers[word + 1] += 1
    pointers = np.cumsum(pointers)
    positions = np.empty(pointers[-1], np.int32)
    free = pointers.copy()
    for i in range(len(words)):
        if words[i] >= 0:
            positions[free[words[i]]] = i
            free[words[i]] += 1
    return pointers, positions


@njit(cache=True, nogil=True)
def find_candidates(
    query: npt.NDArray[np.int32],
    index: SeedIndex,
    starts: IntArray,
    after: int,
    tables: tuple[IntArray, npt.NDArray[np.int32], IntArray],
) -> tuple[npt.NDArray[np.int32], IntArray]:
    """Return targets with two seed hits in a row on one diagonal, and that diagonal.

    `query` holds the query's seed words; `after` leaves out targets up to that number. `tables`
    is scratch, zero on return.
    """
    last, count, best = tables
    touched = [np.int32(0) for _ in range(0)]
    for i in range(len(query)):
        word = query[i]
        if word < 0:
            continue
        for at in range(index.pointers[word], index.pointers[word + 1]):
            position = index.positions[at]
            target = index.owner[position]
            if target <= after:
                continue
            # Offset by one, so that 0 means that no hit was seen.
            diagonal = i - (position - starts[target]) + np.int64(1 << 20)
            if last[target] == diagonal:
                if count[target] == 0:
                    best[target] = diagonal
                count[target] += 1
            elif last[target] == 0:
                touched.append(target)
            last[target] = diagonal
    targets = np.empty(len(touched), np.int32)
    diagonals = np.empty(len(touched), np.int64)
    n = 0
    for target in touched:
        if count[target] > 0:
            targets[n] = target
            diagonals[n] = best[target] - (1 << 20)
            n += 1
        last[target] = 0
        count[target] = 0
    return targets[:n], diagonals[:n]


@njit(cache=True, nogil=True)
def ungapped_score(a: Codes, b: Codes, diagonal: int, scores: npt.NDArray[np.int32]) -> int:
    """Return the best score of a run without gaps on one diagonal (i - j)."""
    best = running = 0
    for i in range(max(0, diagonal), min(len(a), len(b) + diagonal)):
        running = max(0, running + scores[a[i], b[i - diagonal]])
        best = max(best, running)
    return best


@njit(cache=True, nogil=True)
def align_banded(
    a: Codes,
    b: Codes,
    diagonal: int,
    band: int,
    scores: npt.NDArray[np.int32],
    gap_open: int,
    gap_extend: int,
) -> tuple[int | np.int64, ...]:
    """Align locally within `band` of a diagonal.

    Returns
    -------
    tuple of int
        Score, identical columns, aligned columns without gaps, first and last position in `a`,
        first and last position in `b`.
    """
    width = 2 * band + 1
    none = -(1 << 28)
    # Per cell of the last row: score, and four 16-bit numbers: identities, pairs, both starts.
    match = np.full(width + 1, 0, np.int32)
    match_of = np.zeros(width + 1, np.uint64)
    up = np.full(width + 1, none, np.int32)
    up_of = np.zeros(width + 1, np.uint64)
    best, best_of, end_a, end_b = 0, np.uint64(0), 0, 0
    for i in range(max(0, diagonal - band), min(len(a), len(b) + diagonal + band)):
        left, left_of = none, np.uint64(0)
        row = scores[a[i]]
        first = i - diagonal - band
        for w in range(max(0, -first), min(width, len(b) - first)):
            j = first + w
            # One row up is one cell to the right, because the band moves with the row.
            opened, extended = match[w + 1] - gap_open, up[w + 1] - gap_extend
            if extended > opened:
                above, above_of = extended, up_of[w + 1]
            else:
                above, above_of = opened, match_of[w + 1]
            score, of = match[w], match_of[w]
            if score <= 0 or i == 0 or j == 0:
                score, of = 0, (np.uint64(i) << np.uint64(16)) | np.uint64(j)
            score += row[b[j]]
            of += np.uint64(1) << np.uint64(32)
            if a[i] == b[j]:
                of += np.uint64(1) << np.uint64(48)
            if above > score:
                score, of = above, above_of
            if left > score:
                score, of = left, left_of
            if score < 0:
                score = 0
            up[w], up_of[w] = above, above_of
            match[w], match_of[w] = score, of
            if score - gap_open > left - gap_extend:
                left, left_of = score - gap_open, of
            else:
                left -= gap_extend
            if score > best:
                best, best_of, end_a, end_b = score, of, i, j
    low = np.uint64(0xFFFF)
    return (
        best,
        np.int64(best_of >> np.uint64(48)),
        np.int64((best_of >> np.uint64(32)) & low),
        np.int64((best_of >> np.uint64(16)) & low),
        end_a,
        np.int64(best_of & low),
        end_b,
    )
