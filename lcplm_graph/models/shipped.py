"""The pretrained encoders inside this package: folders of ``models/weights``, by their names."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from lcplm_graph.errors import UnknownNameError
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.models.names import CONFIG

WEIGHTS_DIR = Path(__file__).parent / "weights"
UNTRAINED = "random:1m"
_BEST = "lcplm-2m"


def shipped_encoders() -> list[str]:
    """Names of the pretrained encoders inside this package."""
    if not WEIGHTS_DIR.is_dir():
        return []
    return sorted(p.name for p in WEIGHTS_DIR.iterdir() if (p / CONFIG).is_file())


def shipped_folder(name: str) -> Path:
    """Return the folder of a shipped encoder.

    Raises
    ------
    UnknownNameError
        If it does not ship; the message lists those that do.
    """
    if name not in shipped_encoders():
        known = ", ".join(shipped_encoders()) or "none in this version"
        raise UnknownNameError(
            f"no encoder {name!r} ships with this package{_nearest(name)}; shipped: {known}; "
            f"untrained ones: {', '.join('random:' + p for p in PRESETS)}"
        )
    return WEIGHTS_DIR / name


def check_spelling(name: str) -> None:
    """Refuse a name that is another one misspelt, before it is looked for on the hub.

    Raises
    ------
    UnknownNameError
        With the name that was meant.

    Examples
    --------
    >>> check_spelling("facebook/esm2_t6_8M_UR50D")
    Traceback (most recent call last):
    lcplm_graph.errors.UnknownNameError: no encoder 'facebook/esm2_t6_8M_UR50D': an ESM-2 is \
named with a prefix, did you mean 'esm2:facebook/esm2_t6_8M_UR50D'?
    """
    if Path(name).exists():
        return
    owner, _, model = name.rpartition("/")
    for prefix, pattern, usual, kind in _FAMILIES:
        if re.match(pattern, model, re.IGNORECASE):
            meant = f"{prefix}:{owner or usual}/{model}"
            raise UnknownNameError(
                f"no encoder {name!r}: an {kind} is named with a prefix, did you mean {meant!r}?"
            )
    if near := _nearest(name):
        raise UnknownNameError(f"no encoder {name!r}{near}")


def _nearest(name: str) -> str:
    known = [*shipped_encoders(), "composition", "dipeptide", UNTRAINED]
    near = [] if "/" in name else difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f", did you mean {near[0]!r}?" if near else ""


_FAMILIES = (
    ("esm2", r"esm-?2[_-]", "facebook", "ESM-2"),
    ("esmc", r"esm-?c[_-]", "biohub", "ESM C"),
)

DEFAULT_ENCODER = _BEST if _BEST in shipped_encoders() else UNTRAINED
"""What examples and commands use when no encoder is named.  It saw no graph, so that it may be
evaluated on any split."""
