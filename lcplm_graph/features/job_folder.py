"""``FILE.parts``: what an unfinished `EmbedJob` has done, and whose work it is.

The folder belongs to one job, which ``job.json`` describes; it is written last when a job begins
and removed first when it ends, so that a folder without it is rubbish, whatever a kill left there.
Progress names the job it belongs to, its length and its checksum, and counts for nothing where
one of these does not hold.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

from lcplm_graph.io import warn_once, write_json
from lcplm_graph.proteins.store import SequenceStore

_LAYOUT = 3
_PIECE = 1 << 22


class Progress(NamedTuple):
    """How far a job is: finished batches, the size of their values in bytes, and its CRC-32."""

    batches: int = 0
    size: int = 0
    crc32: int = 0

    def after(self, values: bytes) -> Progress:
        """Return the progress after one batch more."""
        return Progress(self.batches + 1, self.size + len(values), zlib.crc32(values, self.crc32))


class JobFolder:
    """The working folder beside an output file.

    Parameters
    ----------
    out : pathlib.Path
        The output file.
    """

    def __init__(self, out: Path) -> None:
        self.path = out.with_name(out.name + ".parts")
        self.sequences_path = self.path / "sequences.arrow"
        self.values_path = self.path / "values.bin"
        self._id = ""

    def identity(self) -> dict[str, Any] | None:
        """Whose work is here; None if no job owns it, or it is not as it was left."""
        job = _read(self.path / "job.json")
        try:
            whole = job.pop("layout") == _LAYOUT
            # Those of another job would be embedded as this one's, under its name.
            whole = whole and job.pop("sequences") == self._state_of_sequences()
            self._id = job.pop("id")
        except (KeyError, OSError):
            return None
        return job if whole else None

    def begin(self, identity: dict[str, Any]) -> None:
        """Write a new job down, once ``sequences.arrow`` is there."""
        self._id = uuid.uuid4().hex
        sequences = self._state_of_sequences()
        job = {"layout": _LAYOUT, "id": self._id, "sequences": sequences, **identity}
        write_json(self.path / "job.json", job)

    def is_mine(self) -> bool:
        """Whether the job begun or taken up is still the one here."""
        return _read(self.path / "job.json").get("id") == self._id

    def sequences(self) -> SequenceStore:
        """Sequences of the job."""
        return SequenceStore.open(self.sequences_path)

    def progress(self, sizes: list[int]) -> Progress:
        """Read how far the job is; nothing at all unless every byte of it is still there.

        Parameters
        ----------
        sizes : list of int
            Bytes before each batch, and of all.
        """
        done = _read(self.path / "done.json")
        if done.pop("job", None) != self._id:
            return Progress()
        try:
            progress = Progress(**done)
            right = sizes[progress.batches] == progress.size
            right = right and progress.batches >= 0
            whole = right and _crc32(self.values_path, progress.size) == progress.crc32
        except (TypeError, IndexError, OSError):
            whole = False
        if not whole:
            warn_once(f"{self.path}: the values computed before are damaged; computed again")
            return Progress()
        return progress

    def values(self, progress: Progress) -> IO[bytes]:
        """Open the file of values behind those of the finished batches, to write on."""
        path = self.values_path
        path.touch()
        file = open(path, "r+b")  # noqa: SIM115
        file.truncate(progress.size)
        file.seek(0, os.SEEK_END)
        return file

    def checkpoint(self, file: IO[bytes], progress: Progress) -> None:
        """Say that so much is on disk, after it is."""
        file.flush()
        os.fsync(file.fileno())
        write_json(self.path / "done.json", {"job": self._id, **progress._asdict()})

    def remove(self) -> None:
        """Remove everything, that which says whose it is first."""
        (self.path / "job.json").unlink(missing_ok=True)
        if self.path.exists():
            shutil.rmtree(self.path)

    def _state_of_sequences(self) -> list[int | None]:
        """Size and CRC-32 of the sequences."""
        size = self.sequences_path.stat().st_size
        return [size, _crc32(self.sequences_path, size)]


def _crc32(path: Path, size: int) -> int | None:
    """CRC-32 of the first bytes of a file; None if there are fewer."""
    crc = 0
    with open(path, "rb") as file:
        while size:
            piece = file.read(min(size, _PIECE))
            if not piece:
                return None
            crc, size = zlib.crc32(piece, crc), size - len(piece)
    return crc


def _read(path: Path) -> dict[str, Any]:
    """Content of a JSON file; nothing if there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
