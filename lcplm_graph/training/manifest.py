"""What a run's folder says of it: config.yaml, and run.json with its data and every session."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from platform import platform
from typing import Any

import torch
import yaml
from lightning.pytorch.utilities import rank_zero_only

from lcplm_graph.io import atomic_path, write_json
from lcplm_graph.provenance import package_versions
from lcplm_graph.strings import without_secrets
from lcplm_graph.training.options import RunOptions
from lcplm_graph.training.resume import CONFIG, MANIFEST, read_manifest, stored_options

METRICS, MODEL = "metrics.csv", "model"


@rank_zero_only
def begin_session(
    options: RunOptions, facts: Mapping[str, Any], checkpoint: Path | None, processes: int
) -> None:
    """Write config.yaml and the manifest, with a session more than it had."""
    path = Path(options.out) / MANIFEST
    sessions = []
    if checkpoint is not None and path.is_file():
        sessions = read_manifest(path)["sessions"]
    with atomic_path(path.with_name(CONFIG)) as temporary:
        temporary.write_text(yaml.safe_dump(stored_options(options), sort_keys=False))
    session = {
        "started": _now(),
        "resumed_from": None if checkpoint is None else str(checkpoint),
        "command": [without_secrets(word) for word in sys.argv],
        "processes": processes,
        "threads": torch.get_num_threads(),
        "platform": platform(),
        "versions": package_versions(),
    }
    write_json(path, {"data": facts, "sessions": [*sessions, session]})


def end_session(folder: Path) -> None:
    """Note that the run is finished."""
    path = folder / MANIFEST
    write_json(path, {**read_manifest(path), "finished": _now()})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
