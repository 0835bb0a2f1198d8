"""Fast FASTA reading: whole blocks at a time, straight into Arrow arrays.

The usual path makes no Python object per record: NumPy finds the lines of a block, Arrow
gathers headers and bodies and cuts the ids off, and the checks run over all residues at once.
Only when a check fails is the block walked again to find line, record and position.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lcplm_graph.errors import DataError, InputError
from lcplm_graph.files.compressed import COMPRESSED_SUFFIXES
from lcplm_graph.files.open import TextStream, open_stream
from lcplm_graph.io import atomic_path, warn_once
from lcplm_graph.numeric import whole_number
from lcplm_graph.strings import as_path, string_list
from lcplm_graph.tokens.vocabulary import RESIDUES

SCHEMA = pa.schema(
    {"id": pa.large_string(), "sequence": pa.large_string(), "description": pa.large_string()}
)
#: What names of FASTA files end in, plain and compressed.
FASTA_SUFFIXES = tuple(
    kind + packed for packed in ("", *COMPRESSED_SUFFIXES) for kind in (".fasta", ".fa", ".faa")
)
# A block that stays in the processor's cache is read twice as fast as a large one.
_BLOCK = 1 << 20
# Of the first records, at most this many letters are looked at for DNA and RNA.
_LOOKED_AT, _LETTERS, _ENOUGH, _NUCLEOTIDES = 100, 20_000, 60, 0.9
_BLANKS = b" \t\r\n\f\v"
_INVALID, _BLANK = b"\0", b"\1"


def _fold_table() -> bytes:
    table = bytearray(256)
    for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        table[letter] = table[letter | 0x20] = letter
    # Gaps of aligned FASTA are tokens of the alphabet; a stop is looked at by position.
    for sign in b".-*":
        table[sign] = sign
    for sign in _BLANKS:
        table[sign] = _BLANK[0]
    return bytes(table)


_FOLD = _fold_table()
OTHER_LETTERS = [
    letter.encode() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in RESIDUES
]


def read_fasta(path: str | os.PathLike[str]) -> Iterator[pa.RecordBatch]:
    """Read a FASTA file, plain or gzip, zstd, bz2 or xz, as Arrow record batches.

    Lower case is folded; letters outside the alphabet (``J``) become ``X`` with one warning per
    file that counts them; a final ``*`` is dropped; blanks inside a sequence are ignored.
    Repeated ids are not looked for here: `SequenceStore.from_fasta` does.

    Parameters
    ----------
    path : path-like
        The file; multi-line records and line ends of any system are fine.

    Yields
    ------
    pyarrow.RecordBatch
        Columns `id` (first word of the header), `sequence`, `description` (the rest).

    Raises
    ------
    DataError
        With file and line: no ``>`` first, a record without id or residues (gaps do not count), a
        character that is not a letter, text that is not UTF-8, a web page, a binary or truncated
        file.
    """
    path, replaced = as_path(path), Counter[str]()
    with open_stream(path) as stream:
        for number, (line, block) in enumerate(_blocks(stream, path)):
            batch = _parse_block(block, path, line, replaced)
            if number == 0:
                first = batch["sequence"].slice(0, _LOOKED_AT).to_pylist()
                _warn_of_nucleotides("".join(first)[:_LETTERS], path)
            yield batch
    _warn_of_other_letters(replaced, path)


def warn_of_strange(sequence: str, where: str | Path) -> None:
    """Say what is strange about a sequence in its normal form that was given without a file."""
    _warn_of_nucleotides(sequence, where)
    counts = {letter.decode(): sequence.count(letter.decode()) for letter in OTHER_LETTERS}
    _warn_of_other_letters({letter: count for letter, count in counts.items() if count}, where)


def _warn_of_other_letters(replaced: Mapping[str, int], where: str | Path) -> None:
    if replaced:
        letters = ", ".join(f"{count} {letter}" for letter, count in sorted(replaced.items()))
        warn_once(f"{where}: residues outside the alphabet read as X: {letters}")


def _warn_of_nucleotides(letters: str, where: str | Path) -> None:
    """Say it if a text looks like DNA or RNA: the letters are all amino acids too."""
    share = sum(letters.count(letter) for letter in "ACGTUN") / max(len(letters), 1)
    if len(letters) >= _ENOUGH and share > _NUCLEOTIDES:
        warn_once(
            f"{where}: {share:.0%} of the letters are A, C, G, T, U or N, as in DNA or RNA; they "
            "are read as amino acids, so translate genes to proteins first"
        )


def write_fasta(
    path: str | os.PathLike[str], ids: Iterable[str], sequences: Iterable[str], width: int = 80
) -> None:
    """Write proteins as plain FASTA, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file to write.
    ids, sequences : iterable of str
        In the same order.
    width : int
        Residues per line.

    Raises
    ------
    InputError
        If they are not lists of strings of one length, an id holds a line break, or `width` is no
        whole number from 1.
    """
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(fasta_records(ids, sequences, width))


def fasta_records(ids: Iterable[str], sequences: Iterable[str], width: int = 80) -> Iterator[str]:
    """Yield each protein as text of FASTA; see `write_fasta`.

    Examples
    --------
    >>> print(*fasta_records(["one"], ["MKTAYIAK"], width=5), end="")
    >one
    MKTAY
    IAK
    """
    names, texts = string_list(ids, "ids"), string_list(sequences)
    width = whole_number(width, "width")
    if len(names) != len(texts):
        raise InputError(f"{len(names)} ids but {len(texts)} sequences")
    broken = next((name for name in names if not name or "\n" in name or "\r" in name), None)
    if broken is not None:
        raise InputError(f"the id {broken!r:.60} is empty or holds a line break; rename it")
    for name, sequence in zip(names, texts, strict=True):
        lines = (sequence[i : i + width] for i in range(0, len(sequence), width))
        yield f">{name}\n" + "\n".join(lines) + "\n"


def line_of_record(path: str | os.PathLike[str], record: str, occurrence: int = 1) -> int | None:
    """Line (from 1) of the header that names `record` for the n-th time; for messages."""
    wanted = record.encode()
    with open_stream(path) as stream:
        for line, block in _blocks(stream, Path(path)):
            for text in block[1:].split(b"\n>"):
                words = text.partition(b"\n")[0].split(None, 1)
                occurrence -= bool(words) and words[0] == wanted
                if occurrence == 0:
                    return line
                line += text.count(b"\n") + 1
    return None


def _blocks(stream: TextStream, path: Path) -> Iterator[tuple[int, bytes]]:
    """Cut the stream into blocks of whole records, each with the line it starts at."""
    line, start = _skip_blank_start(stream.read(_BLOCK), path)
    parts = [start]
    while data := stream.read(_BLOCK):
        cut = data.rfind(b"\n>") + 1
        parts.append(data[:cut])
        if cut:
            block = b"".join(parts)
            yield line, block
            line += block.count(b"\n")
            parts = []
        parts.append(data[cut:])
    yield line, b"".join([*parts, b"\n"])


def _skip_blank_start(data: bytes, path: Path) -> tuple[int, bytes]:
    start = data.lstrip()
    line = data.count(b"\n", 0, len(data) - len(start)) + 1
    if start[:1] == b">":
        return line, start
    shown = start[:30].split(b"\n")[0].decode("utf-8", "replace")
    raise DataError(f"a FASTA file starts with '>', this one with {shown!r}", path=path, line=line)


def _parse_block(
    block: bytes, path: Path, first_line: int, replaced: Counter[str]
) -> pa.RecordBatch:
    headers, bodies, lengths = _cut(block)
    words = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(headers), max_splits=1)
    ids = pc.list_element(words, 0)
    # Joins the one word after the first, or none.
    rest = pc.binary_join(pc.list_slice(words, 1), pa.scalar("", pa.large_string()))
    residues, lengths = _fold(bodies, lengths)
    if (
        _INVALID in residues
        or b"*" in residues
        or not lengths.all()
        or _gaps_only(residues, lengths)
        or pc.any(pc.equal(ids, "")).as_py()
        or not _is_utf8(headers)
    ):
        _explain(block, path, first_line)
    for letter in OTHER_LETTERS:
        if letter in residues:
            replaced[letter.decode()] += residues.count(letter)
            residues = residues.replace(letter, b"X")
    return pa.record_batch([ids, _text(residues, lengths), rest], schema=SCHEMA)


def _cut(block: bytes) -> tuple[pa.LargeStringArray, pa.LargeBinaryArray, np.ndarray]:
    """Headers without ``>``, bodies with their line ends, and how long these are without."""
    raw = np.frombuffer(block, dtype=np.uint8)
    starts = np.concatenate(([0], np.flatnonzero(raw == ord("\n")) + 1))
    first_line = np.flatnonzero(raw[starts[:-1]] == ord(">"))
    # ">", header and body follow each other, so one array over the block, uncopied, holds all.
    bounds = np.empty((len(first_line), 3), dtype=np.int64)
    bounds[:, 0] = starts[first_line]
    bounds[:, 1] = bounds[:, 0] + 1
    bounds[:, 2] = starts[first_line + 1]
    offsets = pa.py_buffer(np.append(bounds, len(raw)))
    pieces = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), bounds.size, [None, offsets, pa.py_buffer(block)]
    )
    place = np.arange(0, bounds.size, 3)
    headers, bodies = (pieces.take(pa.array(place + i)) for i in (1, 2))
    n_lines = np.diff(first_line, append=len(starts) - 1) - 1
    lengths = np.append(bounds[1:, 0], len(raw)) - bounds[:, 2] - n_lines
    return headers.view(pa.large_string()), bodies, lengths


def _fold(bodies: pa.LargeBinaryArray, lengths: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Residues of all bodies in one piece, upper case, and how many each has."""
    residues = bodies.buffers()[2].to_pybytes().replace(b"\n", b"")
    letters = np.frombuffer(residues, dtype=np.uint8)
    # Below "A" the difference wraps around; most files hold capitals only.
    if (letters - np.uint8(ord("A")) < 26).all():
        return residues, lengths
    residues = residues.translate(_FOLD)
    if b"*" in residues or _BLANK in residues:
        folded = [body.translate(_FOLD, _BLANKS).removesuffix(b"*") for body in bodies.to_pylist()]
        return b"".join(folded), np.fromiter(map(len, folded), dtype=np.int64, count=len(folded))
    return residues, lengths


def _gaps_only(residues: bytes, lengths: np.ndarray) -> bool:
    """Whether a record has gaps and nothing else."""
    if b"-" not in residues and b"." not in residues:
        return False
    letters = np.frombuffer(residues, dtype=np.uint8) >= ord("A")
    before = np.concatenate(([0], np.cumsum(letters)))
    ends = np.cumsum(lengths)
    return bool((before[ends] == before[ends - lengths]).any())


def _text(joined: bytes, lengths: np.ndarray) -> pa.LargeStringArray:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return pa.LargeStringArray.from_buffers(
        len(lengths), pa.py_buffer(offsets), pa.py_buffer(joined)
    )


def _is_utf8(texts: pa.LargeStringArray) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _explain(block: bytes, path: Path, line: int) -> NoReturn:
    """Find the first bad record of a block and raise an error that names it."""
    for text in block[1:].split(b"\n>"):
        header, _, body = text.partition(b"\n")
        try:
            name = header.decode("utf-8")
        except UnicodeDecodeError:
            raise DataError(
                "the header is not UTF-8; convert the file's encoding", path=path, line=line
            ) from None
        if not name.split():
            raise DataError("the header has no id after '>'", path=path, line=line)
        _explain_body(body, path, line, name.split()[0])
        line += text.count(b"\n") + 1
    raise DataError("the block cannot be read as FASTA", path=path, line=line)


def _explain_body(body: bytes, path: Path, header_line: int, record: str) -> None:
    folded = body.translate(_FOLD, _BLANKS).removesuffix(b"*")
    if not folded:
        raise DataError("the record has no residues", path=path, line=header_line, record=record)
    if not folded.strip(b".-"):
        message = "the record has gaps only, no residues"
        raise DataError(message, path=path, line=header_line, record=record)
    bad = [i for i in (folded.find(_INVALID), folded.find(b"*")) if i >= 0]
    if not bad:
        return
    residues = 0
    for line, text in enumerate(body.split(b"\n"), start=header_line + 1):
        kept = text.translate(None, _BLANKS)
        if residues + len(kept) > min(bad):
            shown = kept[min(bad) - residues :].decode("utf-8", "replace")[0]
            raise DataError(
                f"{shown!r} at position {min(bad) + 1} is not an amino-acid letter; "
                "remove it or replace it by X",
                path=path,
                line=line,
                record=record,
            )
        residues += len(kept)
