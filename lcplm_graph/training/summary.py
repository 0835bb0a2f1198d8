"""The end of a run in a few lines: what was reached, beside floors, and where it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from lcplm_graph.tokens.vocabulary import STANDARD_RESIDUES
from lcplm_graph.training.manifest import METRICS, MODEL
from lcplm_graph.training.metrics import CHANCE, read_metrics

UNIFORM = math.log(len(STANDARD_RESIDUES))
"""Nats per masked residue of a guess that takes all 20 residues for equally likely."""

_MEASURED = {
    "valid_mask_only_loss": ("loss", "nats per masked residue", ("uniform", UNIFORM)),
    "valid_residue_loss": ("loss", "nats per residue", ("uniform", UNIFORM)),
    "valid_relation_loss": (
        "loss",
        "nats per relation marker",
        ("chance", CHANCE["relation_loss"]),
    ),
    "valid_relation_auroc": ("AUROC of relation markers", "", ("chance", CHANCE["relation_auroc"])),
    "valid_pair_loss": ("loss", "nats per pair", ("chance", CHANCE["pair_loss"])),
    "valid_pair_auroc": ("AUROC of pairs", "", ("chance", CHANCE["pair_auroc"])),
}


def summary(folder: Path, floors: Mapping[str, float] | None = None) -> str:
    """Say what the last held-out figures are, and what the run has left.

    Parameters
    ----------
    folder : Path
        Of the run.
    floors : mapping of str to float, optional
        Losses per masked residue that need no model, by name.

    Returns
    -------
    str
        Lines for the terminal.
    """
    rows = read_metrics(folder / METRICS)
    lines = []
    for column, (what, unit, (name, level)) in _MEASURED.items():
        found = [row for row in rows if not math.isnan(row.get(column, math.nan))]
        if not found:
            continue
        levels = {name: level}
        if column == "valid_mask_only_loss":
            levels |= floors or {}
        beside = ", ".join(f"{key} {value:.3f}" for key, value in levels.items())
        step = f"step {int(found[-1]['step']):,}"
        number = f"{found[-1][column]:.3f} {unit}".strip()
        lines.append(f"held out, {step}: {what} {number} (without a model: {beside})")
    files = (path.name for path in sorted(folder.iterdir()) if path.is_file())
    there = [name for name in files if not name.startswith(".")]
    return "\n".join([*lines, f"written: {folder / MODEL}, and beside it {', '.join(there)}"])
