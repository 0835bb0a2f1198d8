"""Exceptions and warnings of lcplm-graph.

Every error a user can cause is a subclass of `LcPlmError` whose message says in one
sentence what was wrong, where, and what to do: lower case, advice after a semicolon, no full
stop, so that it reads well behind ``lcplm NAME:``.  Classes also derive from the built-in
exception a caller would expect, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

import re
import signal
from os import PathLike


class LcPlmError(Exception):
    """Base class of all errors raised on purpose by lcplm-graph."""

    def __init__(self, *arguments: object) -> None:
        # What a damaged file says may be megabytes long.
        super().__init__(*(shortened(a) if isinstance(a, str) else a for a in arguments))


class SequenceError(LcPlmError, ValueError):
    """A protein sequence is empty or holds a character that is not a letter."""


class InputError(LcPlmError, ValueError):
    """An argument has the wrong shape, dtype, device or value."""


class ConfigError(LcPlmError, ValueError):
    """A configuration or a combination of options makes no sense."""


class UnknownNameError(ConfigError, KeyError):
    """A preset, dataset, encoder or other name is not known; the message lists those that are."""

    __str__ = Exception.__str__


class CheckpointError(LcPlmError, ValueError):
    """A checkpoint is missing, damaged, or does not fit the model."""


class BackendError(LcPlmError, RuntimeError):
    """A compute backend was asked for that cannot run here."""


class PluginError(LcPlmError, RuntimeError):
    """What another installed package adds by an entry point cannot be used."""


class DataError(LcPlmError, ValueError):
    """A data file does not hold what it should.

    Parameters
    ----------
    message : str
        What is wrong and what to do about it.
    path : path-like, optional
        The file; put in front of the message.
    line : int, optional
        Line number, counted from 1.
    record : str, optional
        Identifier of the offending record.

    Examples
    --------
    >>> print(DataError("score 1200 is above 1000", path="links.txt", line=7))
    links.txt, line 7: score 1200 is above 1000
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | PathLike[str] | None = None,
        line: int | None = None,
        record: str | None = None,
    ) -> None:
        self.path, self.line, self.record, self.reason = path, line, record, message
        where = [str(path)] if path is not None else []
        if line is not None:
            where.append(f"line {line}")
        if record is not None:
            where.append(f"record {shortened(str(record))!r}")
        shown = shortened(message)
        super().__init__(f"{', '.join(where)}: {shown}" if where else shown)

    def within(self, path: str | PathLike[str]) -> DataError:
        """Return the same error with the file it was found in."""
        return DataError(self.reason, path=path, line=self.line, record=self.record)


def shortened(text: str) -> str:
    """Cut the words of damaged files, which may be megabytes long, so that a sentence remains.

    Examples
    --------
    >>> len(shortened("A" * 5000)), len(shortened("folder/" * 100))
    (63, 700)
    """
    return re.sub(r"([^\s/]{60})[^\s/]{140,}", r"\1...", text)


class WriteError(LcPlmError, OSError):
    """A file could not be written: the disk is full, or the folder may not be written."""

    __str__ = Exception.__str__


class DownloadError(LcPlmError, OSError):
    """A file could not be fetched; the message says from where and where to put it by hand."""

    __str__ = Exception.__str__


class ChecksumError(DownloadError):
    """A file is there but its sha256 is not the expected one."""


class LeakageError(LcPlmError, ValueError):
    """Training and held-out data share what they must not share."""


class TrainingError(LcPlmError, RuntimeError):
    """Training cannot go on, for example because the loss is not finite."""


class Interrupted(Exception):
    """A training run was asked to stop, and has saved.

    Parameters
    ----------
    signum : int
        The signal.
    path : path-like
        The checkpoint.
    """

    def __init__(self, signum: int, path: str | PathLike[str]) -> None:
        self.signum, self.path = signum, path
        super().__init__(f"stopped by {signal.Signals(signum).name}; saved as {path}")


class LcPlmWarning(UserWarning):
    """Category of all warnings raised by lcplm-graph."""
