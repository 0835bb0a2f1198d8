"""Commands, and families of them: a frozen dataclass of options, and what takes one and prints.

`option_parser` makes the command line of the dataclass; ``--config FILE.yaml`` and
``--print_config`` come with every one.  `guard` has the exit codes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from lcplm_graph.errors import ConfigError
from lcplm_graph.guard import NOTHING_HALF, compiling_told, guarded
from lcplm_graph.locks import claimed_output
from lcplm_graph.option_parser import did_you_mean, parse_options
from lcplm_graph.standard_input import received

T = TypeVar("T")


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
    kept: str = NOTHING_HALF


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


def run_command(
    name: str,
    options: type[T],
    run: Callable[[T], int | None],
    argv: Sequence[str] | None = None,
    description: str = "",
    kept: str = NOTHING_HALF,
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
        written += [getattr(chosen, option, None) for option in ("report", "figures")]
        with ExitStack() as held:
            # What two commands write at once would get mixed up.
            for path in dict.fromkeys(filter(None, written)):
                held.enter_context(claimed_output(path, "another command writes"))
            held.enter_context(compiling_told(name))
            return run(_with_standard_input(chosen, held))

    return guarded(name, act, kept)


def _with_standard_input(options: Any, held: ExitStack) -> Any:
    """Let ``-`` stand for what is sent to the process, where an option may be a file."""
    files = [one.name for one in fields(options) if one.metadata.get("stdin")]
    sent = received({name: getattr(options, name) for name in files}, held)
    return replace(options, **sent) if sent else options


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
