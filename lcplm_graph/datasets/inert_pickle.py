"""Unpickle containers, text and numbers, and nothing that runs code.

`pickle.load` runs whatever a pickle names.  This unpickler resolves a short fixed list of names:
NumPy arrays of numbers become inert objects that are decoded from their bytes where they are asked
for, NumPy scalars are decoded at once, and the byte strings of old protocols are encoded as
Latin-1.  Any other name is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import numpy as np
import numpy.typing as npt


def inert_loads(raw: bytes) -> Any:
    """Read a pickle.

    Raises
    ------
    Exception
        Of any kind, from damaged bytes; `pickle.UnpicklingError` if a name is not allowed.
    """
    for operation, place, _ in pickletools.genops(raw):
        # The unpickler makes room for all places up to the one that is named: gigabytes.
        if operation.name in _PUTS and int(place or 0) > len(raw):
            raise pickle.UnpicklingError(f"it names the place {place} in {len(raw)} bytes")
    return _Unpickler(io.BytesIO(raw)).load()


class _Inert:
    """Stands for a NumPy object: takes all, does nothing."""

    def __init__(self, *args: Any) -> None:
        self.args, self.state = args, ()

    def __setstate__(self, state: Any) -> None:
        """Keep the content."""
        self.state = state if isinstance(state, tuple) else ()


class InertArray(_Inert):
    """A NumPy array as its pickle describes it."""

    def decoded(self) -> npt.NDArray[Any] | None:
        """Return the numbers, or None if it holds something else or is damaged."""
        try:
            if self.state:
                _, shape, dtype, fortran, raw = self.state
                order = "F" if fortran else "C"
            else:
                raw, dtype, shape, order = self.args
            kind = _number_type(dtype)
            flat = np.frombuffer(raw, kind)
            return flat.reshape(shape, order=order)
        except (TypeError, ValueError, IndexError, AttributeError, pickle.UnpicklingError):
            return None


def _number_type(dtype: _Inert) -> np.dtype[Any]:
    code = str(dtype.args[0])
    if code[:1] not in {"i", "u", "f", "b"}:
        raise pickle.UnpicklingError(f"a NumPy scalar of type {code!r} is not allowed")
    found = np.dtype(code)
    return found.newbyteorder(">") if len(dtype.state) > 1 and dtype.state[1] == ">" else found


def _scalar(dtype: _Inert, raw: bytes) -> Any:
    return np.frombuffer(raw, _number_type(dtype))[0].item()


def _latin1(text: str, _encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_ALLOWED = {
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): _Inert,
    ("numpy", "dtype"): _Inert,
    **{
        (f"{core}.{module}", name): value
        for core in ("numpy.core", "numpy._core")
        for module, name, value in (
            ("multiarray", "_reconstruct", InertArray),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", InertArray),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    """Resolves the names of `_ALLOWED` only."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in data") from None
