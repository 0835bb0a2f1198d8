"""Named things of one kind: ours, and those that other installed packages add by entry points."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from lcplm_graph.errors import ConfigError, LcPlmError, PluginError, UnknownNameError
from lcplm_graph.io import warn_once

T = TypeVar("T")
M = TypeVar("M")


class Registry(Generic[T]):
    """Names of one kind and what they stand for, imported when it is asked for.

    A package adds to it by an entry point of the registry's group in its ``pyproject.toml``::

        [project.entry-points."lcplm_graph.heads"]
        mine = "my_package.heads:MyHead"

    A name that is taken stays with the package that had it first: ours, then the others in the
    order of their names; a warning says so.

    Parameters
    ----------
    kind : str
        What is registered, for messages: ``"head"``.
    group : str
        Name of the entry-point group.
    **ours : str
        Where our own lie: ``name="package.module:attribute"``, or a module alone.

    Attributes
    ----------
    changes : int
        How often a name was added or removed.

    Examples
    --------
    >>> numbers = Registry("number", "lcplm_graph.numbers", pi="math:pi")
    >>> numbers.names(), numbers["pi"]
    (('pi',), 3.141592653589793)
    """

    def __init__(self, kind: str, group: str, **ours: str) -> None:
        self.kind, self.group = kind, group
        self._ours = {name: EntryPoint(name, place, group) for name, place in ours.items()}
        self._loaded: dict[str, T] = {}
        self.changes = 0

    def add(self, name: str, value: T | str) -> None:
        """Register a thing, or the place it is imported from, in this process alone.

        Raises
        ------
        PluginError
            If the name is taken.
        """
        if name in self._places or name in self._loaded:
            raise PluginError(f"there is a {self.kind} {name!r} already; choose another name")
        self.changes += 1
        if isinstance(value, str):
            self._places[name] = EntryPoint(name, value, self.group)
        else:
            self._loaded[name] = value

    def remove(self, name: str) -> None:
        """Forget a name."""
        self.changes += 1
        self._places.pop(name, None)
        self._loaded.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """Return all names: ours, then those of other packages."""
        return tuple(dict.fromkeys([*self._places, *self._loaded]))

    def is_ours(self, name: str) -> bool:
        """Whether this package itself brings the thing."""
        return name in self._ours

    def owner(self, name: str) -> str:
        """Return the package that brings a name, for messages."""
        return _package(self._places[name]) if name in self._places else "this process"

    def make(self, name: str, *arguments: Any, base: Callable[..., M], **options: Any) -> M:
        """Call what a name stands for and return what it makes.

        Parameters
        ----------
        name : str
        *arguments, **options
            Of the call.
        base : type
            What it must be an instance of; it may be abstract.

        Raises
        ------
        UnknownNameError
            If the name is not known.
        ConfigError
            If it does not take these arguments.
        PluginError
            If another package's code cannot be imported, fails, or makes something else.
        """
        call: Any = self[name]
        if not callable(call):
            raise PluginError(f"{self._said(name)} cannot be called; it is {call!r}")
        if not self.is_ours(name):
            _check_arguments(call, self._said(name), arguments, options)
        try:
            made = call(*arguments, **options)
        except LcPlmError:
            raise
        except Exception as error:
            if self.is_ours(name):
                raise
            raise PluginError(
                f"{self._said(name)} failed: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, cast(type, base)):
            raise PluginError(
                f"{self._said(name)} makes a {type(made).__name__}, not a "
                f"{cast(type, base).__name__}"
            )
        return cast(M, made)

    def _said(self, name: str) -> str:
        return f"the {self.kind} {name!r} of the package {self.owner(name)}"

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._loaded

    def __getitem__(self, name: str) -> T:
        """Return what a name stands for.

        Raises
        ------
        UnknownNameError
            If the name is not known.
        PluginError
            If the package that has the name cannot be imported.
        """
        if not isinstance(name, str):
            raise UnknownNameError(f"a {self.kind} is named by a text, not by {name!r:.60}")
        try:
            return self._loaded[name]
        except KeyError:
            pass
        if name not in self._places:
            known = ", ".join(self.names())
            raise UnknownNameError(f"unknown {self.kind} {name!r}; known: {known}")
        self._loaded[name] = value = self._load(self._places[name])
        return value

    @cached_property
    def _places(self) -> dict[str, EntryPoint]:
        places = dict(self._ours)
        for found in sorted(entry_points(group=self.group), key=lambda e: (_package(e), e.name)):
            if places.setdefault(found.name, found) != found:
                warn_once(
                    f"the {self.kind} {found.name!r} of the package {_package(found)} is left out: "
                    f"the name belongs to {_package(places[found.name])}"
                )
        return places

    def _load(self, place: EntryPoint) -> T:
        if place.name in self._ours:
            return cast(T, place.load())
        try:
            return cast(T, place.load())
        except Exception as error:
            raise PluginError(
                f"the {self.kind} {place.name!r} of the package {_package(place)} cannot be "
                f"imported from {place.value}: {type(error).__name__}: {error}"
            ) from error


def _check_arguments(call: Any, said: str, arguments: Any, options: dict[str, Any]) -> None:
    try:
        inspect.signature(call).bind(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"{said} does not take these options: {error}") from error
    except ValueError:
        # Some compiled callables have no signature to look at.
        return


def _package(place: EntryPoint) -> str:
    owner: Any = place.dist
    return owner.name if owner else "lcplm-graph"
