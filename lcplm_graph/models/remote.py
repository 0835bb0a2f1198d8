"""What lets Hugging Face's auto classes read a folder where this package is not imported.

With ``trust_remote_code=True`` they run the small Python file of the folder, which imports the
classes from this package; it must be installed.
"""

from __future__ import annotations

import json
from pathlib import Path

REMOTE = "modeling_lc_plm.py"
TOKENIZER = "tokenizer_config.json"
_MODULE = REMOTE.removesuffix(".py")
_MODELS = {
    "AutoModel": "LcPlmModel",
    "AutoModelForMaskedLM": "LcPlmForMaskedLM",
    "AutoModelForSequenceClassification": "LcPlmForSequenceClassification",
    "AutoModelForTokenClassification": "LcPlmForTokenClassification",
}
AUTO_MAP = {
    "AutoConfig": f"{_MODULE}.LcPlmConfig",
    **{auto: f"{_MODULE}.{name}" for auto, name in _MODELS.items()},
}
"""What ``config.json`` says under ``auto_map``."""
_CODE = f'''"""Reads this model through the package lcplm-graph, which must be installed."""

from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.modeling import (
    {("," + chr(10) + "    ").join(sorted(_MODELS.values()))},
)
from lcplm_graph.models.tokenizer import LcPlmTokenizer

__all__ = [
    "LcPlmConfig",
    {("," + chr(10) + "    ").join(f'"{name}"' for name in sorted(_MODELS.values()))},
    "LcPlmTokenizer",
]
'''


def add_remote_code(folder: Path) -> None:
    """Write the code file into a folder, and into the tokenizer's configuration where it is."""
    path = folder / TOKENIZER
    stored = json.loads(path.read_text())
    stored["auto_map"] = {"AutoTokenizer": [f"{_MODULE}.LcPlmTokenizer", None]}
    path.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
    (folder / REMOTE).write_text(_CODE)
