"""Values of an LMDB database, read by a process of its own.

LMDB maps its file and trusts it: a damaged one ends the process that reads it, by SIGBUS or
SIGSEGV.  So another process reads, and if it ends, that is an error as any other.

    python -m lcplm_graph.datasets.lmdb_values FILE     keys in, values out, each after its length
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lcplm_graph.apart import another_process
from lcplm_graph.errors import DataError

_SIZE = struct.Struct("<q")
_NONE, _ERROR = -1, -2


class LmdbValues:
    """Values by key; see `open_values`.

    Parameters
    ----------
    path : Path
        For messages.
    keys, answers : binary file
        Pipes to the process that reads.
    """

    def __init__(self, path: Path, keys: IO[bytes], answers: IO[bytes]) -> None:
        self.path, self.keys, self.answers = path, keys, answers

    def get(self, key: bytes) -> bytes | None:
        """Return a value; None if there is no such key.

        Raises
        ------
        DataError
            If the database is damaged.
        """
        try:
            _send(self.keys, key)
            return _receive(self.answers)
        except (OSError, EOFError):
            reason = "what it says ends the process that reads it"
        except ValueError as error:
            reason = str(error)
        raise DataError(f"the LMDB database is damaged ({reason})", path=self.path)


@contextmanager
def open_values(path: Path) -> Iterator[LmdbValues]:
    """Start a process that reads a database, and end it afterwards.

    Parameters
    ----------
    path : Path
        A file, or the folder of one.
    """
    command, environment = another_process("lcplm_graph.datasets.lmdb_values", str(path))
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield LmdbValues(path, process.stdin, process.stdout)
    finally:
        process.kill()
        process.communicate()


def _send(pipe: IO[bytes], value: bytes | None, kind: int = _NONE) -> None:
    pipe.write(_SIZE.pack(kind) if value is None else _SIZE.pack(len(value)) + value)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes | None:
    (size,) = _SIZE.unpack(_exactly(pipe, _SIZE.size))
    if size == _NONE:
        return None
    if size == _ERROR:
        raise ValueError((_receive(pipe) or b"").decode())
    return _exactly(pipe, size)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    content = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return content


def _serve(path: str, keys: IO[bytes], answers: IO[bytes]) -> None:
    import lmdb

    def refuse(error: lmdb.Error) -> None:
        _send(answers, None, _ERROR)
        _send(answers, str(error).encode())

    try:
        environment = lmdb.open(
            path, subdir=Path(path).is_dir(), readonly=True, lock=False, readahead=False
        )
    except lmdb.Error as error:
        return refuse(error)
    with environment, environment.begin() as transaction:
        while len(size := keys.read(_SIZE.size)) == _SIZE.size:
            key = keys.read(_SIZE.unpack(size)[0])
            try:
                _send(answers, transaction.get(key))
            except lmdb.Error as error:
                return refuse(error)
    return None


if __name__ == "__main__":
    _serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
