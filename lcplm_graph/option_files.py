"""What YAML of options may be: flat enough for its parser, and no option twice."""

from __future__ import annotations

from typing import Any

MODE = "options"
"""Name under which jsonargparse knows `load_options`."""
# Options hold lists at most; some hundred thousand brackets would end the interpreter.
_DEEPEST = 20


def know_options() -> None:
    """Make `MODE` known to jsonargparse: YAML that `load_options` reads."""
    from jsonargparse import set_loader
    from yaml import YAMLError

    set_loader(MODE, load_options, (YAMLError,))


def load_options(text: str) -> Any:
    """Read YAML as jsonargparse does.

    Raises
    ------
    yaml.YAMLError
        If it is no YAML, nests too deep, or gives an option twice, of which YAML keeps the last.
    """
    from jsonargparse import get_loader

    _check(text)
    return get_loader("yaml")(text)


def _check(text: str) -> None:
    """Walk through the events of the parser, which does not recurse as its later stages do."""
    import yaml

    depth, at_key = 0, True
    keys: dict[str, int] = {}
    has_names = False
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            has_names = has_names or (depth == 0 and isinstance(event, yaml.MappingStartEvent))
            depth += 1
            if depth > _DEEPEST:
                raise yaml.YAMLError(f"line {line}: lists and mappings nest too deep for options")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            continue
        if depth != 1 or not has_names:
            continue
        # A node of the outermost mapping is complete: keys and values take turns.
        if at_key and isinstance(event, yaml.ScalarEvent):
            if event.value in keys:
                raise yaml.YAMLError(
                    f"line {line}: {event.value} is given on line {keys[event.value]} already"
                )
            keys[event.value] = line
        at_key = not at_key
