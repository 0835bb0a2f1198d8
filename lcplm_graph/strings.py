"""Lists of strings from whatever holds strings in an order: the one door for sequences and ids.

People hold sequences in lists, table columns, arrays, dictionaries and generators.  Taken by
position, some of these give other rows than they show (a pandas Series looks integers up in its
index), and some give names instead of contents (a table gives its columns).
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lcplm_graph.errors import InputError, UnknownNameError

# Paths make one slash of two.
_USER = re.compile(r"(\w+:/+)[^\s/?#@'\"]+@")
_QUERY = re.compile(r"(\w+:/+[^\s?'\"]*)\?[^\s'\")>]+")


def without_secrets(text: str) -> str:
    """Return a text without what may be secret in its URLs: user, password, and query.

    Examples
    --------
    >>> without_secrets("https://me:secret@host.org/a.gz?token=1: no such file")
    'https://...@host.org/a.gz?... no such file'
    """
    return _QUERY.sub(r"\1?...", _USER.sub(r"\1...@", text))


def string_list(values: Any, what: str = "sequences", records: Sequence[str] = ()) -> list[str]:
    """Make a list of the strings in `values`, in the order in which they are shown.

    Parameters
    ----------
    values : iterable of str
        List, tuple, generator, view of a dictionary, NumPy array, column of pandas, Polars or
        Arrow, `SequenceStore`, ...
    what : str
        What they are, in the plural, for messages.
    records : sequence of str
        Ids of the proteins they belong to, for messages.

    Returns
    -------
    list of str
        A new one.

    Raises
    ------
    InputError
        If it is one string, bytes, a file, a table, a mapping, a set or a graph, which have no
        strings in a known order; or if one of its elements is not a string, by its number.

    Examples
    --------
    >>> import pandas as pd
    >>> string_list(pd.Series(["MKT", "GA"], index=[1, 0]))
    ['MKT', 'GA']
    >>> string_list({"a": "MKT"}.values())
    ['MKT']
    """
    wrong = _what_it_is(values)
    if wrong:
        raise InputError(f"{what}: expected a list of strings, got {wrong}")
    # Arrow's own scalars are not strings.
    given = values.to_pylist() if hasattr(values, "to_pylist") else values
    try:
        strings = list(given)
    except TypeError:
        kind = type(values).__name__
        raise InputError(f"{what}: expected a list of strings, got {kind} {values!r:.60}") from None
    for i, text in enumerate(strings):
        if type(text) is str:
            continue
        if not isinstance(text, str):
            which = f"that of {records[i]!r}" if i < len(records) else f"number {i} (from 0)"
            raise InputError(
                f"{what}: expected strings, but {which} is "
                f"{_element(text)} of type {type(text).__name__}"
            )
        # Of NumPy, or an enumeration, whose own __str__ gives another text.
        strings[i] = str.__str__(text)
    return strings


def as_path(value: Any) -> Path:
    """Return where a file or folder is, if it is a text or a path.

    Raises
    ------
    InputError
        If it is something else.

    Examples
    --------
    >>> as_path("proteins.fasta").suffix
    '.fasta'
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise InputError(f"a file is named by a text or a path, not by {value!r:.60}")
    return Path(value)


def one_of(value: Any, what: str, choices: Iterable[str]) -> str:
    """Return a word that is one of several as it is.

    Raises
    ------
    UnknownNameError
        If it is not, with those that there are.

    Examples
    --------
    >>> one_of("exact", "engine", ("exact", "faiss"))
    'exact'
    """
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise UnknownNameError(f"no {what} {value!r:.60}; choose one of {', '.join(choices)}")
    return value


def string_pairs(values: Any, what: str = "pairs") -> list[tuple[str, str]]:
    """Make a list of the pairs of strings in `values`.

    Parameters
    ----------
    values : iterable of pairs of str
        Also a NumPy array of shape (n, 2), or a table of two columns of pandas, Polars or Arrow.
    what : str
        What they are, in the plural, for messages.

    Raises
    ------
    InputError
        As `string_list`, or if an element is not a pair, by its number.

    Examples
    --------
    >>> string_pairs(zip(["MKT", "GA"], ["MV", "MW"]))
    [('MKT', 'MV'), ('GA', 'MW')]
    """
    columns = _columns(values)
    if columns is not None:
        if len(columns) != 2:
            raise InputError(f"{what}: expected a table of two columns, got {len(columns)}")
        first, second = (string_list(column, what) for column in columns)
        return list(zip(first, second, strict=True))
    wrong = _what_it_is(values)
    if wrong:
        raise InputError(f"{what}: expected a list of pairs of strings, got {wrong}")
    if not isinstance(values, Iterable):
        raise InputError(f"{what}: expected a list of pairs of strings, got {values!r:.60}")
    pairs = []
    for i, pair in enumerate(values.to_pylist() if hasattr(values, "to_pylist") else values):
        ends = string_list(pair, f"{what}, number {i} (from 0)")
        if len(ends) != 2:
            raise InputError(f"{what}: number {i} (from 0) has {len(ends)} strings, not 2")
        pairs.append((ends[0], ends[1]))
    return pairs


def _what_it_is(values: Any) -> str | None:
    """Say what is wrong with something whose elements are not the strings it seems to hold."""
    kind = type(values).__name__
    if isinstance(values, str):
        return "one string; wrap it in a list"
    if isinstance(values, (bytes, bytearray, memoryview)):
        return f"{kind}; decode it, and wrap it in a list"
    if isinstance(values, (io.IOBase, os.PathLike)):
        return f"a file ({values!r:.60}); read it first, as with SequenceStore.from_fasta"
    if isinstance(values, (set, frozenset)):
        return "a set, which has no order; sort it into a list"
    if isinstance(values, Mapping):
        return "a mapping, whose elements are its keys; give its .values()"
    if _columns(values) is not None or hasattr(values, "columns"):
        return f"a table ({kind}), whose elements are its columns; give one column"
    if hasattr(values, "adj") and hasattr(values, "nodes"):
        return f"a graph ({kind}); give the strings its nodes hold"
    if hasattr(values, "sequences") and not isinstance(values, (list, tuple)):
        return f"a dataset ({kind}); give its .sequences"
    # Such as Bio.Seq.Seq, whose elements are letters; arrays have methods of text too.
    if hasattr(values, "translate") and not hasattr(values, "dtype"):
        return f"one text ({kind}); wrap its str() in a list"
    return None


def _columns(values: Any) -> list[Any] | None:
    """Columns of a table of pandas, Polars or Arrow."""
    if hasattr(values, "get_columns"):
        return list(values.get_columns())
    if hasattr(values, "column_names") and hasattr(values, "column"):
        return [values.column(i) for i in range(values.num_columns)]
    if hasattr(values, "iloc") and getattr(values, "ndim", 1) == 2:
        return [values.iloc[:, i] for i in range(values.shape[1])]
    return None


def _element(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return f"{value!r:.60}, to be decoded first,"
    return f"{value!r:.60}"
