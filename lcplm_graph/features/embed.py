"""Embed a file of any number of sequences into a file: bounded memory, resumable after a kill.

Beside the output ``FILE`` a folder ``FILE.parts`` holds the job while it is unfinished: the
sequences as Arrow, the values computed so far, and how many batches they are.  Batches are a
pure function of input and options, so a resumed job writes the same values as one never killed,
on whichever engine it began or goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from lcplm_graph.errors import ConfigError, InputError
from lcplm_graph.features.engines import Engine, Recipe, here
from lcplm_graph.features.formats import Embeddings, check_ids, writer_for
from lcplm_graph.features.plan import BatchPlan
from lcplm_graph.io import atomic_path
from lcplm_graph.models.encoders import MAX_TOKENS, Encoder
from lcplm_graph.models.pooling import pooled_dim
from lcplm_graph.proteins.shards import content_sha256, store_sequences
from lcplm_graph.proteins.store import SequenceStore

_SECONDS_BETWEEN_CHECKPOINTS = 2.0
_FORMAT = 1


class EmbedJob:
    """The embedding of one input into one output file.

    Parameters
    ----------
    source : path-like
        FASTA, Arrow or Parquet, or a folder of shards; see
        `lcplm_graph.proteins.shards.store_sequences`.
    encoder : Encoder
        On the device where it shall run.
    out : path-like
        ``.h5``, ``.npz`` or ``.parquet``; see `lcplm_graph.features.formats`.
    pool : {"mean", "mean_std", "cls", "max"}
        How a protein's residues become one vector.
    per_residue : bool
        Write one vector per residue instead (`pool` is not used).
    half : bool
        Write float16.
    max_tokens : int
        Tokens per batch; a longer protein is a batch of its own and is never cut.

    Attributes
    ----------
    size : int
        Bytes of the values that will be written.

    Raises
    ------
    DataError
        If the input is faulty, with file and line or record.
    InputError
        If a protein is longer than the encoder takes, or an id cannot be written.
    ConfigError
        If the output format is unknown, the output cannot be written, or ``FILE.parts`` belongs
        to another job.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        encoder: Encoder,
        out: str | os.PathLike[str],
        *,
        pool: str = "mean",
        per_residue: bool = False,
        half: bool = False,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        self.encoder, self.out, self.per_residue = encoder, Path(out), per_residue
        self.width = encoder.dim if per_residue else pooled_dim(encoder.dim, pool)
        self.dtype = np.dtype(np.float16 if half else np.float32)
        self.recipe = Recipe(None if per_residue else pool, self.dtype.name)
        self._write = writer_for(out)
        if max_tokens < 1:
            raise ConfigError(f"max_tokens must be at least 1, not {max_tokens}")
        self.parts = self.out.with_name(self.out.name + ".parts")
        self.identity = {
            "format": _FORMAT,
            "input_sha256": content_sha256(source),
            "encoder": encoder.name,
            "encoder_fingerprint": encoder.fingerprint(),
            "pool": "none" if per_residue else pool,
            "dtype": self.dtype.name,
            "max_tokens": max_tokens,
        }
        with self._locked(), self._writable():
            begun = self._begun()
            self.store = self._begin(source) if begun is None else begun
        self._plan = BatchPlan(self.store, max_tokens, per_residue)

    @property
    def size(self) -> int:
        """Bytes of the values in the output."""
        rows = int(self.store.lengths.sum()) if self.per_residue else len(self.store)
        return rows * self.width * self.dtype.itemsize

    def __str__(self) -> str:
        what = f"{len(self.store):,} proteins"
        if self.per_residue:
            what += f", {int(self.store.lengths.sum()):,} residues"
        equal = len(self.store) - len(self._plan.unique)
        note = f" ({equal:,} with the sequence of another are computed once)" if equal else ""
        return (
            f"{what} x {self.width} {self.dtype.name} = {self.size / 1e6:,.1f} MB "
            f"to {self.out}{note}"
        )

    def run(self, *, progress: bool = True, engine: Engine = here) -> Path:
        """Compute what is missing, write the output whole, and remove ``FILE.parts``.

        Parameters
        ----------
        progress : bool
            Show a progress bar in residues.
        engine : Engine
            Who computes; see `lcplm_graph.features.engines`.

        Raises
        ------
        InputError
            If a value is not a finite number (with float16 also if it is too large), or another
            process is at work on the same output.
        """
        with self._locked():
            self._compute(progress, engine)
            with self._writable():
                self._assemble()
        shutil.rmtree(self.parts)
        return self.out

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self.out.is_dir():
            raise ConfigError(f"{self.out} is a folder; give the name of a file")
        lock = FileLock(self.parts / "lock", timeout=0)
        with self._writable():
            self.parts.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Say which file cannot be written; around writing only: an engine has its own errors."""
        try:
            yield
        except Timeout:
            raise InputError(f"{self.out}: another process is writing this file") from None
        except OSError as error:
            raise ConfigError(f"{self.out} cannot be written ({error.strerror})") from error

    def _begun(self) -> SequenceStore | None:
        """Take up a job written down before; None if there is none."""
        path = self.parts / "job.json"
        if not path.is_file():
            return None
        begun = json.loads(path.read_text())
        other = [k for k, v in self.identity.items() if begun.get(k) != v]
        if other:
            told = ", ".join(f"{k} {begun.get(k)!r}, not {self.identity[k]!r}" for k in other)
            raise ConfigError(
                f"{self.parts} holds an unfinished job with {told}; run that one to its end, "
                "or delete the folder to begin anew"
            )
        return SequenceStore.open(self.parts / "sequences.arrow")

    def _begin(self, source: str | os.PathLike[str]) -> SequenceStore:
        """Write the job down; if that is refused, nothing is left."""
        try:
            store = store_sequences(source, self.parts / "sequences.arrow")
            check_ids(self.out, store.ids)
            self._check_lengths(store)
            with atomic_path(self.parts / "job.json") as temporary:
                temporary.write_text(json.dumps(self.identity, indent=1) + "\n")
        except BaseException:
            shutil.rmtree(self.parts)
            raise
        return store

    def _check_lengths(self, store: SequenceStore) -> None:
        limit = self.encoder.max_length
        if limit is None or not len(store):
            return
        long = np.flatnonzero(store.lengths > limit)
        if len(long):
            raise InputError(
                f"{self.encoder.name} takes at most {limit} residues, but {len(long)} proteins are "
                f"longer (the first: {store.ids[long[0]]!r}, "
                f"{store.lengths[long[0]]} residues); leave them out or use an encoder "
                "without a limit"
            )

    def _compute(self, progress: bool, engine: Engine) -> None:
        first = self._finished_batches()
        due = range(first, len(self._plan.batches))
        results = engine(self.encoder, self.recipe, (self._sequences(k) for k in due))
        with self._values_before(first) as file, self._bar(first, progress) as bar:
            last = time.monotonic()
            for number, values in zip(due, results, strict=True):
                checked = self._checked(number, values).tobytes()
                with self._writable():
                    file.write(checked)
                bar.update(self._plan.residues(number))
                if time.monotonic() - last > _SECONDS_BETWEEN_CHECKPOINTS:
                    self._checkpoint(file, number + 1)
                    last = time.monotonic()
            self._checkpoint(file, len(self._plan.batches))

    def _values_before(self, batch: int) -> IO[bytes]:
        """Open the file of values with those of all earlier batches, to write on."""
        path = self.parts / "values.bin"
        with self._writable():
            path.touch()
            file = open(path, "r+b")  # noqa: SIM115
            file.truncate(int(self._plan.rows_before[batch]) * self.width * self.dtype.itemsize)
            file.seek(0, os.SEEK_END)
        return file

    def _bar(self, first: int, progress: bool) -> Any:
        return tqdm(
            total=int(self._plan.residues_before[-1]),
            initial=int(self._plan.residues_before[first]),
            unit="res",
            unit_scale=True,
            disable=not progress,
            desc=self.encoder.name,
        )

    def _finished_batches(self) -> int:
        path = self.parts / "done.json"
        return json.loads(path.read_text())["batches"] if path.is_file() else 0

    def _checkpoint(self, file: IO[bytes], batches: int) -> None:
        """Say that so many batches are on disk, after they are."""
        with self._writable():
            file.flush()
            os.fsync(file.fileno())
            with atomic_path(self.parts / "done.json") as temporary:
                temporary.write_text(json.dumps({"batches": batches}))

    def _sequences(self, number: int) -> list[str]:
        return [self.store[int(i)] for i in self._plan.proteins(number)]

    def _checked(self, number: int, values: np.ndarray) -> np.ndarray:
        rows = self._plan.rows(number)
        if values.shape != (rows, self.width):
            raise InputError(
                f"{self.encoder.name} gives values of shape {values.shape} where "
                f"{(rows, self.width)} are due; an encoder gives one state per residue"
            )
        if not np.isfinite(values).all():
            proteins = self._plan.proteins(number)
            names = ", ".join(self.store.ids[int(i)] for i in proteins[:3])
            hint = "; write float32 instead" if self.dtype == np.float16 else ""
            raise InputError(
                f"{self.encoder.name} gives values that are no finite {self.dtype.name} in the "
                f"batch of {len(proteins)} proteins that begins with {names}{hint}"
            )
        return values

    def _assemble(self) -> None:
        shape = (int(self._plan.rows_before[-1]), self.width)
        values = np.memmap(self.parts / "values.bin", self.dtype, "r", shape=shape)
        embeddings = Embeddings(
            self.store.ids,
            values,
            self._plan.starts,
            self.store.lengths if self.per_residue else None,
            {k: v for k, v in self.identity.items() if k != "max_tokens"},
        )
        # In the folder of the job, so that a kill leaves nothing beside the output.
        temporary = self.parts / f"assembled{self.out.suffix}"
        self._write(temporary, embeddings)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self.out)


def embed_fasta(
    source: str | os.PathLike[str],
    encoder: Encoder,
    out: str | os.PathLike[str],
    *,
    progress: bool = True,
    engine: Engine = here,
    **options: Any,
) -> Path:
    r"""Embed a FASTA file, or shards, into a file; see `EmbedJob` for the options.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from lcplm_graph.models.encoders import load_encoder
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.fasta").write_text(">p1\nMKTAYIAK\n>p2\nGGGG\n")
    >>> out = embed_fasta(
    ...     folder / "a.fasta", load_encoder("composition"), folder / "a.npz", progress=False
    ... )
    >>> archive = np.load(out)
    >>> archive["ids"].tolist(), archive["embeddings"].shape
    (['p1', 'p2'], (2, 20))
    """
    return EmbedJob(source, encoder, out, **options).run(progress=progress, engine=engine)
