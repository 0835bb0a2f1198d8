"""Shell completion, made of the commands' own options.

bash: lcplm completion bash > ~/.local/share/bash-completion/completions/lcplm.
zsh: put source <(lcplm completion zsh) into ~/.zshrc, after compinit.
fish: lcplm completion fish > ~/.config/fish/completions/lcplm.fish.
"""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lcplm_graph.command import option_classes, run_command
from lcplm_graph.option_parser import explanations, positional


@dataclass(frozen=True, kw_only=True)
class CompletionOptions:
    """Options of ``lcplm completion``.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """

    shell: Literal["bash", "zsh", "fish"] = positional(metavar="SHELL")


@dataclass(frozen=True)
class _Option:
    name: str
    text: str
    choices: tuple[str, ...]
    flag: bool


@dataclass(frozen=True)
class _Words:
    """What a command knows: its options, and what may stand without one."""

    options: list[_Option]
    placed: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command("completion", CompletionOptions, _print, argv, str(__doc__))


def _print(options: CompletionOptions) -> None:
    known = _all_options()
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](known), end="")


def _all_options() -> dict[str, _Words]:
    from lcplm_graph.__main__ import COMMANDS, module_of

    modules = [importlib.import_module(module_of(name)) for name in COMMANDS]
    classes = option_classes([module.main for module in modules])
    return {name: _Words(_options_of(cls), _placed(cls)) for name, cls in classes.items()}


def _options_of(cls: type) -> list[_Option]:
    hints, texts = get_type_hints(cls), explanations(cls)
    found = [
        _Option(f"--{_no(one)}{one.name.replace('_', '-')}", texts[one.name],
                _choices(hints[one.name]), hints[one.name] is bool)
        for one in fields(cls)
        if not one.metadata.get("positional")
    ]  # fmt: skip
    more = ("--config", "YAML file of options"), ("--help", "list the options")
    return [*found, *(_Option(name, text, (), name == "--help") for name, text in more)]


def _placed(cls: type) -> tuple[str, ...]:
    hints = get_type_hints(cls)
    found: list[str] = []
    for one in fields(cls):
        if one.metadata.get("positional"):
            words = one.metadata.get("words")
            found += words() if words else _choices(hints[one.name])
    return tuple(found)


def _no(one: Field[Any]) -> str:
    """Return ``no-`` for what is done by default, since only that changes anything."""
    return "no-" if one.default is True else ""


def _choices(hint: Any) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    return next((found for part in get_args(hint) if (found := _choices(part))), ())


def _families(known: dict[str, _Words]) -> dict[str, list[str]]:
    """Return the second words by first word."""
    found: dict[str, list[str]] = {}
    for first, _, second in (name.partition(" ") for name in known):
        found.setdefault(first, []).extend([second] if second else [])
    return found


def _bash(known: dict[str, _Words]) -> str:
    families = _families(known)
    lines = [
        "_lcplm() {",
        '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"',
        '  local command="${COMP_WORDS[1]}" words="" placed=""',
        "  COMPREPLY=()",
        "  if (( COMP_CWORD == 1 )); then",
        f'    COMPREPLY=($(compgen -W "{" ".join(families)} --version --help" -- "$cur")); return',
        "  fi",
        '  case "$command" in',
    ]
    for first, seconds in families.items():
        if seconds:
            lines += [
                f"    {first})",
                "      if (( COMP_CWORD == 2 )); then",
                f'        COMPREPLY=($(compgen -W "{" ".join(seconds)}" -- "$cur")); return',
                "      fi",
                '      command="$command ${COMP_WORDS[2]}" ;;',
            ]
    lines += ["  esac", '  case "$command $prev" in']
    for name, words in known.items():
        lines += [
            f'    "{name} {option.name}") words="{" ".join(option.choices)}" ;;'
            for option in words.options
            if option.choices
        ]
    lines += [
        "  esac",
        '  if [[ -n "$words" ]]; then',
        '    COMPREPLY=($(compgen -W "$words" -- "$cur")); return',
        "  fi",
        '  case "$command" in',
    ]
    lines += [
        f'    "{name}") words="{" ".join(option.name for option in words.options)}"'
        f' placed="{" ".join(words.placed)}" ;;'
        for name, words in known.items()
    ]
    lines += [
        "  esac",
        '  if [[ "$cur" != -* ]]; then words="$placed"; fi',
        '  if [[ "$cur" == -* || -n "$placed" ]]; then',
        '    COMPREPLY=($(compgen -W "$words" -- "$cur")); return',
        "  fi",
        # Names of files may have spaces.
        "  local IFS=$'\\n'",
        '  COMPREPLY=($(compgen -f -- "$cur"))',
        "}",
        "complete -o filenames -F _lcplm lcplm",
    ]
    return "\n".join(lines) + "\n"


def _zsh(known: dict[str, _Words]) -> str:
    return f"autoload -U +X bashcompinit && bashcompinit\n{_bash(known)}"


def _fish(known: dict[str, _Words]) -> str:
    from lcplm_graph.__main__ import COMMANDS

    families = _families(known)
    lines = ["complete -c lcplm -n __fish_use_subcommand -l version -d 'print the version'"]
    lines += [
        f"complete -c lcplm -n __fish_use_subcommand -f -a {name} -d {shlex.quote(COMMANDS[name])}"
        for name in families
    ]
    for name, words in known.items():
        first, _, second = name.partition(" ")
        seen = f"__fish_seen_subcommand_from {first}"
        if second:
            none = f"{seen}; and not __fish_seen_subcommand_from {' '.join(families[first])}"
            lines.append(f"complete -c lcplm -n '{none}' -f -a {second}")
            seen += f"; and __fish_seen_subcommand_from {second}"
        if words.placed:
            lines.append(f"complete -c lcplm -n '{seen}' -f -a '{' '.join(words.placed)}'")
        for option in words.options:
            values = f" -x -a '{' '.join(option.choices)}'" if option.choices else " -r"
            lines.append(
                f"complete -c lcplm -n '{seen}' -l {option.name[2:]}"
                f"{'' if option.flag else values} -d {_fish_quoted(option.text)}"
            )
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{plain}'"


if __name__ == "__main__":
    sys.exit(main())
