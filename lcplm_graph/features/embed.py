"""Embed a file of any number of sequences into a file: bounded memory, resumable after a kill.

Beside the output ``FILE`` a folder ``FILE.parts`` holds the job while it is unfinished: the
sequences as Arrow, the values computed so far, and how many batches they are.  Batches are a
pure function of input and options, so a resumed job writes the same values as one never killed,
on whichever engine it began or goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import Timeout
from tqdm import tqdm

from lcplm_graph.errors import ConfigError, InputError, LcPlmError
from lcplm_graph.features.engines import Engine, Recipe, local_engine
from lcplm_graph.features.formats import Embeddings, check_ids, info_of, writer_for
from lcplm_graph.features.job_folder import JobFolder, Progress
from lcplm_graph.features.plan import BatchPlan
from lcplm_graph.locks import sole_writer
from lcplm_graph.models.encoders import MAX_TOKENS, Encoder, as_encoder
from lcplm_graph.models.pooling import pooled_dim
from lcplm_graph.numeric import flag, whole_number
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
    encoder : Encoder or str
        On the device where it shall run; or the name of one.
    out : path-like
        ``.h5``, ``.npz`` or ``.parquet``; see `lcplm_graph.features.formats`.
    pool : str, optional
        How a protein's residues become one vector, see `lcplm_graph.models.pooling`; by default as
        the encoder recommends.
    per_residue : bool
        Write one vector per residue instead (`pool` is not used).
    half : bool
        Write float16.
    max_tokens : int
        Tokens per batch; a longer protein is a batch of its own and is never cut.
    overwrite : bool
        Make and replace a file that is there. False leaves one that was made of the same input
        with the same encoder and options as it is, and refuses any other.

    Attributes
    ----------
    complete : bool
        Whether such a file is there, so that there is nothing to do.
    size : int
        Bytes of the values that will be written.

    Raises
    ------
    DataError
        If the input is faulty, with file and line or record.
    InputError
        If a protein is longer than the encoder takes, or an id cannot be written.
    ConfigError
        If the output format is unknown, the output cannot be written or is there already, or
        ``FILE.parts`` belongs to another job.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        encoder: Encoder | str | Path,
        out: str | os.PathLike[str],
        *,
        pool: str | None = None,
        per_residue: bool = False,
        half: bool = False,
        max_tokens: int = MAX_TOKENS,
        overwrite: bool = True,
    ) -> None:
        per_residue, half = flag(per_residue, "per_residue"), flag(half, "half")
        overwrite = flag(overwrite, "overwrite")
        self.encoder = encoder = as_encoder(encoder)
        self.out, self.per_residue = Path(out), per_residue
        pool = encoder.chosen_pool(pool)
        self.width = encoder.dim if per_residue else pooled_dim(encoder.dim, pool)
        self.dtype = np.dtype(np.float16 if half else np.float32)
        self.recipe = Recipe(None if per_residue else pool, self.dtype.name)
        self._write = writer_for(out)
        max_tokens = whole_number(max_tokens, "max_tokens")
        if self.out.is_dir():
            raise ConfigError(f"{self.out} is a folder; give the name of a file")
        self.identity = {
            "format": _FORMAT,
            "input_sha256": content_sha256(source),
            "encoder": encoder.name,
            "encoder_fingerprint": encoder.fingerprint(),
            "precision": encoder.precision,
            "pool": "none" if per_residue else pool,
            "dtype": self.dtype.name,
            "max_tokens": max_tokens,
        }
        self._folder = JobFolder(self.out)
        self.complete = False
        with self._locked(), self._writable():
            begun = self._take_up(overwrite)
            if self.complete:
                return
            self.store = self._begin(source) if begun is None else begun
        self._plan = BatchPlan(self.store, max_tokens, per_residue)

    @property
    def parts(self) -> Path:
        """The folder that holds the job while it is unfinished."""
        return self._folder.path

    @property
    def size(self) -> int:
        """Bytes of the values in the output."""
        rows = int(self.store.lengths.sum()) if self.per_residue else len(self.store)
        return rows * self.width * self.dtype.itemsize

    def __str__(self) -> str:
        if self.complete:
            return f"already complete: {self.out}, of the same input, encoder and options"
        what = f"{len(self.store):,} proteins"
        if self.per_residue:
            what += f", {int(self.store.lengths.sum()):,} residues"
        equal = len(self.store) - len(self._plan.unique)
        note = f" ({equal:,} with the sequence of another are computed once)" if equal else ""
        return (
            f"{what} x {self.width} {self.dtype.name} = {self.size / 1e6:,.1f} MB "
            f"to {self.out}{note}"
        )

    def run(self, *, progress: bool = True, engine: Engine = local_engine) -> Path:
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
        if self.complete:
            return self.out
        with self._locked():
            if not self._folder.is_mine():
                raise InputError(
                    f"{self.out}: another process has finished or removed this job meanwhile; "
                    "run the same command again"
                )
            try:
                self._compute(progress, engine)
            except InputError:
                # It would be refused again, and stand in the way of any other.
                self._folder.remove()
                raise
            with self._writable():
                self._assemble()
                self._folder.remove()
        return self.out

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            with self._writable():
                stack.enter_context(sole_writer(self.out))
            yield

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Say which file cannot be written; around writing only: an engine has its own errors."""
        try:
            yield
        except Timeout:
            raise InputError(f"{self.out}: another process is writing this file") from None
        except LcPlmError:
            raise
        except OSError as error:
            # What stands in the way may be something in the folder of the job.
            where = "" if error.filename in (None, str(self.out)) else f": {error.filename}"
            raise ConfigError(
                f"{self.out} cannot be written ({error.strerror or error}{where})"
            ) from error

    def _take_up(self, overwrite: bool) -> SequenceStore | None:
        """Take up a job written down before; None if there is none."""
        finished, begun = _with_precision(info_of(self.out)), self._folder.identity()
        begun = _with_precision(begun)
        same = finished == _info(self.identity)
        resumed = begun == self.identity and not (same and not overwrite)
        if begun is not None and _info(begun) == finished and not resumed:
            # Killed between the last two steps: it is finished, only not yet tidied up.
            self._folder.remove()
            begun = None
        if self.out.exists() and not overwrite:
            self._check_existing(finished)
            self.complete = True
            if begun is None:
                self._folder.remove()
            return None
        if begun is None:
            return None
        if begun != self.identity:
            raise ConfigError(
                f"{self.parts} holds an unfinished job with {_differences(begun, self.identity)}; "
                "run that one to its end, or delete the folder to begin anew"
            )
        return self._folder.sequences()

    def _check_existing(self, finished: dict[str, Any] | None) -> None:
        wanted = _info(self.identity)
        if finished == wanted:
            return
        how = (
            f"was made with {_differences(finished, wanted)}"
            if finished
            else "does not say how it was made"
        )
        raise ConfigError(
            f"{self.out} is there already and {how}; give --overwrite to replace it, or another "
            "name"
        )

    def _begin(self, source: str | os.PathLike[str]) -> SequenceStore:
        """Write the job down; if that is refused, nothing is left."""
        self._folder.remove()
        try:
            store = store_sequences(source, self._folder.sequences_path)
            check_ids(self.out, store.ids)
            self.encoder.check_lengths(store.lengths, store.ids)
            self._folder.begin(self.identity)
        except BaseException:
            self._folder.remove()
            raise
        return store

    def _compute(self, progress: bool, engine: Engine) -> None:
        row = self.width * self.dtype.itemsize
        done = self._folder.progress([int(rows) * row for rows in self._plan.rows_before])
        due = range(done.batches, len(self._plan.batches))
        results = engine(self.encoder, self.recipe, (self._sequences(k) for k in due))
        with self._values(done) as file, self._bar(done.batches, progress) as bar:
            last = time.monotonic()
            for number, values in zip(due, results, strict=True):
                checked = self._checked(number, values).tobytes()
                with self._writable():
                    file.write(checked)
                done = done.after(checked)
                bar.update(self._plan.residues(number))
                if time.monotonic() - last > _SECONDS_BETWEEN_CHECKPOINTS:
                    self._checkpoint(file, done)
                    last = time.monotonic()
            self._checkpoint(file, done)

    @contextmanager
    def _values(self, done: Progress) -> Iterator[IO[bytes]]:
        with self._writable():
            file = self._folder.values(done)
        try:
            yield file
        finally:
            # What a full disk did not take is tried again here.
            with self._writable():
                file.close()

    def _checkpoint(self, file: IO[bytes], done: Progress) -> None:
        with self._writable():
            self._folder.checkpoint(file, done)

    def _bar(self, first: int, progress: bool) -> Any:
        return tqdm(
            total=int(self._plan.residues_before[-1]),
            initial=int(self._plan.residues_before[first]),
            unit="res",
            unit_scale=True,
            disable=not progress,
            desc=self.encoder.name,
        )

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
            names = self._bad_proteins(number, values)
            hint = "; write float32 instead" if self.dtype == np.float16 else ""
            raise InputError(
                f"{self.encoder.name} gives values that are not finite {self.dtype.name} for "
                f"{len(names)} proteins (for example {', '.join(map(repr, names[:3]))}){hint}"
            )
        return values

    def _bad_proteins(self, number: int, values: np.ndarray) -> list[str]:
        proteins = self._plan.proteins(number)
        counts = self.store.lengths[proteins] if self.per_residue else np.ones(len(proteins), int)
        owner = np.repeat(proteins, counts)
        bad = np.unique(owner[~np.isfinite(values).all(axis=1)])
        return [self.store.ids[int(i)] for i in bad]

    def _assemble(self) -> None:
        shape = (int(self._plan.rows_before[-1]), self.width)
        values = np.memmap(self._folder.values_path, self.dtype, "r", shape=shape)
        embeddings = Embeddings(
            self.store.ids,
            values,
            self._plan.starts,
            self.store.lengths if self.per_residue else None,
            _info(self.identity),
        )
        # In the folder of the job, so that a kill leaves nothing beside the output.
        temporary = self.parts / f"assembled{self.out.suffix}"
        self._write(temporary, embeddings)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self.out)


def _info(identity: dict[str, Any]) -> dict[str, Any]:
    """Return what a file says of how it was made: all that decides its values."""
    return {key: value for key, value in identity.items() if key != "max_tokens"}


def _with_precision(info: dict[str, Any] | None) -> dict[str, Any] | None:
    """Say of what was made before precision was written down that it is float32."""
    return {"precision": "float32", **info} if info else info


def _differences(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    other = [key for key, value in wanted.items() if there.get(key) != value]
    if "encoder" in other:  # whose fingerprint differs, too, and says no more
        other = [key for key in other if key != "encoder_fingerprint"]
    return ", ".join(f"{key} {there.get(key)!r}, not {wanted[key]!r}" for key in other)


def embed_fasta(
    source: str | os.PathLike[str],
    encoder: Encoder | str | Path,
    out: str | os.PathLike[str],
    *,
    progress: bool = True,
    engine: Engine = local_engine,
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
