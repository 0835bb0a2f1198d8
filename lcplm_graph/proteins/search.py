"""All-against-all search for similar proteins, built in or by MMseqs2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from tqdm import tqdm

from lcplm_graph.errors import BackendError, ConfigError, InputError
from lcplm_graph.io import warn_once
from lcplm_graph.pairs import IntArray, distinct_pairs
from lcplm_graph.proteins.alignment import (
    BAND,
    GAP_EXTEND,
    GAP_OPEN,
    LAMBDA,
    MAX_LENGTH,
    SCORES,
    Encoded,
    K,
    SeedIndex,
    align_banded,
    encode,
    find_candidates,
    index_seeds,
    ungapped_score,
)
from lcplm_graph.strings import string_list

SEARCH_METHODS = ("auto", "mmseqs", "kmer")
# Every rule of the built-in search looks at the two proteins alone: what it finds between two does
# not depend on what else is searched, so that a second search cannot find more than the first; but
# it has a direction, see `pairs_across`.
_MIN_UNGAPPED = 38
_DATABASE = 10_000
# Of so many pairs of proteins or more, which take MMseqs2 longer than one likes to wait unwarned.
_LONG_SEARCH = 1_000_000
# What MMseqs2 ends with where no protein is long enough for its seeds; elsewhere one that is too
# short is simply not found.
_NO_SEEDS = "No k-mer could be extracted"
# A watcher waits for the end of a pipe whose other end is ours alone: the system closes it however
# we end.  MMseqs2 starts programs of its own, so that the whole group is ended.
_ENDS_WITH_US = """
folder=$1; shift; exec 3<&0
(trap "" TERM; read -r _ <&3; kill -TERM 0; sleep 1; rm -rf -- "$folder"; kill -KILL 0) \\
    >/dev/null 2>&1 &
watcher=$!
"$@" </dev/null 3<&-
code=$?; kill -KILL $watcher; exit $code
"""


class Hits(NamedTuple):
    """Similar proteins found by a search.

    Attributes
    ----------
    pairs : ndarray, dtype=int64, shape=(h, 2)
        Index in the first and in the second set of proteins; i < j if there is one set only.
    identity : ndarray, dtype=float32, shape=(h,)
        Identical columns of the alignment, as a fraction of all its columns.
    coverage : ndarray, dtype=float32, shape=(h,)
        Fraction of residues that the alignment spans, of the protein where that is less.
    bits : ndarray, dtype=float32, shape=(h,)
        Bit score of the alignment (Altschul 1991): ten more are a thousand times less by chance.
    """

    pairs: IntArray
    identity: npt.NDArray[np.float32]
    coverage: npt.NDArray[np.float32]
    bits: npt.NDArray[np.float32]


class Limits(NamedTuple):
    """Which alignments count: least identity and coverage, largest E-value."""

    identity: float
    coverage: float
    e_value: float


def homologous_pairs(
    first: Iterable[str],
    second: Iterable[str] | None = None,
    *,
    identity: float = 0.3,
    coverage: float = 0.5,
    e_value: float = 1e-3,
    method: str = "auto",
    progress: bool = False,
) -> Hits:
    """Find pairs of proteins that align with at least this identity and coverage.

    Parameters
    ----------
    first, second : SequenceStore or other iterable of str
        Two sets of proteins; without `second`, all pairs within `first`.
    identity : float
        Least fraction of identical columns.
    coverage : float
        Least fraction of residues spanned, of both proteins.
    e_value : float
        Most alignments as good by chance. The built-in search counts as among 10,000 proteins,
        whatever their number.
    method : {"auto", "mmseqs", "kmer"}
        MMseqs2, the built-in search, or whichever there is in this order. Neither finds every
        homologue; docs/notebook/evaluation.md has the measured recall.
    progress : bool
        Show a progress bar (built-in search), or say that MMseqs2 is at work.

    Returns
    -------
    Hits
        Sorted by pair.

    Raises
    ------
    ConfigError
        If `method` or a threshold makes no sense.
    BackendError
        If MMseqs2 was asked for and is not there, or fails.

    References
    ----------
    .. [1] Steinegger & Söding, Nature Biotechnology 35, 1026 (2017), for MMseqs2 and for the idea
       of two seed hits in a row on one diagonal.

    Examples
    --------
    >>> globin = "VLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVD"
    >>> hits = homologous_pairs([globin, "MK" * 40, globin[5:]], method="kmer")
    >>> hits.pairs.tolist(), hits.identity.tolist()
    ([[0, 2]], [1.0])
    """
    if not (0 <= identity <= 1 and 0 <= coverage <= 1):
        raise ConfigError(f"identity={identity} and coverage={coverage} must be within 0..1")
    if not 0 < e_value < np.inf:
        raise ConfigError(f"e_value={e_value} must be a finite number above 0")
    method = choose_method(method)
    search = _search_mmseqs if method == "mmseqs" else _search_kmer
    limits = Limits(identity, coverage, e_value)
    own = second is None
    left = string_list(first)
    right = left if second is None else string_list(second)
    if not left or not right:
        empty = np.empty(0, np.float32)
        return Hits(np.empty((0, 2), np.int64), empty, empty, empty)
    hits = search(left, right, own, limits, progress)
    order = np.lexsort((hits.pairs[:, 1], hits.pairs[:, 0]))
    pairs, *measures = hits
    return Hits(pairs[order], *(values[order] for values in measures))


def pairs_across(
    first: Iterable[str], second: Iterable[str], *, method: str = "auto", **options: Any
) -> IntArray:
    """Find similar proteins of two sets from either side, for borders that none may cross.

    The built-in search extends the diagonal that it comes to first.  Where proteins have repeats
    that may be another one from the other side, and only one of the two is good enough.  MMseqs2
    is asked from the first set.

    Parameters
    ----------
    first, second : SequenceStore or other iterable of str
    method, **options
        As in `homologous_pairs`.

    Returns
    -------
    ndarray, dtype=int64, shape=(h, 2)
        Index in the first and in the second set, sorted, each pair once.
    """
    method = choose_method(method)
    left, right = string_list(first), string_list(second)
    pairs = homologous_pairs(left, right, method=method, **options).pairs
    if method == "kmer":
        back = homologous_pairs(right, left, method=method, **options).pairs[:, ::-1]
        pairs = distinct_pairs(np.concatenate([pairs, back]))
    return pairs


def choose_method(method: str) -> str:
    """Turn `auto` into the method that runs here.

    Raises
    ------
    ConfigError
        If there is no such method.
    BackendError
        If MMseqs2 was asked for and is not on the path.
    """
    if method not in SEARCH_METHODS:
        raise ConfigError(f"no search {method!r}; choose one of {', '.join(SEARCH_METHODS)}")
    found = shutil.which("mmseqs") is not None
    if method == "mmseqs" and not found:
        raise BackendError("`mmseqs` is not on the PATH; install MMseqs2 or use method='kmer'")
    if method == "auto":
        return "mmseqs" if found else "kmer"
    return method


def shown_method(method: str = "auto") -> str:
    """Return the name for people of the search that `method` runs here.

    Examples
    --------
    >>> shown_method("kmer")
    'built-in search'
    """
    return {"mmseqs": "MMseqs2", "kmer": "built-in search"}[choose_method(method)]


def _search_kmer(
    left: list[str], right: list[str], own: bool, limits: Limits, progress: bool
) -> Hits:
    longest = max(map(len, left + right))
    if longest > MAX_LENGTH:
        raise InputError(
            f"a protein has {longest} residues; the built-in search takes {MAX_LENGTH}; leave "
            "longer proteins out of it"
        )
    targets = encode(right)
    index = index_seeds(targets)
    queries, words = targets, index.words
    if not own:
        queries = encode(left)
        words = index_seeds(queries).words
    block = 32
    jobs = range(0, len(left), block)

    def run(start: int) -> npt.NDArray[np.float64]:
        stop = min(start + block, len(left))
        return _search_block(start, stop, own, queries, words, targets, index, SCORES, limits)

    # The kernels release the GIL; blocks come back in order, so threads change nothing.
    bar = tqdm(total=len(left), desc="search", unit="protein", disable=not progress)
    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for start, hits in zip(jobs, pool.map(run, jobs), strict=True):
            found.append(hits)
            bar.update(min(block, len(left) - start))
    rows = np.concatenate(found)
    return Hits(rows[:, :2].astype(np.int64), *rows[:, 2:].astype(np.float32).T)


@njit(cache=True, nogil=True)
def _search_block(
    start: int,
    stop: int,
    own: bool,
    queries: Encoded,
    words: npt.NDArray[np.int32],
    targets: Encoded,
    index: SeedIndex,
    scores: npt.NDArray[np.int32],
    limits: Limits,
) -> npt.NDArray[np.float64]:
    """Search queries start..stop; rows of query, target, identity, coverage, bits."""
    n_targets = len(targets.starts) - 1
    tables = (
        np.zeros(n_targets, np.int64),
        np.zeros(n_targets, np.int32),
        np.zeros(n_targets, np.int64),
    )
    found = [(0.0, 0.0, 0.0, 0.0, 0.0) for _ in range(0)]
    for q in range(start, stop):
        a = queries.codes[queries.starts[q] : queries.starts[q + 1]]
        candidates, diagonals = find_candidates(
            words[queries.starts[q] : queries.starts[q + 1]],
            index,
            targets.starts,
            q if own else -1,
            tables,
        )
        for n in range(len(candidates)):
            t = candidates[n]
            b = targets.codes[targets.starts[t] : targets.starts[t + 1]]
            # No alignment can span more of the longer protein than all of the shorter one.
            if min(len(a), len(b)) < limits.coverage * max(len(a), len(b)):
                continue
            if ungapped_score(a, b, diagonals[n], scores) < _MIN_UNGAPPED:
                continue
            score, same, pairs, from_a, to_a, from_b, to_b = align_banded(
                a, b, diagonals[n], BAND, scores, GAP_OPEN, GAP_EXTEND
            )
            if K * len(a) * len(b) * _DATABASE * np.exp(-LAMBDA * score) > limits.e_value:
                continue
            in_a, in_b = to_a - from_a + 1, to_b - from_b + 1
            alike = same / (in_a + in_b - pairs)
            spanned = min(in_a / len(a), in_b / len(b))
            if alike >= limits.identity and spanned >= limits.coverage:
                bits = (LAMBDA * score - np.log(K)) / np.log(2)
                found.append((float(q), float(t), alike, spanned, bits))
    rows = np.empty((len(found), 5))
    for n in range(len(found)):
        rows[n, 0], rows[n, 1], rows[n, 2], rows[n, 3], rows[n, 4] = found[n]
    return rows


def _search_mmseqs(
    left: list[str], right: list[str], own: bool, limits: Limits, progress: bool
) -> Hits:
    # What a search that is broken off still writes is removed with it, see `_ENDS_WITH_US`.
    with tempfile.TemporaryDirectory(prefix="lcplm-mmseqs-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        query = _write_fasta(folder / "query.fasta", left)
        target = query if own else _write_fasta(folder / "target.fasta", right)
        result = folder / "hits.tsv"
        command = ["mmseqs", "easy-search", query, target, result, folder / "tmp"]
        # MMseqs2 cannot read the 1e-05 that it hands on to its own parts; no alignment is so low.
        identity, coverage = (share if share >= 1e-4 else 0 for share in limits[:2])
        command += ["--min-seq-id", identity, "-c", coverage, "--cov-mode", 0]
        command += ["-e", limits.e_value]
        command += ["-s", 7.5, "--max-seqs", max(300, len(right)), "-v", 1]
        command += ["--format-output", "query,target,fident,qcov,tcov,bits"]
        if progress and len(left) * len(right) >= _LONG_SEARCH:
            tqdm.write(f"MMseqs2 aligns {len(left):,} proteins; it can take minutes", sys.stderr)
        done = _run(folder, [str(part) for part in command])
        if done.returncode and _NO_SEEDS in done.stdout + done.stderr:
            warn_once(
                "MMseqs2 finds nothing where all proteins searched are shorter than 14 residues or "
                "of low complexity; none has a relative by this search"
            )
            none = np.empty(0, np.float32)
            return Hits(np.empty((0, 2), np.int64), none, none, none)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise BackendError(
                f"mmseqs failed with code {done.returncode}: {' '.join(last)}; the built-in search "
                "is kmer (--search kmer)"
            )
        found = result.stat().st_size > 0
        rows = np.loadtxt(result, ndmin=2) if found else np.empty((0, 6))
    pairs = rows[:, :2].astype(np.int64)
    values = np.stack([rows[:, 2], rows[:, 3:5].min(axis=1), rows[:, 5]], axis=1)
    values = values.astype(np.float32)
    if own:
        pairs.sort(axis=1)
        pairs, keep = np.unique(pairs, axis=0, return_index=True)
        values = values[keep]
        other = pairs[:, 0] != pairs[:, 1]
        pairs, values = pairs[other], values[other]
    return Hits(pairs, *values.T)


def _run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program that ends, and whose folder is removed, when this process ends in any way."""
    reader, writer = os.pipe()
    with (
        os.fdopen(reader) as theirs,
        subprocess.Popen(
            ["sh", "-c", _ENDS_WITH_US, "sh", str(folder), *command],
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        ) as process,
        os.fdopen(writer, "w"),
    ):  # fmt: skip
        out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _write_fasta(path: Path, sequences: list[str]) -> Path:
    with path.open("w") as file:
        file.writelines(f">{i}\n{sequence}\n" for i, sequence in enumerate(sequences))
    return path
