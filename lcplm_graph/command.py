"""Command lines made of option classes: one parser, one manner of errors and of exit codes.

A command is a frozen dataclass of options, whose numpydoc ``Parameters`` are the help texts, and a
function that takes one and prints.  ``--config FILE.yaml`` and ``--print_config`` come with every
command.  Exit codes: 0, 1 for an error that the message explains, 2 for a wrong command line, 130
after Ctrl-C.
"""

from __future__ import annotations

import difflib
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import MISSING, Field, dataclass, field, fields
from types import FrameType
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from lcplm_graph.errors import ConfigError, Interrupted, LcPlmError, LcPlmWarning
from lcplm_graph.io import FULL
from lcplm_graph.locks import claimed_output
from lcplm_graph.option_files import MODE, know_options
from lcplm_graph.strings import options_given, without_secrets

T = TypeVar("T")


#: What Ctrl-C leaves behind where proteins are embedded.
KEPT_EMBEDDINGS = "embeddings computed so far are kept, and the same command takes them up"


@dataclass(frozen=True)
class Command:
    """One command of a family such as ``lcplm evaluate link | function | homology``.

    Attributes
    ----------
    options : type
        Its dataclass of options.
    run : callable
        Takes the options, prints, and returns an exit status or None.
    text : str
        What it does, in one line.
    kept : str
        What Ctrl-C leaves behind, for the sentence that is printed then.
    """

    options: type
    run: Callable[[Any], int | None]
    text: str
    kept: str = "nothing half written is left"


@dataclass(frozen=True, kw_only=True)
class PageOption:
    """The option of commands whose results can be sent as a page.

    Parameters
    ----------
    report
        Also write one HTML file that can be sent: conclusion, table, figures, data, command.
    """

    report: str | None = None

    def __post_init__(self) -> None:
        if self.report is not None and not self.report.lower().endswith((".html", ".htm")):
            raise ConfigError(f"--report {self.report}: a report is a web page; name it FILE.html")


def positional(*, metavar: str, nargs: str | None = None, default: Any = MISSING) -> Any:
    """Make a dataclass field that is given by its place, not by ``--name``.

    Parameters
    ----------
    metavar : str
        How the help calls it, for example ``INPUT.fasta``.
    nargs : str, optional
        As in `argparse`: ``?``, ``*`` or ``+``.
    default : optional
        Required if left out.
    """
    return _field(default, {"positional": True, "metavar": metavar, "nargs": nargs})


def several(*, default: Any = MISSING, nargs: str = "+", metavar: str | None = None) -> Any:
    """Make a dataclass field whose option takes a list: ``--name A B C``."""
    return _field(default, {"nargs": nargs, "metavar": metavar})


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


def run_command(
    name: str,
    options: type[T],
    run: Callable[[T], int | None],
    argv: Sequence[str] | None = None,
    description: str = "",
    kept: str = Command.kept,
    locks_out: bool = True,
) -> int:
    """Parse a command line, run the command, and return its exit status.

    Parameters
    ----------
    name : str
        As it is typed after ``lcplm``; it stands in front of every error.
    options : type
        Dataclass of the options.
    run : callable
        What to do with them.
    argv : sequence of str, optional
        Default: of this process.
    description : str
        For ``--help``.
    kept : str
        What Ctrl-C leaves behind.
    locks_out : bool
        Keep other commands away from ``--out``; False where `run` does so itself.
    """
    if _asked is not None:
        _asked[name] = options
        return 0

    def act() -> int | None:
        chosen = parse_options(options, argv, name, description)
        written = [getattr(chosen, "out", None) if locks_out else None]
        written += [getattr(chosen, name, None) for name in ("report", "figures")]
        with ExitStack() as held:
            # What two commands write at once would get mixed up.
            for path in dict.fromkeys(filter(None, written)):
                held.enter_context(claimed_output(path, "another command writes"))
            return run(chosen)

    return guarded(name, act, kept)


#: Where commands put their options instead of running, while `option_classes` asks for them.
_asked: dict[str, type] | None = None


def option_classes(mains: Iterable[Callable[[list[str]], int]]) -> dict[str, type]:
    """Return the option class of every command that these functions run, by its name."""
    global _asked
    _asked = {}
    try:
        for main in mains:
            main([])
        return _asked
    finally:
        _asked = None


def run_subcommand(
    name: str,
    commands: Mapping[str, Command],
    argv: Sequence[str] | None = None,
    description: str = "",
) -> int:
    """Run one command of a family by the first word of the command line; see `run_command`."""
    if _asked is not None:
        _asked.update({f"{name} {key}": command.options for key, command in commands.items()})
        return 0
    words = sys.argv[1:] if argv is None else list(argv)
    texts = {key: command.text for key, command in commands.items()}
    chosen = choose(f"lcplm {name}", texts, words, description)
    if chosen is None:
        return 0
    command = commands[chosen]
    full = f"{name} {chosen}"
    return run_command(full, command.options, command.run, words[1:], command.text, command.kept)


def choose(
    prog: str, texts: Mapping[str, str], words: Sequence[str], description: str = ""
) -> str | None:
    """Return the command that `words` begin with, or None after printing what there is.

    Raises
    ------
    SystemExit
        With status 2, if there is no such command.
    """
    if words and words[0] in texts:
        return words[0]
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, texts))
        print(f"usage: {prog} COMMAND ...\n")
        if description:
            print(f"{description.strip()}\n")
        print("\n".join(f"  {name:{width}}  {text}" for name, text in texts.items()))
        print(f"\n{prog} COMMAND --help lists the options of a command.")
        return None
    near = did_you_mean(words[0], texts)
    print(f"{prog}: unknown command {words[0]!r}{near}; known: {', '.join(texts)}", file=sys.stderr)
    raise SystemExit(2)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'X'?"`` if a known word is near, else an empty text.

    Examples
    --------
    >>> did_you_mean("evalute", ["embed", "evaluate"])
    ", did you mean 'evaluate'?"
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


# A value of YAML may be as long as one likes.
_LONGEST = 500


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
    settings |= {k: v for k, v in one.metadata.items() if k != "positional" and v is not None}
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


def guarded(name: str, action: Callable[[], int | None], kept: str = Command.kept) -> int:
    """Turn expected errors, Ctrl-C and a closed pipe into a sentence and an exit code.

    Parameters
    ----------
    name : str
        Of the command, for messages; empty for all of them.
    action : callable
    kept : str
        What Ctrl-C leaves behind.
    """
    # Idle threads of OpenMP spin by default, and on busy cores take the time of those that work.
    # Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    prefix = f"lcplm {name}".rstrip()
    _open_closed_streams()
    try:
        with _short_warnings(prefix), _any_letter(), _imports_in_one_piece():
            try:
                return action() or 0
            finally:
                # Also before SystemExit of --help: afterwards no one would catch a closed pipe.
                sys.stdout.flush()
    except LcPlmError as error:
        print(f"{prefix}: {without_secrets(str(error))}", file=sys.stderr)
        return 1
    except PermissionError as error:
        # Even to ask whether a path exists is refused in a folder that may not be looked into.
        if error.filename is None:
            raise
        print(
            f"{prefix}: {error.filename}: permission denied; name a path that you may use",
            file=sys.stderr,
        )
        return 1
    except Interrupted as stop:
        print(f"{prefix}: {stop}; go on with --resume auto", file=sys.stderr)
        return 128 + stop.signum
    except KeyboardInterrupt:
        print(f"\n{prefix}: interrupted; {kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output, `head` for example, has seen enough.
        _print_no_more()
        return 141
    except OSError as error:
        # Files that we write are named by `io.written`; here is what is printed, or kept by others.
        if error.errno not in FULL:
            raise
        _print_no_more()
        where = error.filename or "what is printed or kept"
        print(f"{prefix}: cannot write {where}: {FULL[error.errno]}", file=sys.stderr)
        return 1


@contextmanager
def _imports_in_one_piece() -> Iterator[None]:
    """Let Ctrl-C wait until the module that is being loaded is there; a second one does not wait.

    Libraries in C lose it while they load, make another error of it, or end the process by it.
    """
    main, before = threading.main_thread().ident, signal.getsignal(signal.SIGINT)
    if threading.get_ident() != main or before is not signal.default_int_handler:
        yield
        return
    waiting: list[threading.Timer] = []

    def ask_again() -> None:
        waiting.clear()
        # To the main thread, which may be waiting for the system; here it would not wake it.
        signal.pthread_kill(main, signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if waiting or not _is_loading(frame):
            signal.default_int_handler(number, frame)
        waiting.append(threading.Timer(0.05, ask_again))
        waiting[0].daemon = True
        waiting[0].start()

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for timer in waiting:
            timer.cancel()


def _is_loading(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not guarded.__code__:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _open_closed_streams() -> None:
    """Let what is printed go nowhere if the process was started with closed streams.

    Python has none then, and the next files that are opened would take their numbers.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- for the rest of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 -- for the rest of the process


def _print_no_more() -> None:
    """Let what is still to be flushed at the end of the process go nowhere."""
    # Where tests or notebooks catch what is printed, there is no number of a file.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _any_letter() -> Iterator[None]:
    r"""Print letters that the terminal's encoding lacks as ``\xfc``, as stderr always does."""
    stream = sys.stdout
    reconfigure = getattr(stream, "reconfigure", None)
    utf8 = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    # In UTF-8 only bytes of file names can be missing, which the C locale gives back as they were.
    if reconfigure is None or (utf8 and stream.errors != "strict"):
        yield
        return
    before = stream.errors
    reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with suppress(OSError, ValueError):  # it flushes, and may be full or closed
            reconfigure(errors=before)


@contextmanager
def _short_warnings(prefix: str) -> Iterator[None]:
    """Print our warnings as one line, without the line of code that they come from."""
    before = warnings.formatwarning

    def short(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
        if issubclass(category, LcPlmWarning):
            return f"{prefix}: warning: {without_secrets(str(message))}\n"
        return before(message, category, *where, **more)

    warnings.formatwarning = short
    try:
        yield
    finally:
        warnings.formatwarning = before
