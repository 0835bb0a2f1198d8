"""What option classes of several commands ask alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from numbers import Integral
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lcplm_graph.errors import ConfigError
from lcplm_graph.strings import one_of


def check_choices(options: Any) -> None:
    """Refuse an option that is not one of the words of its type, as `Literal["a", "b"] | None`.

    Command lines do so themselves; in Python a word that means nothing was taken for another one.

    Parameters
    ----------
    options : dataclass

    Raises
    ------
    UnknownNameError
    """
    for name, hint in get_type_hints(type(options)).items():
        kinds = [hint, *get_args(hint)]
        words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
        value = getattr(options, name)
        if words and not (value is None and type(None) in kinds):
            one_of(value, name, words)


def options_given(options: Any, names: Sequence[str]) -> list[str]:
    """Return options that are not as by default, as they are typed.

    Parameters
    ----------
    options : dataclass
    names : sequence of str
        Of its fields.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Options:
    ...     steps: int = 5
    ...     save_head: str | None = None
    ...     homologues: bool = True
    >>> options_given(Options(save_head="x", homologues=False), ("save_head", "homologues"))
    ['--save-head', '--no-homologues']
    """
    written = []
    for one in fields(options):
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if one.name in names and getattr(options, one.name) != default:
            written.append(f"--{'no-' if default is True else ''}{one.name.replace('_', '-')}")
    return written


def check_counts(options: Any, *names: str, least: int = 1, typed: bool = False) -> None:
    """Refuse options that count something and are no whole number from `least`; None passes.

    Parameters
    ----------
    options : dataclass
    *names : str
        Of its fields.
    least : int
    typed : bool
        Name them as they are typed, ``--top``: classes that command lines alone make.

    Raises
    ------
    ConfigError
        Naming the first one.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> check_counts(SimpleNamespace(steps=5, epochs=None), "steps", "epochs")
    """
    for name in names:
        value = getattr(options, name)
        if value is not None:
            check_count(value, f"--{name.replace('_', '-')}" if typed else name, least)


def check_count(value: Any, what: str, least: int = 1) -> None:
    """Refuse what is no whole number from `least`.

    Parameters
    ----------
    value : object
    what : str
        What it is called, for the message.
    least : int

    Raises
    ------
    ConfigError
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ConfigError(f"{what} must be a whole number, not {value!r:.60}")
    if value < least:
        raise ConfigError(f"{what} must be at least {least}, not {value}")


def check_annotations(options: Any) -> None:
    """Refuse annotation files without an ontology, and what goes with them where there are none.

    Parameters
    ----------
    options : dataclass
        With `data`, `annotations`, `ontology` and `sequences`.

    Raises
    ------
    ConfigError
    """
    if options.annotations is None:
        if given := options_given(options, ("ontology", "sequences", "later_annotations")):
            raise ConfigError(f"{', '.join(given)} goes with --annotations; give those, too")
    elif options.ontology is None:
        raise ConfigError("--annotations needs --ontology, an OBO file")
    elif given := options_given(options, ("data",)):
        raise ConfigError(f"{given[0]} and --annotations both say what to learn; give one of them")


def check_threshold(threshold: float) -> None:
    """Refuse a least probability that is none.

    Raises
    ------
    ConfigError
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"--threshold {threshold}: a probability is from 0 to 1")
