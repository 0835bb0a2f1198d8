"""What a transform is, so that what it made is never taken for what another one makes."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

from lcplm_graph.own_code import is_installed


def transform_identity(transform: Callable[..., Any] | None) -> str | None:
    """Sha256 of a transform's pickled content, with the versions of the packages it comes from.

    Returns
    -------
    str or None
        None for what has no such identity: what cannot be pickled (lambdas, closures), and what
        holds code of one's own, which may change while its pickle stays as it is.

    Examples
    --------
    >>> from torch_geometric.transforms import Constant
    >>> transform_identity(Constant(1.0)) == transform_identity(Constant(2.0))
    False
    >>> transform_identity(lambda data: data) is None
    True
    """
    if transform is None:
        return "none"
    buffer = io.BytesIO()
    pickler = _Pickler(buffer)
    try:
        pickler.dump(transform)
    except Exception:  # whatever the objects within raise when they are pickled
        return None
    if not all(map(is_installed, pickler.packages)):
        return None
    versions = [_version(name) for name in sorted({*pickler.packages, "torch_geometric"})]
    return hashlib.sha256(f"{versions}".encode() + buffer.getvalue()).hexdigest()


class _Pickler(pickle.Pickler):
    """Notes the packages whose classes and functions a pickle names."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=4)
        self.packages: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        named = isinstance(obj, type | FunctionType | BuiltinFunctionType)
        module = getattr(obj if named else type(obj), "__module__", None) or "builtins"
        self.packages.add(module.partition(".")[0])
        return NotImplemented


def _version(package: str) -> str:
    return f"{package} {getattr(sys.modules.get(package), '__version__', '')}"
