"""The pretrained encoders inside this package: folders of ``models/weights``, by their names."""

from __future__ import annotations

from pathlib import Path

from lcplm_graph.errors import UnknownNameError

WEIGHTS_DIR = Path(__file__).parent / "weights"
UNTRAINED = "random:1m"
_BEST = "lcplm-1m"


def shipped_encoders() -> list[str]:
    """Names of the pretrained encoders inside this package."""
    if not WEIGHTS_DIR.is_dir():
        return []
    return sorted(p.name for p in WEIGHTS_DIR.iterdir() if (p / "config.json").is_file())


def shipped_folder(name: str) -> Path:
    """Return the folder of a shipped encoder.

    Raises
    ------
    UnknownNameError
        If it does not ship; the message lists those that do.
    """
    if name not in shipped_encoders():
        from lcplm_graph.models.config import PRESETS  # takes transformers along

        known = ", ".join(shipped_encoders()) or "none in this version"
        raise UnknownNameError(
            f"no encoder {name!r} ships with this package; shipped: {known}; "
            f"untrained ones: {', '.join('random:' + p for p in PRESETS)}"
        )
    return WEIGHTS_DIR / name


DEFAULT_ENCODER = _BEST if _BEST in shipped_encoders() else UNTRAINED
"""What examples and commands use when no encoder is named.  It saw no graph, so that it may be
evaluated on any split."""
