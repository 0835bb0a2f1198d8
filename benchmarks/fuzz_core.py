"""Mutated files, and what is asked of a reader of them; see `fuzz.py`."""

from __future__ import annotations

import faulthandler
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcplm_graph.errors import LcPlmError
from lcplm_graph.files.open import open_stream

#: No file of a few kilobytes may take longer, in seconds.
LIMIT = 5.0
TOKENS = [
    *(b"\t", b"\n", b"\r", b"\r\n", b" ", b">", b"*", b"-", b"!", b"#", b"|", b":", b'"', b"\\"),
    *(b"\xef\xbb\xbf", b"\xff", b"\0", "é".encode(), b"\xc2\xa0", b"\x0b", b"\x1c", b"\x85"),
    *(b"NOT|", b"GO:0000001", b"[Term]\n", b"id: GO:0000001\n", b"is_a: ", b"nan", b"1e999"),
    *(b"-1", b"0", b"99999999999999999999", b"A" * 5000, b"\n\n", b"<html>", b"\x1f\x8b", b"J"),
]


class Refused(Exception):
    """A plain parser does not take a file."""


@dataclass(frozen=True)
class Reader:
    """A reader, good files for it, and the plain parser of the same format if there is one."""

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], Any]
    plain: Callable[[bytes], Any] | None = None
    suffix: str = ""


def mutated(reader: Reader, seed: int, number: int) -> bytes:
    """Return file `number` of a reader."""
    rng = random.Random(f"{reader.name} {seed} {number}")
    data = bytearray(rng.choice(reader.seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        place, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 16, 64))
        match rng.randrange(6):
            case 0:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[place : place + size]
            case 2:
                data[place:place] = rng.choice(TOKENS)
            case 3:
                start = rng.randrange(len(data) + 1)
                data[place:place] = data[start : start + size]
            case 4:
                if rng.random() < 0.3:
                    del data[place:]
                elif place < len(data):
                    data[place] ^= 1 << rng.randrange(8)
            case 5:
                data[place : place + size] = rng.choice(TOKENS)
    return bytes(data)


def run(reader: Reader, files: int, seed: int, folder: Path, first: int = 0) -> Counter[str]:
    """Read `files` mutated files; raise `AssertionError` at the first fault, with its number."""
    counts: Counter[str] = Counter()
    path = folder / f"x{reader.suffix}"
    # The first time compiles kernels and imports, which no file is to blame for.
    path.write_bytes(reader.seeds[0])
    reader.read(path)
    for number in range(first, first + files):
        path.write_bytes(mutated(reader, seed, number))
        where = f"{reader.name}, seed {seed}, file {number}"
        begun = time.process_time()
        # Code in C cannot be interrupted: what hangs ends with a traceback.
        faulthandler.dump_traceback_later(20 * LIMIT, exit=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = reader.read(path)
        except (LcPlmError, Refused) as error:
            found = Refused(str(error))
            assert len(found.args[0]) < 2000, f"{where}: no one sentence: {found}"
        except Exception as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
        faulthandler.cancel_dump_traceback_later()
        took = time.process_time() - begun
        assert took < LIMIT, f"{where}: took {took:.1f} s"
        accepted = not isinstance(found, Refused)
        counts["accepted" if accepted else "refused"] += 1
        if reader.plain is not None:
            _compare(reader, path, found, where)
    return counts


def _compare(reader: Reader, path: Path, found: Any, where: str) -> None:
    assert reader.plain is not None
    try:
        with open_stream(path) as stream:
            expected: Any = reader.plain(stream.read())
    except (LcPlmError, Refused, UnicodeDecodeError) as error:
        expected = Refused(str(error))
    if expected is None:
        return
    same = type(found) is type(expected) if isinstance(expected, Refused) else found == expected
    assert same, f"{where}: read {found!r:.300}, the plain parser {expected!r:.300}"
