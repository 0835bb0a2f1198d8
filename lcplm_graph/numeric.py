"""Arrays of numbers from whatever holds numbers: the one door for scores, weights, and tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, KeysView, ValuesView
from typing import Any

import numpy as np
import numpy.typing as npt

from lcplm_graph.errors import DataError, InputError

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]


def numbers(values: Any, what: str) -> FloatArray:
    """Return `values` as float64.

    Parameters
    ----------
    values : array_like
        Also a column of pandas or Arrow, or a tensor on any device.
    what : str
        What they are, in the plural, for messages.

    Raises
    ------
    InputError
        If they are not numbers.
    """
    try:
        array = np.asarray(_walked_through(values))
        if array.dtype.kind == "c":
            raise TypeError("complex ones would lose a part")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be numbers: {error}") from error


def one_each(values: Any, what: str) -> npt.NDArray[Any]:
    """Return classes, labels or groups, one for each item, as an array of their own type.

    Raises
    ------
    InputError
        If they are not a list or an array of one axis, or some are numbers and some are not.

    Examples
    --------
    >>> one_each((name for name in "ab"), "groups").tolist()
    ['a', 'b']
    """
    array = np.asarray(_walked_through(values))
    if array.ndim != 1:
        found = type(values).__name__ if not array.ndim else f"an array of shape {array.shape}"
        raise InputError(f"{what} must be one for each item in a list or array, not {found}")
    if array.dtype != object:
        return array
    kinds = {np.asarray(one).dtype.kind for one in array}
    if len(kinds) > 1 or not kinds <= set("biufUS"):
        raise InputError(f"{what} must all be numbers, or all be texts; there are other things")
    return np.array(array.tolist())


def _walked_through(values: Any) -> Any:
    """Make something NumPy takes of tensors and of what has to be walked through."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        return values.double().numpy() if values.is_floating_point() else values.numpy()
    return list(values) if isinstance(values, Iterator | ValuesView | KeysView) else values


def whole_number(value: Any, what: str, least: int = 1) -> int:
    """Return a number of things as int; it is whole and at least `least`.

    Raises
    ------
    InputError
        If it is not.

    Examples
    --------
    >>> whole_number(np.int64(3), "bins")
    3
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise InputError(f"{what} must be a whole number from {least}, not {value!r:.60}")
    return int(value)


def real_number(value: Any, what: str) -> float:
    """Return a number of Python or NumPy as it is.

    Raises
    ------
    InputError
        If it is something else.

    Examples
    --------
    >>> real_number(0.5, "ratio")
    0.5
    """
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise InputError(f"{what} must be a number, not {value!r:.60}")
    return value  # type: ignore[return-value]  # NumPy's numbers, too


def flag(value: Any, what: str) -> bool:
    """Return True or False as it is; "no" would be taken for True.

    Raises
    ------
    InputError
        If it is something else.

    Examples
    --------
    >>> flag(np.True_, "weighted")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{what} must be True or False, not {value!r:.60}")
    return bool(value)


def is_number(text: str) -> bool:
    """Tell whether a cell of a table reads as a number, NaN and infinity included."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def finite(values: Any, what: str) -> FloatArray:
    """Return `values` as float64, none of them NaN or infinite.

    Raises
    ------
    InputError
        If they are not numbers, or one of them is not finite.

    Examples
    --------
    >>> finite([1, 2.5], "scores").tolist()
    [1.0, 2.5]
    """
    array = numbers(values, what)
    bad = ~np.isfinite(array)
    if bad.any():
        raise InputError(f"{int(bad.sum())} of {array.size} {what} are NaN or infinite")
    return array


def edge_weights(
    values: Any, pairs: Any, what: str = "edge_weight", *, highest: float = 1.0
) -> FloatArray:
    """Return one weight for each edge, all in [0, `highest`].

    Parameters
    ----------
    values : array_like
    pairs : array_like, shape=(m, 2)
        The edges.
    what : str
        The weights' name, for messages.
    highest : float
        Infinity allows all that are finite and not negative.

    Raises
    ------
    InputError
        If there are more or fewer, or one of them is NaN or outside; by its edge.
    """
    array = numbers(values, what)
    if array.shape != (len(pairs),):
        raise InputError(
            f"{what} has the shape {array.shape} for {len(pairs)} edges; give one number for each"
        )
    wrong = ~((array >= 0) & (array <= highest) & np.isfinite(array))
    if wrong.any():
        first = int(np.argmax(wrong))
        allowed = f"in [0, {highest:g}]" if np.isfinite(highest) else "finite and not negative"
        raise InputError(
            f"{what}[{first}] of the pair {np.asarray(pairs[first]).tolist()} is {array[first]:g}; "
            f"weights must be {allowed}"
        )
    return array


def map_array(path: str | os.PathLike[str], advice: str, dtype: Any = None) -> np.ndarray:
    """Map a NumPy array that the toolkit wrote.

    A header that promises more than the file holds is refused at once, as nothing is read.

    Parameters
    ----------
    path : path-like
    advice : str
        What to do where it is damaged.
    dtype : dtype-like, optional
        What it must be.

    Raises
    ------
    DataError
        If it is missing, damaged or of another dtype.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        right = isinstance(array, np.ndarray) and (dtype is None or array.dtype == dtype)
    except Exception as error:  # the parser of the header raises nearly anything
        text = " ".join(str(error).split())
        raise DataError(f"cannot be read as an array ({text}); {advice}", path=path) from error
    if not right:
        raise DataError(f"is no array of {dtype or 'numbers'}; {advice}", path=path)
    return array
