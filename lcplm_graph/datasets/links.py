"""Read tables of scored protein pairs by streaming, and make one undirected graph of them.

STRING's link files are blank-separated text with a header, 12 million rows for human.  Arrow
parses them in batches; only one 64-bit number per kept row (both node numbers, the direction
and the score) stays in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lcplm_graph.datasets.link_faults import MAX_SCORE, explain
from lcplm_graph.datasets.row_counts import (
    BELOW,
    CONTRADICTORY,
    DUPLICATES,
    NO_SEQUENCE,
    ROWS,
    SELF_PAIRS,
)
from lcplm_graph.errors import DataError, InputError
from lcplm_graph.files.open import open_stream

#: The score of STRING that counts all kinds of evidence.
COMBINED = "combined_score"
_SCORE_BITS = 10
_SCORE_MASK = (1 << _SCORE_BITS) - 1
# Small blocks keep the parser's read-ahead, several blocks deep, out of the peak memory.
_BLOCK = 1 << 21


@dataclass
class Links:
    """Undirected scored pairs and what was left out.

    Attributes
    ----------
    pairs : ndarray, dtype=int32, shape=(n, 2)
        Node numbers i < j, sorted.
    scores : ndarray, dtype=int16, shape=(n,)
        0 to 1000.
    channels : ndarray or None, dtype=int16, shape=(n, n_channels)
        Further scores of each pair.
    report : dict
        Counts: `rows`, `below_score`, `rows_without_sequence`, `self_pairs`, `duplicates`,
        `contradictory_pairs` (the two directions, or repeats, differ: the highest score is kept).
    """

    pairs: np.ndarray
    scores: np.ndarray
    channels: np.ndarray | None
    report: dict[str, int]


def read_links(
    path: str | os.PathLike[str],
    ids: pa.ChunkedArray | Sequence[str],
    *,
    score: str | None = COMBINED,
    min_score: int = 0,
    channels: Sequence[str] = (),
    delimiter: str = " ",
    constant_score: int = MAX_SCORE,
    prefix: str = "",
) -> Links:
    """Read a table of links.

    Parameters
    ----------
    path : path-like
        Text with a header that names ``protein1``, ``protein2`` and score columns; may be
        compressed.  Pairs may come once or in both directions.
    ids : sequence of str
        Node names in node order; links of other proteins are dropped and counted.
    score : str or None
        Column to take; with `None` every pair gets `constant_score`.
    min_score : int
        Keep pairs of at least this score, 0 to 1000; pairs of score 0 are never kept.
    channels : sequence of str
        Further score columns to return.
    delimiter : str
        Between columns.
    constant_score : int
        See `score`.
    prefix : str
        What every id of the file must start with, as ``9606.``.

    Returns
    -------
    Links

    Raises
    ------
    DataError
        With file and line: missing column, wrong number of columns, a score that is not a whole
        number from 0 to 1000, an id without `prefix`, a damaged or empty file, or no protein in
        common with `ids`.
    """
    path = Path(path)
    names = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([list(ids)], pa.string())
    collector = _Collector(names.cast(pa.string()).combine_chunks(), min_score, prefix)
    columns = [*([score] if score else []), *channels]
    with open_stream(path) as stream:
        try:
            for batch in _read_ahead(_open_table(stream, columns, delimiter)):
                scores = [_scores_of(batch, name) for name in columns]
                if score is None:
                    scores.insert(0, np.full(batch.num_rows, constant_score, dtype=np.int16))
                collector.add(batch, scores)
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            explain(path, columns, delimiter, prefix, str(error))
    pa.default_memory_pool().release_unused()
    if not collector.rows:
        raise DataError("there is a header but no link; fetch the file again", path=path, line=1)
    if not collector.known:
        raise DataError(
            "no protein of this file has a sequence; do links and sequences belong together?",
            path=path,
            line=2,
        )
    return collector.finish()


def is_link_file(path: Path) -> bool:
    """Tell whether a file has the header of STRING's links.

    Raises
    ------
    DataError
        As `open_stream`.
    """
    with open_stream(path) as stream:
        head = stream.read(_BLOCK).lstrip(b"\n").partition(b"\n")[0]
    names = head.decode("utf-8", "replace").rstrip().split(" ")
    return names[:2] == ["protein1", "protein2"] and COMBINED in names


def both_directions(links: Links, n_nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """List every pair in both directions, sorted by source and target.

    Parameters
    ----------
    links : Links
        Pairs i < j.
    n_nodes : int
        Number of nodes.

    Returns
    -------
    edge_index : ndarray, dtype=int64, shape=(2, 2 n)
    scores : ndarray, dtype=int16, shape=(2 n,)
    channels : ndarray or None, dtype=int16, shape=(2 n, n_channels)
    """
    n, bits = len(links.pairs), _bits(n_nodes)
    edge_index = np.empty((2, 2 * n), dtype=np.int64)
    # The keys are sorted and taken apart inside the result, which saves a third of the memory.
    keys = edge_index[1]
    for part, source, target in ((keys[:n], 0, 1), (keys[n:], 1, 0)):
        part[:] = links.pairs[:, source]
        part <<= bits
        part |= links.pairs[:, target]
        part <<= _SCORE_BITS
        part |= links.scores
    channels = None
    if links.channels is not None:
        channels = links.channels[np.argsort(keys) % max(n, 1)]
    keys.sort()
    scores = (keys & _SCORE_MASK).astype(np.int16)
    keys >>= _SCORE_BITS
    np.right_shift(keys, bits, out=edge_index[0])
    keys &= (1 << bits) - 1
    return edge_index, scores, channels


@dataclass
class _Collector:
    """Packs each kept row in one int64: low node, high node, score, direction."""

    names: pa.Array
    min_score: int
    prefix: str
    rows: int = 0
    known: int = 0
    without_sequence: int = 0
    below_score: int = 0
    self_pairs: int = 0
    kept: int = 0
    extra: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bits = _bits(len(self.names))
        self.packed = np.empty(1 << 20, dtype=np.int64)

    def add(self, batch: pa.RecordBatch, scores: list[np.ndarray]) -> None:
        first, second = self._nodes(batch.column("protein1"), batch.column("protein2"))
        self.rows += batch.num_rows
        known = (first >= 0) & (second >= 0)
        different = first != second
        high_enough = scores[0] >= max(self.min_score, 1)
        self.known += int(known.sum())
        self.without_sequence += int((~known).sum())
        self.self_pairs += int((known & ~different).sum())
        self.below_score += int((known & different & ~high_enough).sum())
        keep = np.flatnonzero(known & different & high_enough)
        first, second = first[keep], second[keep]
        packed = np.minimum(first, second).astype(np.int64) << self.bits
        packed |= np.maximum(first, second)
        packed <<= _SCORE_BITS
        packed |= scores[0][keep]
        packed <<= 1
        packed |= first > second
        self._append(packed)
        if len(scores) > 1:
            self.extra.append(np.stack([column[keep] for column in scores[1:]], axis=1))

    def _append(self, packed: np.ndarray) -> None:
        end = self.kept + len(packed)
        if end > len(self.packed):
            # Grows in place: the pages move, no second copy is made.
            self.packed.resize(max(end, len(self.packed) * 5 // 4), refcheck=False)
        self.packed[self.kept : end] = packed
        self.kept = end

    def finish(self) -> Links:
        packed, channels = self.packed[: self.kept], None
        del self.packed
        if self.extra:
            order = np.argsort(packed, kind="stable")
            packed, channels = packed[order], np.concatenate(self.extra)[order]
        else:
            packed.sort()
        directions = (packed & 1).astype(bool)
        packed >>= 1
        scores = (packed & _SCORE_MASK).astype(np.int16)
        packed >>= _SCORE_BITS
        # Rows of a pair stand together, the lowest score first and the highest last.
        changes = packed[1:] != packed[:-1]
        edge = np.ones(min(1, self.kept), dtype=bool)
        is_first, is_last = np.concatenate((edge, changes)), np.concatenate((changes, edge))
        duplicates = sum(_n_repeated(packed[side]) for side in (directions, ~directions))
        highest = scores[is_last]
        contradictory = int((highest != scores[is_first]).sum())
        if channels is not None:
            channels = np.maximum.reduceat(channels, np.flatnonzero(is_first))
        packed = packed[is_last]
        pairs = np.empty((len(packed), 2), dtype=np.int32)
        np.right_shift(packed, self.bits, out=pairs[:, 0], casting="same_kind")
        packed &= (1 << self.bits) - 1
        pairs[:, 1] = packed
        report = {
            ROWS: self.rows,
            NO_SEQUENCE: self.without_sequence,
            SELF_PAIRS: self.self_pairs,
            BELOW: self.below_score,
            DUPLICATES: duplicates,
            CONTRADICTORY: contradictory,
        }
        return Links(pairs, highest, channels, report)

    def _nodes(self, *columns: pa.DictionaryArray) -> Iterator[np.ndarray]:
        # Each batch has its own small dictionaries; one look-up for both, because each one
        # hashes all the names of the graph anew.
        seen = pa.concat_arrays([column.dictionary for column in columns])
        if not pc.all(pc.starts_with(seen, self.prefix), min_count=0).as_py():
            raise pa.ArrowInvalid(f"an id does not start with {self.prefix}")
        nodes = pc.fill_null(pc.index_in(seen, value_set=self.names), -1).to_numpy()
        for column in columns:
            yield nodes[column.indices.to_numpy()]
            nodes = nodes[len(column.dictionary) :]


def _bits(n_nodes: int) -> int:
    bits = max(n_nodes - 1, 1).bit_length()
    if 2 * bits + _SCORE_BITS + 1 > 63:
        raise InputError(f"{n_nodes} proteins are too many for one graph in memory")
    return bits


def _n_repeated(sorted_pairs: np.ndarray) -> int:
    return int((sorted_pairs[1:] == sorted_pairs[:-1]).sum())


def _scores_of(batch: pa.RecordBatch, name: str) -> np.ndarray:
    scores = batch.column(name).to_numpy(zero_copy_only=False)
    if len(scores) and (scores.min() < 0 or scores.max() > MAX_SCORE):
        raise pa.ArrowInvalid(f"a {name} is not between 0 and {MAX_SCORE}")
    return scores


def _read_ahead(reader: csv.CSVStreamingReader) -> Iterator[pa.RecordBatch]:
    """Parse the next batch in a thread while the caller works on this one."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, reader, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, reader, None)
            yield batch


def _open_table(
    stream: pa.NativeFile, columns: Sequence[str], delimiter: str
) -> csv.CSVStreamingReader:
    name = pa.dictionary(pa.int32(), pa.string())
    types = {"protein1": name, "protein2": name, **dict.fromkeys(columns, pa.int16())}
    return csv.open_csv(
        stream,
        read_options=csv.ReadOptions(block_size=_BLOCK),
        parse_options=csv.ParseOptions(delimiter=delimiter, quote_char=False),
        # No word stands for "missing": an empty or "NaN" score is an error.
        convert_options=csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[]
        ),
    )
