"""Messages are in one manner: one sentence, lower case, no full stop, as `errors` says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "lcplm_graph"
NAMES = ("DMS_score", "Hits@", "Hugging Face", "LC-PLM", "Lightning", "LoRA", "OGB", "PyG", "TAPE")
NAMES += ("Top-", "MMseqs2", "STRING", "ESM", "FASTA", "MLM")


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def messages():
    """Yield place and text of what is raised or warned about; `{}` stands for a value."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if not (called.endswith("Error") or called == "warn_once"):
                continue
            first = node.args[0]
            parts = first.values if isinstance(first, ast.JoinedStr) else [first]
            text = "".join(p.value if is_text(p) else "{}" for p in parts)
            if text.strip("{}"):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", text


def test_messages_are_one_lower_case_sentence():
    found = dict(messages())
    assert len(found) > 600
    capitals = {p: t for p, t in found.items() if t[0].isupper() and not t.startswith(NAMES)}
    stops = {p: t for p, t in found.items() if re.search(r"[^.]\.$|[a-z})]\. [A-Z]", t)}
    assert not capitals
    assert not stops
