"""A run's folder is one run's: who may write there, and what a resumption must have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import yaml

from lcplm_graph.errors import CheckpointError, ConfigError
from lcplm_graph.locks import claimed_output
from lcplm_graph.models.checkpoints import read_json
from lcplm_graph.training.checkpoints import FOLDER, checkpoints_in, newest_intact, step_of
from lcplm_graph.training.data import is_first_process
from lcplm_graph.training.options import FREE_ON_RESUME, RunOptions

CONFIG, MANIFEST = "config.yaml", "run.json"
_FREE_FACTS = ("file", "corpus", "graph", "encoder", "graph_source")
"""Names in a manifest that may change where what they name does not: files move."""


@contextmanager
def claimed(options: RunOptions) -> Iterator[Path | None]:
    """Hold a run's folder for this process; gives the checkpoint to resume from, or None.

    Of several processes of one run the first holds it.  The lock lies beside the folder, so that a
    run that is refused leaves nothing in it.

    Raises
    ------
    ConfigError
        If another process is at work there, the folder is a file, or as `find_start`.
    """
    if Path(options.out).is_file():
        raise ConfigError(f"{options.out} is a file; name a folder as --out")
    if not is_first_process():
        yield find_start(options)
        return
    folder = Path(options.out).absolute()
    with claimed_output(folder, "another process trains"):
        yield find_start(options)


def find_start(options: RunOptions) -> Path | None:
    """Find the checkpoint to resume from; None for a new run.  Nothing is written yet.

    Raises
    ------
    ConfigError
        If the folder holds a run and ``--resume`` is not given, or the options differ from those
        it was started with; all differences are listed.
    CheckpointError
        If there is no checkpoint to resume from that can be read, or nothing says with which
        options it was made.
    """
    folder = Path(options.out)
    config = folder / CONFIG
    if options.resume is None:
        # Other ranks may come after the first has begun to fill the folder.
        if is_first_process() and config.exists():
            raise ConfigError(
                f"{folder} already holds a run; go on with --resume auto, or choose another --out"
            )
        return None
    checkpoint = _find_checkpoint(options.resume, folder)
    if checkpoint is not None:
        _refuse_other_options(options, _beside(checkpoint, folder, CONFIG))
    elif config.exists():
        _refuse_other_options(options, config)
    return checkpoint


def _beside(checkpoint: Path, folder: Path, name: str) -> Path:
    """Return the file of a checkpoint's run that says what it was made of."""
    for path in (checkpoint.absolute().parent.parent / name, folder / name):
        if path.exists():
            return path
    raise CheckpointError(
        f"{folder / name}: missing, so it cannot be told what {checkpoint} was trained on; put it "
        "back from that run's folder, or start a new run"
    )


def _find_checkpoint(resume: str, folder: Path) -> Path | None:
    if resume == "auto":
        found = checkpoints_in(folder / FOLDER)
        # A run that was killed before its first checkpoint starts again.
        return newest_intact(found) if found else None
    path = Path(resume)
    if not path.is_file():
        near = ", ".join(map(str, checkpoints_in(folder / FOLDER))) or "none"
        raise CheckpointError(f"{path}: no such checkpoint; in {folder} there are: {near}")
    older = [p for p in checkpoints_in(path.parent) if step_of(p) < step_of(path)]
    return newest_intact([path, *older])


def stored_options(options: RunOptions) -> dict[str, Any]:
    """Return the options as ``config.yaml`` keeps them."""
    return {k: v for k, v in asdict(options).items() if k != "resume"}


def _refuse_other_options(options: RunOptions, path: Path) -> None:
    now = stored_options(options)
    # An option that the run's version did not have had the effect of its default.
    defaults = {one.name: one.default for one in fields(options) if one.default is not MISSING}
    before = defaults | read_options(path)
    different = [
        f"{k}: {before.get(k)!r} then, {now.get(k)!r} now"
        for k in dict.fromkeys([*before, *now])
        if k not in FREE_ON_RESUME and before.get(k) != now.get(k)
    ]
    if different:
        raise ConfigError(
            f"cannot resume with other options than the run was started with ({path}); different: "
            f"{'; '.join(different)}; give --config {path} to take all of them from there, or "
            "start a new run"
        )


def read_options(path: Path) -> dict[str, Any]:
    """Read the options of a run, ``config.yaml``.

    Raises
    ------
    ConfigError
        If the file is missing, not YAML, or holds anything but options.
    """
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not readable as YAML ({reason})") from error
    if not isinstance(stored, dict):
        raise ConfigError(f"{path}: expected the options of a run, found {type(stored).__name__}")
    return stored


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a run, ``run.json``.

    Raises
    ------
    CheckpointError
        If it is not what a run writes.
    """
    manifest = read_json(path)
    sessions = manifest.get("sessions")
    is_list = isinstance(sessions, list) and all(isinstance(s, dict) for s in sessions)
    if not isinstance(manifest.get("data"), dict) or not is_list:
        raise CheckpointError(f"{path}: not the manifest of a run; data or sessions are missing")
    return manifest


def refuse_other_data(
    options: RunOptions, facts: Mapping[str, Any], checkpoint: Path | None
) -> None:
    """Compare data, split and starting encoder with those of the run that is resumed.

    Raises
    ------
    ConfigError
        If any of them differs; all differences are listed.
    CheckpointError
        If nothing says what the checkpoint was trained on.
    """
    if checkpoint is None:
        return
    path = _beside(checkpoint, Path(options.out), MANIFEST)
    before = read_manifest(path)["data"]
    now = json.loads(json.dumps(facts))
    compared = [key for key in before if key not in _FREE_FACTS and key in now]
    if not compared:
        raise CheckpointError(f"{path}: it does not say on which data; start a new run")
    different = [
        f"{key}: {_short(before[key])} then, {_short(now[key])} now"
        for key in compared
        if _differ(before[key], now[key])
    ]
    if different:
        raise ConfigError(
            f"cannot resume on other data than the run was started with ({path}); different: "
            f"{'; '.join(different)}; bring these files back, or start a new run"
        )


def _differ(before: Any, now: Any) -> bool:
    """Tell whether facts differ; an earlier version may have told more, or less, of one thing."""
    if isinstance(before, dict) and isinstance(now, dict):
        return any(before[key] != now[key] for key in before if key in now)
    return bool(before != now)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
