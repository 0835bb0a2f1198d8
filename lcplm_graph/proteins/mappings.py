"""Sequences as people hold them beside files: mappings of ids to sequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lcplm_graph.errors import InputError
from lcplm_graph.proteins.store import SequenceStore


def as_store(sequences: Any) -> SequenceStore:
    """Return a store as it is, and make one of a mapping.

    Parameters
    ----------
    sequences : SequenceStore, mapping of str to str, or pandas.Series indexed by id

    Raises
    ------
    InputError
        If it is something else, or an id is no text and no whole number.

    Examples
    --------
    >>> as_store({"a": "MKT", 7: "GA"}).ids
    ['a', '7']
    """
    if isinstance(sequences, SequenceStore):
        return sequences
    is_series = hasattr(sequences, "items") and getattr(sequences, "ndim", 0) == 1
    if not (isinstance(sequences, Mapping) or is_series):
        raise InputError(
            "sequences are a SequenceStore or a mapping of name to sequence, not "
            f"{type(sequences).__name__}"
        )
    names, texts = zip(*sequences.items(), strict=True) if len(sequences) else ((), ())
    return SequenceStore.from_records(id_list(names, "the sequences' ids"), texts)


def id_list(values: Iterable[Any], column: str) -> list[str]:
    """Return ids as text; whole numbers are written out, what is missing is refused.

    Raises
    ------
    InputError
        If one is neither, or empty, by its row.
    """
    found = list(values)
    for row, value in enumerate(found):
        if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
            raise InputError(
                f"row {row} of {column}: the id is {value!r}; ids are text (pandas reads ids such "
                "as NA as text with keep_default_na=False, and numbers with dtype=str)"
            )
        if not str(value).strip():
            raise InputError(f"row {row} of {column}: the id is empty")
    return [str(value) for value in found]
