"""Option classes to command lines: each field an option, its numpydoc text the help."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from lcplm_graph.option_files import MODE, know_options
from lcplm_graph.strings import without_secrets

T = TypeVar("T")
# A value of YAML may be as long as one likes.
_LONGEST = 500


def positional(
    *,
    metavar: str,
    nargs: str | None = None,
    default: Any = MISSING,
    stdin: bool = False,
    words: Callable[[], Sequence[str]] | None = None,
) -> Any:
    """Make a dataclass field that is given by its place, not by ``--name``.

    Parameters
    ----------
    metavar : str
        How the help calls it, for example ``INPUT.fasta``.
    nargs : str, optional
        As in `argparse`: ``?``, ``*`` or ``+``.
    default : optional
        Required if left out.
    stdin : bool
        Whether it is an input file, for which ``-`` stands for standard input.
    words : callable, optional
        What may stand there, for the completion of shells; choices of a type are known.
    """
    metadata = {"positional": True, "metavar": metavar, "nargs": nargs, "stdin": stdin}
    return _field(default, metadata | {"words": words})


def several(
    *, default: Any = MISSING, nargs: str = "+", metavar: str | None = None, stdin: bool = False
) -> Any:
    """Make a dataclass field whose option takes a list: ``--name A B C``."""
    return _field(default, {"nargs": nargs, "metavar": metavar, "stdin": stdin})


def input_file(*, default: Any = MISSING) -> Any:
    """Make a dataclass field of an input file, for which ``-`` stands for standard input."""
    return _field(default, {"stdin": True})


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'X'?"`` if a known word is near, else an empty text.

    Examples
    --------
    >>> did_you_mean("evalute", ["embed", "evaluate"])
    ", did you mean 'evaluate'?"
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def parse_options(cls: type[T], argv: Sequence[str] | None, name: str, description: str = "") -> T:
    """Read options from a command line and the YAML file it may name.

    Parameters
    ----------
    cls : type
        A dataclass; every field becomes an option, explained by the class's docstring.
    argv : sequence of str, optional
        Default: of this process.
    name, description : str
        For ``--help`` and errors.
    """
    parser = make_parser(cls, name, description)
    try:
        values = parser.parse_args(None if argv is None else list(argv)).as_dict()
    except UnicodeDecodeError:
        parser.error("the file of --config is not UTF-8; convert its encoding")
    values.pop("config", None)
    return cls(**values)


def make_parser(cls: type, name: str, description: str = "") -> Any:
    """Make the `jsonargparse` parser of an option class."""
    import jsonargparse

    class Parser(jsonargparse.ArgumentParser):
        def error(self, message: Any, ex: Any = None) -> NoReturn:
            text = without_secrets(_in_options(" ".join(str(message).split()), cls))
            known = [option for action in self._actions for option in action.option_strings]
            wrong = next((word for word in text.split() if word.startswith("--")), "")
            near = did_you_mean(wrong, known) if "nrecognized" in text else ""
            text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
            print(f"lcplm {name}: {text}{near}", file=sys.stderr)
            print(f"lcplm {name} --help lists the options.", file=sys.stderr)
            raise SystemExit(2)

    know_options()
    parser = Parser(prog=f"lcplm {name}", description=description.strip(), parser_mode=MODE)
    parser.add_argument("--config", action="config", help="YAML file of options")
    hints, texts = get_type_hints(cls), explanations(cls)
    for one in fields(cls):
        _add(parser, one, hints[one.name], texts[one.name])
    return parser


def _in_options(text: str, cls: type) -> str:
    """Say an error of the parser in the words of the command line."""
    own = {one.name: one for one in fields(cls)}
    if found := re.fullmatch(r"(the following arguments are required: )([\w, ]+)", text):
        return found[1] + ", ".join(_option(own.get(name), name) for name in found[2].split(", "))
    text = text.replace('Parser key "config": ', "--config: ")
    text = text.replace("Problems parsing config: ", "the file of --config: ")
    if text.startswith("Unexpected config:"):
        return "the file of --config holds no options, which are lines of NAME: VALUE"
    found = re.match(r'Parser key "(\w+)".*(?:Got|Given) value: ?(.*)', text)
    if found is None or found[1] not in own:
        return text
    hint = _item(get_type_hints(cls)[found[1]])
    kinds = [kind for kind in (hint, *get_args(hint)) if kind is not type(None)]
    wanted = next((_WANTED[kind] for kind in kinds if kind in _WANTED), "")
    for kind in kinds:
        if get_origin(kind) is Literal:
            wanted = f"one of {', '.join(map(repr, get_args(kind)))}"
    option = _option(own[found[1]], found[1])
    return f"{option} {found[2]}: give {wanted}" if wanted else text


_WANTED: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text"}


def _option(one: Field[Any] | None, name: str) -> str:
    if one is not None and one.metadata.get("positional"):
        return str(one.metadata.get("metavar") or name)
    return f"--{name.replace('_', '-')}"


def _add(parser: Any, one: Field[Any], hint: Any, text: str) -> None:
    import jsonargparse

    settings: dict[str, Any] = {"help": text}
    settings |= {k: one.metadata[k] for k in ("metavar", "nargs") if one.metadata.get(k)}
    default = one.default_factory() if one.default_factory is not MISSING else one.default
    names = dict.fromkeys((f"--{one.name.replace('_', '-')}", f"--{one.name}"))
    if hint is bool:
        # A plain flag, and true or false in YAML.
        settings |= {"action": jsonargparse.ActionYesNo(no_prefix="no-"), "default": default}
        parser.add_argument(*dict.fromkeys((f"--{one.name.replace('_', '-')}",)), **settings)
        return
    settings["type"] = _item(hint) if "nargs" in settings else hint
    if one.metadata.get("positional"):
        names = {one.name: None}
    elif default is MISSING:
        settings["required"] = True
    if default is not MISSING:
        settings["default"] = default
    parser.add_argument(*names, **settings)


def _item(hint: Any) -> Any:
    """Return X of ``list[X]``, ``tuple[X, ...]`` and their optional forms."""
    for option in (hint, *getattr(hint, "__args__", ())):
        if getattr(option, "__origin__", None) in (list, tuple):
            return option.__args__[0]
    return hint


def _field(default: Any, metadata: dict[str, Any]) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def explanations(cls: type) -> dict[str, str]:
    """Return the texts of the fields, from the numpydoc sections of the class and its bases."""
    import docstring_parser

    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        parsed = docstring_parser.parse(base.__doc__ or "")
        texts |= {p.arg_name: " ".join((p.description or "").split()) for p in parsed.params}
    return texts
