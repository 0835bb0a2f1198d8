"""Code of users, which may change while its name stays: what it made is not taken for the same."""

from __future__ import annotations

import sys
import sysconfig
import uuid
import weakref
from pathlib import Path
from typing import Any

_STDLIB = Path(sysconfig.get_path("stdlib")).resolve()
_PACKAGES = {"site-packages", "dist-packages"}
_tokens: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def is_installed(package: str) -> bool:
    """Tell whether the code of a package only changes with its version.

    Examples
    --------
    >>> is_installed("torch"), is_installed("__main__")
    (True, False)
    """
    if package == __name__.partition(".")[0] or package in sys.builtin_module_names:
        return True
    place = getattr(sys.modules.get(package), "__file__", None)
    return package != "__main__" and place is not None and _is_library(place)


def _is_library(place: str) -> bool:
    folders = Path(place).resolve().parents
    return _STDLIB in folders or any(folder.name in _PACKAGES for folder in folders)


def code_identity(code: Any) -> str:
    """Name a function, callable or class; one of a user's own is itself, for this process only.

    Parameters
    ----------
    code : callable
        A hook, a patched method, a class.
    """
    owner, function = getattr(code, "__self__", None), getattr(code, "__func__", code)
    place = getattr(getattr(function, "__code__", None), "co_filename", None)
    named = function if isinstance(function, type) else type(function)
    package = named.__module__.partition(".")[0]
    if _is_library(place) if place else is_installed(package):
        return f"{getattr(function, '__qualname__', named.__qualname__)}"
    return f"{_token(function)}{'' if owner is None else _token(owner)}"


def _token(thing: Any) -> str:
    try:
        return _tokens.setdefault(thing, uuid.uuid4().hex)
    except TypeError:  # neither hashed nor remembered
        return uuid.uuid4().hex
